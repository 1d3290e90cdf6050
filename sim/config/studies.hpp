// Files that name scenarios and what to do with them: sweeps over grids and baselines for CI.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/config_parts.hpp"
#include "sim/config/loader.hpp"

namespace tandem {

/// One path of a sweep and the values it takes, as YAML text.
struct SweepAxis {
  std::string path;
  std::vector<std::string> values;
};

/// A sweep: a scenario and the grid of changes, first axis slowest.
struct Sweep {
  std::string name;
  std::string file;
  std::string scenario;
  std::vector<SweepAxis> axes;
  /// Every combination, in the order of the grid.
  [[nodiscard]] std::vector<std::vector<Override>> points() const;
};

/// Reads a sweep: `kind: sweep`, `scenario: NAME`, `vary: {path: [values] | {from, to, step}}`.
/// Throws ConfigError with all diagnostics.
[[nodiscard]] Sweep load_sweep(const ConfigRoots& roots, const std::string& path_or_name);

/// One figure that a baseline expects: `key` is a dotted path in the result's summary.
struct ExpectedFigure {
  std::string key;
  double value = 0;
  double tolerance = 0;  ///< relative
  SourcePlace place;
};

struct BaselineEntry {
  std::string name;
  std::string scenario;
  std::vector<Override> overrides;
  std::vector<ExpectedFigure> expected;
  std::string config_hash;  ///< of the whole scenario; empty in files that never were updated
  /// Seconds that the passes of each pool took by family of kernels: "gpu.attention".
  std::map<std::string, double> pass_s;
};

/// An earlier update: why, and which figures moved ("h100 tpot_ms.p99: 1.5 -> 1.2").
struct BaselineUpdate {
  std::string reason;
  std::vector<std::string> moved;
};

/// Scenarios with the figures that CI expects of them.
struct Baseline {
  std::string file;
  std::vector<BaselineEntry> entries;
  /// What the scenarios were made of. A part that differs between entries stands under
  /// "ENTRY:PART" for all but the first.
  std::map<std::string, ConfigPart> parts;
  std::vector<BaselineUpdate> history;  ///< oldest first
};

/// Reads a baseline: `kind: baseline`, `entries: [{name, scenario, set, expect: {key: {value,
/// tolerance}}}]`; updates add `config_hash` and `pass_s` to entries, `parts` and `history`. Throws
/// ConfigError with all diagnostics.
[[nodiscard]] Baseline load_baseline(const ConfigRoots& roots, const std::string& path_or_name);

/// The file text of a baseline, as load_baseline reads it.
[[nodiscard]] std::string baseline_text(const Baseline& baseline);

}  // namespace tandem
