// Baselines: scenarios and the figures that CI expects of them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/config/loader.hpp"

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
  std::string scenario;
  std::vector<Override> overrides;
  std::vector<ExpectedFigure> expected;
};

/// Scenarios with the figures that CI expects of them.
struct Baseline {
  std::string file;
  std::vector<BaselineEntry> entries;
};

/// Reads a baseline: `kind: baseline`, `entries: [{name, scenario, set, expect: {key: {value,
/// tolerance}}}]`. Throws ConfigError with all diagnostics.
[[nodiscard]] Baseline load_baseline(const ConfigRoots& roots, const std::string& path_or_name);

/// The file text of a baseline, as load_baseline reads it.
[[nodiscard]] std::string baseline_text(const Baseline& baseline);

}  // namespace tandem
