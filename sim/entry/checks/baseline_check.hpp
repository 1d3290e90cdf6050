// Scenarios against the figures of a baseline, and which part of what they are made of moved them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sim/config/studies.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/context.hpp"

namespace tandem::entry {

/// One figure compared.
struct Comparison {
  ExpectedFigure expected;
  double actual = 0;
  /// Relative; infinite where the expected value is zero and the actual one is not.
  [[nodiscard]] double change() const;
  [[nodiscard]] bool holds() const;
};

/// One entry of the baseline as it ran now.
struct EntryOutcome {
  std::string name;
  std::vector<Comparison> figures;
  std::string config_hash;
  std::map<std::string, double> pass_s;
  std::map<std::string, ConfigPart> parts;
  /// What differs from the baseline, most important first; empty where nothing does.
  std::vector<std::string> reasons;
  /// Why the entry did not run, or has not the figures that are expected; without figures then.
  std::vector<Diagnostic> refusals;
  [[nodiscard]] std::size_t moved() const;
};

/// Runs every entry, also behind one that is refused. Throws ConfigError, before any runs, with
/// every mistake of the baseline's file at its place there.
[[nodiscard]] std::vector<EntryOutcome> check_baseline(const Baseline& baseline,
                                                       const std::string& store,
                                                       const Context& context);

/// "h100 tpot_ms.p99 is 1.2, expected 1.5 within 0.1 % (-20 %)".
[[nodiscard]] std::string describe(const std::string& entry, const Comparison& comparison);

/// The outcome for people: a line per figure and, below an entry that moved, what moved it.
[[nodiscard]] std::string check_page(const std::vector<EntryOutcome>& outcomes);

/// The outcome as JUnit XML: a suite per entry, a case per figure; one case that fails for an entry
/// that was refused.
[[nodiscard]] std::string junit_text(const std::vector<EntryOutcome>& outcomes);

/// The baseline with the figures found. `reason` and the figures that moved join its history; the
/// second value lists them as text.
[[nodiscard]] std::pair<Baseline, std::vector<std::string>> updated(
    Baseline baseline, const std::vector<EntryOutcome>& outcomes, const std::string& reason);

}  // namespace tandem::entry
