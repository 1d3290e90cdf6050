// The analytical clock asked again about a run's passes with other numbers.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/account/accounting.hpp"
#include "sim/service/service.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {

/// Times of the representative passes under a changed scenario, relative to the scenario's own.
/// What a pool spends its time on changes as the floor of its kind does: where passes are far above
/// their floors, a number counts for as much as the time that depends on it.
class AnalyticalClock {
 public:
  AnalyticalClock(const Scenario& scenario, const ServiceModel& model, const RunResult& result,
                  const Catalogue& catalogue, const NetworkFactory& make_network);

  /// Mean ratio of passes that compute prompts, and of those that only decode.
  struct Ratios {
    double prefill = 1;
    double decode = 1;
  };
  /// `chip`: whose numbers differ, or any_chip.
  [[nodiscard]] Ratios ratios(const Scenario& varied, const std::string& chip) const;

  /// Chip models of the pools under a changed scenario, for their energies.
  [[nodiscard]] std::map<std::string, EnergyCoefficients> coefficients(
      const Scenario& varied) const;

 private:
  [[nodiscard]] const PoolModel& pool_of(const std::string& name) const;
  [[nodiscard]] const Scenario& side_of(const Scenario& varied, const std::string& pool,
                                        std::optional<Scenario>& side) const;
  [[nodiscard]] bool runs_on(const std::string& pool, const std::string& chip) const;
  void choose_probes();
  [[nodiscard]] std::vector<StepFloor> floors(const Scenario& varied,
                                              const std::string& chip) const;
  void weigh_parts();
  [[nodiscard]] double ratio_of(const std::string& pool, const StepFloor& now,
                                const StepFloor& before) const;

  const ServiceModel& model_;
  const RunResult& result_;
  const Catalogue& catalogue_;
  const NetworkFactory& make_network_;
  std::vector<StepFloor> base_;                                  ///< of the representative passes
  std::vector<std::size_t> probes_;                              ///< passes that are asked first
  std::map<std::string, std::map<std::string, double>> shares_;  ///< by pool and kind
};

/// End-to-end time of the mean request with passes that take `r` of their times, over the run's.
[[nodiscard]] double request_time_ratio(const RunResult& result, const AnalyticalClock::Ratios& r);

}  // namespace tandem
