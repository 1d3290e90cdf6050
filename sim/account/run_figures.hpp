// Figures of a run with other numbers and times of its passes: what bands are worked out from.
#pragma once

#include <map>
#include <string>

#include "sim/account/accounting.hpp"
#include "sim/account/analytical_clock.hpp"

namespace tandem {

/// By key of the summary or of `economics` ("tiers.NAME.break_even_share"): latencies and rates
/// over those of the run, energy and money as they are.
using Figures = std::map<std::string, double>;

class RunFigures {
 public:
  explicit RunFigures(const RunResult& result);

  /// Time of the run over its own. Users that wait for their answers slow down with the service, a
  /// queue without end drains as its busiest pool works; other arrivals come when they come.
  [[nodiscard]] double duration(const AnalyticalClock::Ratios& r) const;

  /// With passes that take these ratios of their times; `books` are those of duration(r).
  [[nodiscard]] Figures at(const AnalyticalClock::Ratios& r, const Accounting& books,
                           const Scenario& scenario) const;

  /// Rates, energy and money alone, of a run that takes `duration` times as long.
  [[nodiscard]] Figures lasting(double duration, const Accounting& books,
                                const Scenario& scenario) const;

  [[nodiscard]] const RunResult& result() const { return result_; }

 private:
  const RunResult& result_;
  const PoolUse* bottleneck_;
};

/// The run's figures with passes of other times and the scenario's own numbers.
class PassTimes {
 public:
  PassTimes(const Scenario& scenario, const RunFigures& run, const AnalyticalClock& clock)
      : scenario_(scenario), run_(run), coefficients_(clock.coefficients(scenario)) {}

  [[nodiscard]] Figures at(const AnalyticalClock::Ratios& r) const;
  [[nodiscard]] Figures lasting(double duration) const;

 private:
  const Scenario& scenario_;
  const RunFigures& run_;
  std::map<std::string, EnergyCoefficients> coefficients_;
};

}  // namespace tandem
