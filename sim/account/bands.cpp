#include "sim/account/bands.hpp"

#include <algorithm>
#include <cmath>

#include "sim/account/model_errors.hpp"
#include "sim/account/ownership.hpp"
#include "sim/account/service_errors.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/service/backlog.hpp"

namespace tandem {
namespace {

using Figures = std::map<std::string, double>;

constexpr std::string_view software_prefix = "software.";
constexpr const char* rates[] = {"output_tokens_per_s", "total_tokens_per_s", "requests_per_s"};

void put(Figures& figures, const char* name, const std::optional<double>& value) {
  if (value) figures[name] = *value;
}

/// The busiest pool of a run whose queue grew for as long as requests came; null for others.
const PoolUse* bottleneck_of(const RunResult& result) {
  const auto backlog = backlog_of(result);
  if (!backlog || !backlog->grows()) return nullptr;
  const auto busiest = std::max_element(result.pools.begin(), result.pools.end(),
                                        [](const PoolUse& one, const PoolUse& other) {
                                          return one.bottleneck_busy < other.bottleneck_busy;
                                        });
  return busiest == result.pools.end() ? nullptr : &*busiest;
}

/// Figures of a run with other numbers and times, relative ones but for energy and money.
class RunFigures {
 public:
  explicit RunFigures(const RunResult& result)
      : result_(result), bottleneck_(bottleneck_of(result)) {}

  /// Time of the run over its own. Users that wait for their answers slow down with the service, a
  /// queue without end drains as its busiest pool works; other arrivals come when they come.
  [[nodiscard]] double duration(const AnalyticalClock::Ratios& r) const {
    if (result_.traffic.arrivals == ArrivalKind::Closed) return request_time_ratio(result_, r);
    if (bottleneck_ == nullptr) return 1;
    const PoolTotals& work = bottleneck_->totals;
    const double floors = work.prefill_floor_s + work.decode_floor_s;
    return floors > 0 ? (work.prefill_floor_s * r.prefill + work.decode_floor_s * r.decode) / floors
                      : 1;
  }

  /// With passes that take these ratios of their times.
  [[nodiscard]] Figures at(const AnalyticalClock::Ratios& r, const Accounting& books,
                           const ParameterSet& prices) const {
    Figures figures;
    figures["ttft_ms"] = r.prefill;
    figures["tpot_ms"] = r.decode;
    figures["itl_ms"] = r.decode;
    figures["e2e_ms"] = request_time_ratio(result_, r);
    figures["output_tokens_per_s_per_user"] = 1 / r.decode;
    for (const char* rate : rates) figures[rate] = 1 / duration(r);
    put(figures, "energy_j_per_output_token", books.energy_j_per_output_token);
    put(figures, "average_power_w", books.average_power_w);
    put(figures, "tokens_per_s_per_mw", books.tokens_per_s_per_mw);
    put(figures, "usd_per_hour", books.usd_per_hour);
    put(figures, "usd_per_hour_used", books.usd_per_hour_used);
    put(figures, "usd_per_m_input_tokens", books.usd_per_m_input_tokens);
    put(figures, "usd_per_m_output_tokens", books.usd_per_m_output_tokens);
    put(figures, "usd_per_m_total_tokens", books.usd_per_m_total_tokens);
    const double grams = price_or(prices, "carbon_g_per_kwh", 0) * price_or(prices, "pue", 1);
    if (prices.has("carbon_g_per_kwh") && books.average_power_w) {
      figures["carbon_kg_per_hour"] = *books.average_power_w * grams;
      figures["carbon_g_per_m_output_tokens"] = *books.energy_j_per_output_token * grams;
    }
    return figures;
  }

  [[nodiscard]] const RunResult& result() const { return result_; }

