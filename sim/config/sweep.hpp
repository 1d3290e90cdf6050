// Sweeps: scenarios, the changes that make their points, what points must hold and what is best.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "sim/config/expression.hpp"
#include "sim/config/loader.hpp"

namespace tandem {

/// One change of a point, and where the sweep's file says so.
struct SweepChange {
  Override change;
  SourcePlace place;
};

struct SweepPoint {
  std::string scenario;
  std::vector<SweepChange> changes;
  SourcePlace place = {};  ///< where the file names the scenario
};

/// A figure of the result to make large or small.
struct Objective {
  bool maximise = false;
  std::string figure;  ///< dotted name in the summary: "tpot_ms.p99"
  SourcePlace place;
};

struct Sweep {
  std::string name;
  std::string file;
  std::vector<SweepPoint> points;  ///< grid by grid, in the order of the file, first path slowest
  std::vector<Expression> constraints;
  std::vector<Objective> objectives;
  /// Whether each point is held to the SLO of its scenario too, as conditions_of() writes it.
  bool holds_scenario_slos = false;
  /// Mistakes of the file. What has one is left out above, so that the rest can be looked at too.
  std::vector<Diagnostic> mistakes;
  /// Of a file with mistakes, all of its keys: names that what was left out may have.
  std::set<std::string> written_keys;
};

/// Makes a change to every point, in place of the sweep's own where it sets that path. Throws
/// ConfigError where the sweep has several values of the path.
void change_every_point(Sweep& sweep, const Override& change);

/// Objectives of latency as constraints: "ttft_ms.p99 <= 500". None for what always holds.
[[nodiscard]] std::vector<std::string> conditions_of(const Slo& slo);

/// Reads a sweep as far as it goes: docs/sweeps.md has the language. Throws ConfigError only for
/// what is no YAML file; what a point's values do to the scenario is not looked at.
[[nodiscard]] Sweep read_sweep(const ConfigRoots& roots, const std::string& path_or_name);

/// The same; throws ConfigError with all mistakes.
[[nodiscard]] Sweep load_sweep(const ConfigRoots& roots, const std::string& path_or_name);

}  // namespace tandem
