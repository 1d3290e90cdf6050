#include "sim/config/sweep.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "sim/config/sweep_axes.hpp"
#include "sim/config/yaml_reader.hpp"

namespace tandem {
namespace {

using config::Changes;
using config::MapReader;
using config::Problems;
using config::ReadContext;
using config::Section;
using config::Tree;

namespace fs = std::filesystem;

/// A scenario's path as seen from the current folder: one beside the sweep is meant before others.
std::string scenario_beside(const std::string& reference, const std::string& file) {
  const fs::path beside = fs::path(file).parent_path() / reference;
  std::error_code failure;
  const bool is_path = reference.ends_with(".yaml") || reference.find('/') != std::string::npos;
  return is_path && fs::is_regular_file(beside, failure) ? beside.string() : reference;
}

Changes joined(Changes first, const Changes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

/// The points of the map that `scenario`, `set`, `vary` and `sample` stand in.
void add_grid(const MapReader& reader, const Tree& tree, const Changes& common, Sweep& sweep,
              ReadContext& context) {
  const Tree* vary = reader.child("vary");
  const Tree* sample = reader.child("sample");
  if (vary == nullptr && sample == nullptr) {
    context.problems.report(tree.place, "a sweep needs 'vary' or 'sample'");
  }
  const std::string scenario = scenario_beside(reader.text("scenario"), sweep.file);
  const Changes own = reader.has("set") ? read_changes(*reader.child("set"), context) : Changes{};
  const std::vector<Changes> grid = config::read_grid(vary, context);
  const std::vector<Changes> samples = config::read_sample(sample, context);
  for (const Changes& varied : grid) {
    for (const Changes& drawn : samples) {
      sweep.points.push_back({scenario, joined(joined(joined(common, own), varied), drawn)});
    }
  }
}

void add_grids(const MapReader& reader, const Tree& tree, Sweep& sweep, ReadContext& context) {
  for (const char* key : {"scenario", "vary", "sample"}) {
    if (reader.has(key)) {
      reader.report(key,
                    fmt::format("'{}' does not go with 'grids'; write it in each of them", key));
    }
  }
  const Changes common =
      reader.has("set") ? read_changes(*reader.child("set"), context) : Changes{};
  const Tree& grids = *tree.find("grids");
  if (!grids.is_sequence() || grids.items.empty()) {
    reader.report("grids", "'grids' is a list of {scenario, vary}");
    return;
  }
  for (const Tree& grid : grids.items) {
    const MapReader own(grid, config::grid_section(), "a grid of the sweep", context);
    if (grid.is_map()) add_grid(own, grid, common, sweep, context);
  }
}

void read_objective(const Tree& item, Sweep& sweep, Problems& problems) {
  const bool is_one =
      item.is_map() && item.entries.size() == 1 && item.entries.front().value.is_scalar() &&
      (item.entries.front().key == "maximize" || item.entries.front().key == "minimize");
  if (!is_one) {
    problems.report(item.place, "an objective is {maximize: FIGURE} or {minimize: FIGURE}");
    return;
  }
  const config::TreeEntry& entry = item.entries.front();
  sweep.objectives.push_back({entry.key == "maximize", entry.value.text, entry.value.place});
}

template <class Read>
void read_list(const MapReader& reader, const std::string& key, Problems& problems, Read read) {
  const Tree* list = reader.child(key);
  if (list == nullptr) return;
  if (!list->is_sequence()) {
    problems.report(list->place, fmt::format("'{}' is a list", key));
    return;
  }
  for (const Tree& item : list->items) read(item);
}

std::string file_of_sweep(const ConfigRoots& roots, const std::string& path_or_name) {
  const bool is_path =
      path_or_name.ends_with(".yaml") || path_or_name.find('/') != std::string::npos;
  return is_path ? path_or_name : roots.workloads + "/sweeps/" + path_or_name + ".yaml";
}

}  // namespace

Sweep load_sweep(const ConfigRoots& roots, const std::string& path_or_name) {
  Sweep sweep;
  sweep.file = file_of_sweep(roots, path_or_name);
  sweep.name = fs::path(sweep.file).stem().string();
  Problems problems;
  const ModelSchemas no_schemas;
  const std::set<std::string> no_sources;
  ReadContext context{no_schemas, no_sources, problems};
  const Tree tree = config::read_yaml(sweep.file, problems);
  problems.throw_if_any();
  if (tree.find("kind") != nullptr) config::check_kind(tree, "sweep", problems);
  const MapReader reader(tree, config::sweep_section(), fmt::format("sweep '{}'", sweep.name),
                         context);
  problems.throw_if_any();
  if (reader.has("grids")) {
    add_grids(reader, tree, sweep, context);
  } else if (!reader.has("scenario")) {
    problems.report(tree.place, "a sweep needs 'scenario' and 'vary', or 'grids'");
  } else {
    add_grid(reader, tree, {}, sweep, context);
  }
  read_list(reader, "constraints", problems, [&](const Tree& item) {
    try {
      sweep.constraints.emplace_back(item.text, item.place);
    } catch (const ConfigError& error) {
      problems.report(error);
    }
  });
  read_list(reader, "objectives", problems,
            [&](const Tree& item) { read_objective(item, sweep, problems); });
  problems.throw_if_any();
  return sweep;
}

}  // namespace tandem
