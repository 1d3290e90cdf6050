#include "sim/account/bands.hpp"

#include <algorithm>
#include <cmath>

#include "sim/account/band_floors.hpp"
#include "sim/account/model_errors.hpp"
#include "sim/account/power_limit.hpp"
#include "sim/account/run_figures.hpp"
#include "sim/account/service_errors.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

constexpr std::string_view software_prefix = "software.";

/// With one number of the scenario changed; none: with its own numbers.
Figures figures_of(const Scenario& varied, const RunFigures& run, const AnalyticalClock& clock,
                   const Knob* changed) {
  const AnalyticalClock::Ratios r = changed != nullptr && changed->moves_time()
                                        ? clock.ratios(varied, changed->chip)
                                        : AnalyticalClock::Ratios{};
  const bool is_physical = changed == nullptr || changed->is_physical;
  const Accounting books =
      is_physical ? account_with(varied, run.result(), clock.coefficients(varied), run.duration(r))
                  : account(varied, run.result());
  return run.at(r, books, varied);
}

/// Sums of squared relative deviations, below and above.
struct Spread {
  double below = 0;
  double above = 0;
};

Swing empty_swing(const std::string& name, const Parameter& parameter) {
  return {name,
          *parameter.low,
          *parameter.high,
          parameter.source,
          std::string(name_of(parameter.basis)),
          {}};
}

/// Widens a swing by figures at one end of its range. What is zero in the run has no band.
void extend(Swing& swing, const Figures& end, const Figures& base) {
  for (const auto& [name, value] : end) {
    const auto own = base.find(name);
    if (own == base.end() || own->second == 0) continue;
    const double factor = value / own->second;
    BandFactor& extreme = swing.figures[name];
    extreme.low = std::min(extreme.low, factor);
    extreme.high = std::max(extreme.high, factor);
  }
}

Swing swing_of(const Scenario& scenario, const RunFigures& run, const AnalyticalClock& clock,
               const Knob& knob, const Figures& base) {
  Swing swing = empty_swing(knob.name, knob.parameter);
  for (const double end : {*knob.parameter.low, *knob.parameter.high}) {
    Scenario varied = scenario;
    knob.set(varied, end);
    try {
      extend(swing, figures_of(varied, run, clock, &knob), base);
    } catch (const ModelError&) {
      // The chip model has no such chip: this end of the range says nothing.
    }
  }
  return swing;
}

/// A constant of the software, which acts on times to the first token and on gaps by itself; its
/// spread is that of time_errors().
Swing software_swing(const Scenario& scenario, const TimeError& error, const PassTimes& passes,
                     const Figures& base) {
  const std::string name = error.cause.substr(software_prefix.size());
  Swing swing = empty_swing(error.cause, scenario.software.parameters.at(name));
  extend(swing, passes.at({1 + error.prefill.low, 1 + error.decode.low}), base);
  extend(swing, passes.at({1 + error.prefill.high, 1 + error.decode.high}), base);
  return swing;
}

void add_swing(const Swing& swing, std::map<std::string, Spread>& spreads) {
  for (const auto& [name, extreme] : swing.figures) {
    spreads[name].below += (1 - extreme.low) * (1 - extreme.low);
    spreads[name].above += (extreme.high - 1) * (extreme.high - 1);
  }
}

/// Figures at the two ends of a cause, relative to `centre`.
void spread_ends(const Figures& one, const Figures& other, const Figures& centre,
                 std::map<std::string, Spread>& spreads) {
  for (const auto& [name, middle] : centre) {
    // Owning may stop to pay at one end, whatever the use.
    if (!one.contains(name) || !other.contains(name)) continue;
    const double ends[] = {one.at(name) / middle, other.at(name) / middle};
    const double below = std::max(0.0, 1 - std::min(ends[0], ends[1]));
    const double above = std::max(0.0, std::max(ends[0], ends[1]) - 1);
    spreads[name].below += below * below;
    spreads[name].above += above * above;
  }
}

AnalyticalClock::Ratios without_biases(const std::vector<TimeError>& errors) {
  AnalyticalClock::Ratios unbiased;
  for (const TimeError& error : errors) {
    unbiased.prefill += error.shift_prefill;
    unbiased.decode += error.shift_decode;
  }
  return unbiased;
}

/// Adds the validated errors of kernels; returns the figures with their biases taken out.
Figures spread_kernels(const std::vector<TimeError>& errors,
                       const AnalyticalClock::Ratios& unbiased, const PassTimes& passes,
                       std::map<std::string, Spread>& spreads) {
  constexpr double shortest = 0.05;
  const Figures centre = passes.at(unbiased);
  for (const TimeError& error : errors) {
    spread_ends(
        passes.at({std::max(shortest, unbiased.prefill + error.prefill.low),
                   std::max(shortest, unbiased.decode + error.decode.low)}),
        passes.at({unbiased.prefill + error.prefill.high, unbiased.decode + error.decode.high}),
        centre, spreads);
  }
  return centre;
}