 private:
  const RunResult& result_;
  const PoolUse* bottleneck_;
};

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
  return run.at(r, books, varied.prices.parameters);
}

/// The run's figures with passes of other times and the scenario's own numbers.
class PassTimes {
 public:
  PassTimes(const Scenario& scenario, const RunFigures& run, const AnalyticalClock& clock)
      : scenario_(scenario), run_(run), coefficients_(clock.coefficients(scenario)) {}

  [[nodiscard]] Figures at(const AnalyticalClock::Ratios& r) const {
    return run_.at(r, account_with(scenario_, run_.result(), coefficients_, run_.duration(r)),
                   scenario_.prices.parameters);
  }

 private:
  const Scenario& scenario_;
  const RunFigures& run_;
  std::map<std::string, EnergyCoefficients> coefficients_;
};

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
    const double middle = centre.at(name) / base.at(name);
    bands[name] = {middle * std::max(0.0, 1 - std::sqrt(spread.below)),
                   middle * (1 + std::sqrt(spread.above)), middle};
  }
  return bands;
}

/// Floors of the run's own passes over its times, and its rates over those at their floors.
struct Floors {
  double ttft = 0, tpot = 0, e2e = 0, rate = 0;
};
Floors floors_of(const RunResult& result) {
  double ttft = 0, tpot = 0, rest = 0, rest_floor = 0;
  Floors floors;
  for (const RequestRecord& request : result.requests) {
    const auto gaps = static_cast<double>(std::max<std::int64_t>(0, request.output - 1));
    ttft += request.ttft_ms;
    floors.ttft += request.ttft_floor_ms;
    tpot += request.tpot_ms;
    floors.tpot += request.tpot_floor_ms;
    rest += request.e2e_ms - request.ttft_ms;
    rest_floor += gaps * request.tpot_floor_ms;
  }
  Picoseconds busiest{0};
  for (const PoolUse& pool : result.pools) busiest = std::max(busiest, pool.floor_busy);
  const auto over = [](double floor, double time) { return time > 0 ? floor / time : 0; };
  return {over(floors.ttft, ttft), over(floors.tpot, tpot),
          over(floors.ttft + rest_floor, ttft + rest),
          over(to_seconds(busiest), result.simulated_s)};
}

/// No error of kernels or services makes a pass faster than its floor: low ends of times stop
/// there, and rates at its inverse. `inputs`: bands of the inputs' ranges alone, which move floors
/// as well.
void stop_at_floors(const RunResult& result, const std::map<std::string, BandFactor>& inputs,
                    std::map<std::string, BandFactor>& bands) {
  const Floors floors = floors_of(result);
  const auto moved = [&](const char* figure, double factor, bool is_rate) {
    const auto found = inputs.find(figure);
    if (found == inputs.end()) return factor;
    return factor * (is_rate ? 1 / found->second.high : found->second.low);
  };
  const auto stop_time = [&](const char* figure, double floor) {
    const auto band = bands.find(figure);
    if (band == bands.end() || floor <= 0) return;
    band->second.low = std::max(band->second.low, std::min(1.0, moved(figure, floor, false)));
    band->second.high = std::max(band->second.high, band->second.low);
  };
  const auto stop_rate = [&](const char* figure, double floor) {
    const auto band = bands.find(figure);
    if (band == bands.end() || floor <= 0) return;
    band->second.high = std::min(band->second.high, 1 / std::min(1.0, moved(figure, floor, true)));
    band->second.low = std::min(band->second.low, band->second.high);
  };
  stop_time("ttft_ms", floors.ttft);
  stop_time("tpot_ms", floors.tpot);
  stop_time("itl_ms", floors.tpot);
  stop_time("e2e_ms", floors.e2e);
  stop_rate("output_tokens_per_s_per_user", floors.tpot);
  for (const char* rate : rates) stop_rate(rate, floors.rate);
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
  centre = spread_services(run_errors(scenario, result), unbiased, passes, spreads);
  bands.all = factors_of(base, centre, spreads);
  stop_at_floors(result, inputs, bands.all);
  return bands;
}

}  // namespace tandem
