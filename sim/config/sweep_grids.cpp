// The points of grids: scenarios with every combination of their changes.
#include <fmt/format.h>

#include <filesystem>

#include "sim/config/sweep_axes.hpp"

namespace tandem::config {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

void read_one_grid(const MapReader& reader, const Changes& common, Sweep& sweep,
                   ReadContext& context) {
  const Tree* vary = reader.child("vary");
  const Tree* sample = reader.child("sample");
  const std::string scenario = scenario_beside(reader.text("scenario"), sweep.file);
  const Changes own = reader.has("set") ? read_changes(*reader.child("set"), context) : Changes{};
  const std::vector<Changes> grid = read_grid(vary, context);
  const std::vector<Changes> samples = read_sample(sample, context);
  if (!reader.has("scenario")) return;
  for (const Changes& varied : grid) {
    for (const Changes& drawn : samples) {
      sweep.points.push_back(
          {scenario, joined(joined(joined(common, own), varied), drawn), reader.place("scenario")});
    }
  }
}

void read_grids(const Tree& grids, const std::string& subject, const Changes& common, Sweep& sweep,
                ReadContext& context) {
  if (!grids.is_sequence() || grids.items.empty()) {
    context.problems.report(grids.place, "a list of {scenario, vary} is needed here");
    return;
  }
  for (const Tree& grid : grids.items) {
    const MapReader own(grid, grid_section(), subject, context);
    if (grid.is_map()) read_one_grid(own, common, sweep, context);
  }
}

void read_constraints(const MapReader& reader, Sweep& sweep, Problems& problems) {
  const Tree* list = reader.child("constraints");
  if (list == nullptr) return;
  if (!list->is_sequence()) {
    problems.report(list->place, "'constraints' is a list; write e.g. [ttft_ms.p99 < 1 s]");
  }
  for (const Tree& item : list->items) {
    try {
      sweep.constraints.emplace_back(item.text, item.place);
    } catch (const ConfigError& error) {
      problems.report(error);
    }
  }
}

}  // namespace tandem::config
