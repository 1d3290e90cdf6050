// Baselines: scenarios and the figures that CI expects of them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/config/config_parts.hpp"
#include "sim/config/loader.hpp"
#include "sim/config/sweep.hpp"

namespace tandem {

/// One figure that a baseline expects: `key` is a dotted path in the result's summary.
struct ExpectedFigure {
  std::string key;
  double value = 0;
  double tolerance = 0;  ///< relative
  SourcePlace place;
};

struct BaselineEntry {
  std::string name;
  SweepPoint point;  ///< the scenario and what is changed of it
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
  /// Mistakes of the file; what has one is left out above.
  std::vector<Diagnostic> mistakes;
};

/// Reads a baseline: `kind: baseline`, `entries: [{name, scenario, set, expect: {key: {value,
/// tolerance}}}]`; updates add `config_hash` and `pass_s` to entries, `parts` and `history`. Throws
/// ConfigError only for what is no YAML file; other mistakes are in the baseline.
[[nodiscard]] Baseline read_baseline(const ConfigRoots& roots, const std::string& path_or_name);

/// The file text of a baseline, as read_baseline() reads it.
[[nodiscard]] std::string baseline_text(const Baseline& baseline);

}  // namespace tandem
