// Runs of the scenarios behind measured rows, and the figures that a benchmark would have printed.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/entry/systems/served_case.hpp"
#include "sim/entry/validation/figures.hpp"
#include "sim/service/service.hpp"

namespace tandem::entry {

/// Figures of one row: ttft, tpot, e2e in ms; throughput (of answers), throughput_input and
/// throughput_total in tokens per second; those of power_figures(). Or why there are none.
struct ServedAnswer {
  std::map<std::string, double> figures;
  std::string reason;
  std::map<std::string, RowBand> bands = {};  ///< by figure, with ServedOptions::with_bands
};

/// What a benchmark of this kind would say of the requests of a run.
[[nodiscard]] std::map<std::string, double> served_figures(const RunResult& result,
                                                           const ServedCase& served);

struct ServedOptions {
  bool is_cycle = true;
  bool maps_only = false;  ///< set the scenarios up, but run none
  std::optional<std::string> store;
  std::vector<Override> overrides;  ///< as PredictorOptions has them
  bool with_bands = false;          ///< asks for the bands of figures, which take time of their own
};

/// Contract: an answer depends on the context's files, the options and the case alone; equal cases
/// are run once.
class ServedRuns {
 public:
  ServedRuns(const Context& context, ServedOptions options);
  const ServedAnswer& answer(const ServedCase& served);

 private:
  [[nodiscard]] ServedAnswer run(const ServedCase& served) const;
  [[nodiscard]] ServedAnswer with_bands(ServedAnswer answer, const Scenario& scenario,
                                        const ServiceModel& model, const RunResult& result) const;

  const Context& context_;
  ServedOptions options_;
  std::map<std::string, ServedAnswer> answers_;  ///< by the case's changes
};

}  // namespace tandem::entry