/// Squared deviations of an error that a figure takes over as it is.
void spread_factor(const std::string& figure, const ErrorFactor& error, Figures& centre,
                   std::map<std::string, Spread>& spreads) {
  const auto found = centre.find(figure);
  if (found == centre.end()) return;
  found->second *= error.bias;
  spreads[figure].below += (1 - 1 / error.spread) * (1 - 1 / error.spread);
  spreads[figure].above += (error.spread - 1) * (error.spread - 1);
}

/// Adds the errors of services to passes without the biases of kernels; returns the figures without
/// either's.
Figures spread_services(const RunErrors& errors, const AnalyticalClock::Ratios& unbiased,
                        const PassTimes& passes, std::map<std::string, Spread>& spreads) {
  const auto at = [&](double prefill, double decode) {
    return passes.at({unbiased.prefill * errors.ttft.bias * prefill,
                      unbiased.decode * errors.tpot.bias * decode});
  };
  Figures centre = at(1, 1);
  const double ttft = errors.ttft.spread, tpot = errors.tpot.spread;
  spread_ends(at(1 / ttft, 1), at(ttft, 1), centre, spreads);
  spread_ends(at(1, 1 / tpot), at(1, tpot), centre, spreads);
  for (const char* figure : {"average_power_w", "carbon_kg_per_hour"}) {
    spread_factor(figure, errors.power, centre, spreads);
  }
  for (const char* figure : {"energy_j_per_output_token", "carbon_g_per_m_output_tokens"}) {
    spread_factor(figure, errors.energy, centre, spreads);
  }
  spread_factor("tokens_per_s_per_mw", {1 / errors.energy.bias, errors.energy.spread}, centre,
                spreads);
  return centre;
}

std::map<std::string, BandFactor> factors_of(const Figures& base, const Figures& centre,
                                             const std::map<std::string, Spread>& spreads) {
  std::map<std::string, BandFactor> bands;
  for (const auto& [name, spread] : spreads) {
    if (spread.below <= 0 && spread.above <= 0) continue;
    if (!centre.contains(name) || !base.contains(name)) continue;
    const double middle = centre.at(name) / base.at(name);
    bands[name] = {middle * std::max(0.0, 1 - std::sqrt(spread.below)),
                   middle * (1 + std::sqrt(spread.above)), middle};
  }
  return bands;
}

/// Length of the run at the low end of its rates, over its own; nothing where they end at none.
std::optional<double> longest_run(const std::map<std::string, BandFactor>& bands) {
  const auto rate = bands.find("output_tokens_per_s");
  if (rate == bands.end()) return 1;
  if (rate->second.low <= 0) return std::nullopt;
  return 1 / std::min(1.0, rate->second.low);
}

}  // namespace

Bands bands_of(const Scenario& scenario, const RunResult& result, const AnalyticalClock& clock,
               const std::vector<Knob>& knobs) {
  const RunFigures run(result);
  const PassTimes passes(scenario, run, clock);
  const Figures base = figures_of(scenario, run, clock, nullptr);
  std::map<std::string, Spread> spreads;
  Bands bands;
  for (const Knob& knob : knobs) {
    if (knob.parameter.low && knob.parameter.high) {
      bands.swings.push_back(swing_of(scenario, run, clock, knob, base));
      add_swing(bands.swings.back(), spreads);
    }
  }
  const std::map<std::string, BandFactor> inputs = factors_of(base, base, spreads);
  const std::vector<TimeError> errors = time_errors(scenario, result);
  for (const TimeError& error : errors) {
    if (!error.cause.starts_with(software_prefix)) continue;
    bands.swings.push_back(software_swing(scenario, error, passes, base));
  }
  const AnalyticalClock::Ratios unbiased = without_biases(errors);
  Figures centre = spread_kernels(errors, unbiased, passes, spreads);
  bands.of_kernels = factors_of(base, centre, spreads);
  const RunErrors of_services = run_errors(scenario, result);
  centre = spread_services(of_services, unbiased, passes, spreads);
  bands.all = factors_of(base, centre, spreads);
  stop_at_floors({base, figures_at_floors(result, passes), inputs, of_services}, bands.all);
  if (const auto most = figures_at_power_limits(scenario, run, longest_run(bands.all))) {
    stop_at_power_limits(base, *most, bands.swings, bands.all);
  }
  return bands;
}

}  // namespace tandem
