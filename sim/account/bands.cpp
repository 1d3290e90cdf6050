#include "sim/account/bands.hpp"

#include <algorithm>
#include <cmath>

#include "sim/account/model_errors.hpp"
#include "sim/account/service_errors.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

using Figures = std::map<std::string, double>;

void put(Figures& figures, const char* name, const std::optional<double>& value) {
  if (value) figures[name] = *value;
}

/// With passes that take these ratios of their times.
Figures figures_at(const RunResult& result, const AnalyticalClock::Ratios& r,
                   const Accounting& books, double e2e) {
  // Users that wait for their answers slow down with the service; other arrivals do not.
  const double duration = result.traffic.arrivals == ArrivalKind::Closed ? e2e : 1;
  Figures figures;
  figures["ttft_ms"] = r.prefill;
  figures["tpot_ms"] = r.decode;
  figures["itl_ms"] = r.decode;
  figures["e2e_ms"] = e2e;
  figures["output_tokens_per_s_per_user"] = 1 / r.decode;
  for (const char* rate : {"output_tokens_per_s", "total_tokens_per_s", "requests_per_s"}) {
    figures[rate] = 1 / duration;
  }
  put(figures, "energy_j_per_output_token", books.energy_j_per_output_token);
  put(figures, "average_power_w", books.average_power_w);
  put(figures, "tokens_per_s_per_mw", books.tokens_per_s_per_mw);
  put(figures, "usd_per_hour", books.usd_per_hour);
  put(figures, "usd_per_hour_used", books.usd_per_hour_used);
  put(figures, "usd_per_m_input_tokens", books.usd_per_m_input_tokens);
  put(figures, "usd_per_m_output_tokens", books.usd_per_m_output_tokens);
  put(figures, "usd_per_m_total_tokens", books.usd_per_m_total_tokens);
  return figures;
}

/// With one number of the scenario changed; none: with its own numbers.
Figures figures_of(const Scenario& varied, const RunResult& result, const AnalyticalClock& clock,
                   const Knob* changed) {
  const AnalyticalClock::Ratios r = changed != nullptr && changed->moves_time()
                                        ? clock.ratios(varied, changed->chip)
                                        : AnalyticalClock::Ratios{};
  const bool is_physical = changed == nullptr || changed->is_physical;
  const double e2e = request_time_ratio(result, r);
  const double duration = result.traffic.arrivals == ArrivalKind::Closed ? e2e : 1;
  return figures_at(result, r,
                    is_physical ? account_with(varied, result, clock.coefficients(varied), duration)
                                : account(varied, result),
                    e2e);
}

/// The run's figures with passes of other times and the scenario's own numbers.
class PassTimes {
 public:
  PassTimes(const Scenario& scenario, const RunResult& result, const AnalyticalClock& clock)
      : scenario_(scenario), result_(result), coefficients_(clock.coefficients(scenario)) {}

  [[nodiscard]] Figures at(const AnalyticalClock::Ratios& r) const {
    const double e2e = request_time_ratio(result_, r);
    const double duration = result_.traffic.arrivals == ArrivalKind::Closed ? e2e : 1;
    return figures_at(result_, r, account_with(scenario_, result_, coefficients_, duration), e2e);
  }

 private:
  const Scenario& scenario_;
  const RunResult& result_;
  std::map<std::string, EnergyCoefficients> coefficients_;
};

/// Sums of squared relative deviations, below and above.
struct Spread {
  double below = 0;
  double above = 0;
};

Swing swing_of(const Scenario& scenario, const RunResult& result, const AnalyticalClock& clock,
               const Knob& knob, const Figures& base) {
  Swing swing{knob.name,
              *knob.parameter.low,
              *knob.parameter.high,
              knob.parameter.source,
              std::string(name_of(knob.parameter.basis)),
              {}};
  for (const double end : {*knob.parameter.low, *knob.parameter.high}) {
    Scenario varied = scenario;
    knob.set(varied, end);
    try {
      for (const auto& [name, value] : figures_of(varied, result, clock, &knob)) {
        const double factor = value / base.at(name);
        BandFactor& extreme = swing.figures[name];
        extreme.low = std::min(extreme.low, factor);
        extreme.high = std::max(extreme.high, factor);
      }
    } catch (const ModelError&) {
      // The chip model has no such chip: this end of the range says nothing.
    }
  }
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
  spread_factor("average_power_w", errors.power, centre, spreads);
  spread_factor("energy_j_per_output_token", errors.energy, centre, spreads);
  spread_factor("tokens_per_s_per_mw", {1 / errors.energy.bias, errors.energy.spread}, centre,
                spreads);
  return centre;
}

std::map<std::string, BandFactor> factors_of(const Figures& base, const Figures& centre,
                                             const std::map<std::string, Spread>& spreads) {
  std::map<std::string, BandFactor> bands;
  for (const auto& [name, spread] : spreads) {
    if (spread.below <= 0 && spread.above <= 0) continue;
    const double middle = centre.at(name) / base.at(name);
    bands[name] = {middle * std::max(0.0, 1 - std::sqrt(spread.below)),
                   middle * (1 + std::sqrt(spread.above)), middle};
  }
  return bands;
}

}  // namespace

Bands bands_of(const Scenario& scenario, const RunResult& result, const AnalyticalClock& clock,
               const std::vector<Knob>& knobs) {
  const Figures base = figures_of(scenario, result, clock, nullptr);
  std::map<std::string, Spread> spreads;
  Bands bands;
  for (const Knob& knob : knobs) {
    if (knob.parameter.low && knob.parameter.high) {
      bands.swings.push_back(swing_of(scenario, result, clock, knob, base));
      add_swing(bands.swings.back(), spreads);
    }
  }
  const std::vector<TimeError> errors = time_errors(scenario, result);
  const AnalyticalClock::Ratios unbiased = without_biases(errors);
  const PassTimes passes(scenario, result, clock);
  Figures centre = spread_kernels(errors, unbiased, passes, spreads);
  bands.of_kernels = factors_of(base, centre, spreads);
  centre = spread_services(run_errors(scenario, result), unbiased, passes, spreads);
  bands.all = factors_of(base, centre, spreads);
  return bands;
}

}  // namespace tandem
