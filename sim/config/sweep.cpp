#include "sim/config/sweep.hpp"

#include <fmt/format.h>

#include <set>

#include "sim/config/study_file.hpp"
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

/// The points of all grids.
void add_grids(const MapReader& reader, const Tree& tree, Sweep& sweep, ReadContext& context) {
  for (const char* key : {"scenario", "vary", "sample"}) {
    if (reader.has(key)) {
      reader.report(key,
                    fmt::format("'{}' does not go with 'grids'; write it in each of them", key));
    }
  }
  const Changes common =
      reader.has("set") ? read_changes(*reader.child("set"), context) : Changes{};
  config::read_grids(*tree.find("grids"), "a grid of the sweep", common, sweep, context);
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

}  // namespace

void change_every_point(Sweep& sweep, const Override& change) {
  const SourcePlace place{fmt::format("set {}", change.path), 0, 0};
  const SweepChange own{change, place};
  std::set<std::string> values;
  for (SweepPoint& point : sweep.points) {
    bool is_there = false;
    for (SweepChange& set : point.changes) {
      if (set.change.path != change.path) continue;
      values.insert(set.change.value);
      set = own;
      is_there = true;
    }
    if (!is_there) point.changes.insert(point.changes.begin(), own);
  }
  if (values.size() <= 1) return;
  throw ConfigError(place, fmt::format("the sweep has {} values of this path; change it in the "
                                       "sweep, or leave it out here",
                                       values.size()));
}

std::vector<std::string> conditions_of(const Slo& slo) {
  std::vector<std::string> conditions;
  const auto add = [&](const char* figure, const std::optional<Picoseconds>& most) {
    if (most) conditions.push_back(fmt::format("{} <= {:.12g}", figure, to_milliseconds(*most)));
  };
  add("ttft_ms.p99", slo.ttft_p99);
  add("tpot_ms.p99", slo.tpot_p99);
  return conditions;
}

Sweep read_sweep(const ConfigRoots& roots, const std::string& path_or_name) {
  Sweep sweep;
  config::StudyFile file(roots, "sweep", config::sweep_section(), path_or_name, sweep);
  const MapReader& reader = file.reader();
  ReadContext& context = file.context();
  Problems& problems = file.problems();
  if (reader.has("grids")) {
    add_grids(reader, file.tree(), sweep, context);
  } else if (!reader.has("scenario")) {
    problems.report(file.tree().place, "a sweep needs 'scenario' and 'vary', or 'grids'");
  } else if (!reader.has("vary") && !reader.has("sample")) {
    problems.report(file.tree().place, "a sweep needs 'vary' or 'sample'");
  } else {
    config::read_one_grid(reader, {}, sweep, context);
  }
  config::read_constraints(reader, sweep, problems);
  if (const Tree* objectives = reader.child("objectives")) {
    for (const Tree& item : objectives->items) read_objective(item, sweep, problems);
    if (!objectives->is_sequence()) {
      problems.report(objectives->place,
                      "'objectives' is a list; write e.g. [{minimize: usd_per_m_total_tokens}]");
    }
  }
  file.keep_mistakes();
  return sweep;
}

Sweep load_sweep(const ConfigRoots& roots, const std::string& path_or_name) {
  Sweep sweep = read_sweep(roots, path_or_name);
  if (!sweep.mistakes.empty()) throw ConfigError(std::move(sweep.mistakes));
  return sweep;
}

}  // namespace tandem
