#include "sim/account/sensitivity.hpp"

#include <algorithm>
#include <cmath>

#include "sim/account/analytical_clock.hpp"
#include "sim/account/knobs.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr double influence_step = 0.01;
constexpr std::size_t most_influences = 8;

std::optional<double> elasticity_of(const Scenario& scenario, const AnalyticalClock& clock,
                                    const RunResult& result, const Knob& knob) {
  const double value = knob.parameter.value;
  // A count changes by whole units.
  const double step = knob.parameter.dimension == Dimension::Count
                          ? std::max(1.0, std::round(influence_step * value))
                          : influence_step * value;
  if (step <= 0 || value - step <= 0) return std::nullopt;
  double times[2];
  for (const int side : {0, 1}) {
    Scenario varied = scenario;
    knob.set(varied, side == 0 ? value - step : value + step);
    try {
      times[side] = request_time_ratio(result, clock.ratios(varied, knob.chip));
    } catch (const ModelError&) {
      return std::nullopt;
    }
  }
  return (times[1] - times[0]) / (2 * step / value);
}

}  // namespace

Sensitivity sensitivity_of(const Scenario& scenario, const ServiceModel& model,
                           const RunResult& result, const Catalogue& catalogue,
                           const NetworkFactory& make_network) {
  const AnalyticalClock clock(scenario, model, result, catalogue, make_network);
  const std::vector<Knob> knobs = knobs_of(scenario, result);
  Sensitivity sensitivity;
  sensitivity.bands = bands_of(scenario, result, clock, knobs);
  for (const Knob& knob : knobs) {
    if (!knob.moves_time()) continue;
    const std::optional<double> elasticity = elasticity_of(scenario, clock, result, knob);
    if (!elasticity || *elasticity == 0) continue;
    sensitivity.provenance.push_back({knob.name, knob.parameter.value, knob.parameter.source,
                                      std::string(name_of(knob.parameter.basis)), *elasticity});
  }
  std::stable_sort(sensitivity.provenance.begin(), sensitivity.provenance.end(),
                   [](const Influence& a, const Influence& b) {
                     return std::abs(a.elasticity) > std::abs(b.elasticity);
                   });
  if (sensitivity.provenance.size() > most_influences) {
    sensitivity.provenance.resize(most_influences);
  }
  return sensitivity;
}

}  // namespace tandem