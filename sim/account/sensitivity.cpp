#include "sim/account/sensitivity.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "sim/account/knobs.hpp"
#include "sim/account/model_errors.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/statistics.hpp"
#include "sim/describe/mix.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {
namespace {

constexpr double influence_step = 0.01;
constexpr std::size_t most_influences = 8;

using Figures = std::map<std::string, double>;

/// Times of the representative passes under a changed scenario, relative to the scenario's own.
/// What a pool spends its time on changes as the floor of its kind does: where passes are far above
/// their floors, a number counts for as much as the time that depends on it.
class AnalyticalClock {
 public:
  AnalyticalClock(const Scenario& scenario, const ServiceModel& model, const RunResult& result,
                  const Catalogue& catalogue, const NetworkFactory& make_network)
      : model_(model), result_(result), catalogue_(catalogue), make_network_(make_network) {
    base_ = floors(scenario, any_chip);
    choose_probes();
    weigh_parts();
  }

  /// Mean ratio of passes that compute prompts, and of those that only decode.
  struct Ratios {
    double prefill = 1;
    double decode = 1;
  };
  /// `chip`: whose numbers differ, or any_chip.
  [[nodiscard]] Ratios ratios(const Scenario& varied, const std::string& chip) const {
    const std::vector<StepFloor> now = floors(varied, chip);
    double sum[2] = {0, 0};
    int count[2] = {0, 0};
    for (std::size_t i = 0; i < now.size(); ++i) {
      const int kind = is_decode(result_.representatives[i]) ? 1 : 0;
      // Prompts of a draft model run beside those that give the first tokens.
      if (kind == 0 && phase_of_pool(result_.representatives[i].pool) == "draft") continue;
      sum[kind] += ratio_of(result_.representatives[i].pool, now[i], base_[i]);
      ++count[kind];
    }
    return {count[0] > 0 ? sum[0] / count[0] : 1, count[1] > 0 ? sum[1] / count[1] : 1};
  }

  /// Chip models of the pools under a changed scenario, for their energies.
  [[nodiscard]] std::map<std::string, EnergyCoefficients> coefficients(
      const Scenario& varied) const {
    std::map<std::string, EnergyCoefficients> result;
    StageStore store;
    for (const PoolUse& pool : result_.pools) {
      const PoolModel varied_pool(side_of(varied, pool.name), pool_of(pool.name), catalogue_,
                                  make_network_, store);
      EnergyCoefficients& c = result[pool.name];
      const ChipModel& chip = phase_of_pool(pool.name) == "ffn" ? varied_pool.feed_forward()->chip()
                                                                : varied_pool.chip();
      c.static_power_w = chip.static_power().count();
      for (const auto& [name, joules] : chip.energy_per_count()) {
        c.energy_per_count_j[name] = joules.count();
      }
    }
    return result;
  }

 private:
  [[nodiscard]] static bool is_decode(const RepresentativeStep& step) {
    return std::none_of(step.batch.slices.begin(), step.batch.slices.end(), is_prompt);
  }
  [[nodiscard]] const PoolModel& pool_of(const std::string& name) const {
    return model_.pool_named(name);
  }
  /// The scenario of the model that a pool runs.
  [[nodiscard]] Scenario side_of(const Scenario& varied, const std::string& pool) const {
    return varied.is_mix() ? deployment_side(varied, model_.deployment_of(pool)) : varied;
  }
  /// Whether passes of a pool run on such chips; the feed-forward pool takes part in decoding.
  [[nodiscard]] bool runs_on(const std::string& pool, const std::string& chip) const {
    const PoolModel& own = pool_of(pool);
    const FeedForwardPool* feeding = own.feed_forward();
    return own.chip().chip().name == chip ||
           (feeding != nullptr && feeding->chip().chip().name == chip);
  }
  /// The longest pass of every pool and kind.
  void choose_probes() {
    std::map<std::pair<std::string, bool>, std::size_t> longest;
    for (std::size_t i = 0; i < base_.size(); ++i) {
      const RepresentativeStep& step = result_.representatives[i];
      const auto [known, is_new] = longest.try_emplace({step.pool, is_decode(step)}, i);
      if (base_[i].latency > base_[known->second].latency) known->second = i;
    }
    for (const auto& [kind, index] : longest) probes_.push_back(index);
  }
  /// Most numbers move no floor at all: one that leaves the longest passes as they are is taken to
  /// leave all of them.
  [[nodiscard]] std::vector<StepFloor> floors(const Scenario& varied,
                                              const std::string& chip) const {
    StageStore store;
    std::map<std::string, std::unique_ptr<PoolModel>> pools;
    const auto floor_of = [&](std::size_t index) {
      const RepresentativeStep& step = result_.representatives[index];
      if (chip != any_chip && !runs_on(step.pool, chip)) return base_[index];
      std::unique_ptr<PoolModel>& pool = pools[step.pool];
      if (pool == nullptr) {
        pool = std::make_unique<PoolModel>(side_of(varied, step.pool), pool_of(step.pool),
                                           catalogue_, make_network_, store);
      }
      return pool->floor(step.batch);
    };
    if (!probes_.empty() && std::all_of(probes_.begin(), probes_.end(), [&](std::size_t index) {
          return floor_of(index) == base_[index];
        })) {
      return base_;
    }
    std::vector<StepFloor> floors;
    for (std::size_t i = 0; i < result_.representatives.size(); ++i) floors.push_back(floor_of(i));
    return floors;
  }
  /// Shares of a pool's time by kind_of_part(), waiting left out; empty where none was simulated.
  void weigh_parts() {
    for (const PoolUse& pool : result_.pools) {
      double total = 0;
      std::map<std::string, double>& shares = shares_[pool.name];
      for (const auto& [part, seconds] : pool.totals.part_seconds) {
        const std::string kind = kind_of_part(part);
        if (kind == waiting) continue;
        shares[kind] += seconds;
        total += seconds;
      }
      if (total <= 0) shares.clear();
      for (auto& [kind, share] : shares) share /= total;
    }
  }
  [[nodiscard]] double ratio_of(const std::string& pool, const StepFloor& now,
                                const StepFloor& before) const {
    const auto shares = shares_.find(pool);
    if (shares == shares_.end() || shares->second.empty()) {
      return to_seconds(now.latency) / to_seconds(before.latency);
    }
    double ratio = 0;
    for (const auto& [kind, share] : shares->second) {
      const auto then = before.parts.find(kind);
      const bool has_floor = then != before.parts.end() && then->second.count() > 0;
      ratio += share * (has_floor ? to_seconds(now.parts.at(kind)) / to_seconds(then->second) : 1);
    }
    return ratio;
  }

  const ServiceModel& model_;
  const RunResult& result_;
  const Catalogue& catalogue_;
  const NetworkFactory& make_network_;
  std::vector<StepFloor> base_;                                  ///< of the representative passes
  std::vector<std::size_t> probes_;                              ///< passes that are asked first
  std::map<std::string, std::map<std::string, double>> shares_;  ///< by pool and kind
};

/// Means of the run that the ratios act on.
struct Means {
  double ttft = 0;
  double after_first = 0;
};
Means means_of(const RunResult& result) {
  Means means;
  for (const RequestRecord& record : result.requests) {
    means.ttft += record.ttft_ms;
    means.after_first += record.e2e_ms - record.ttft_ms;
  }
  const auto count = static_cast<double>(result.requests.size());
  return {means.ttft / count, means.after_first / count};
}

double request_time_ratio(const Means& means, const AnalyticalClock::Ratios& r) {
  return (means.ttft * r.prefill + means.after_first * r.decode) / (means.ttft + means.after_first);
}

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
  const double e2e = request_time_ratio(means_of(result), r);
  const double duration = result.traffic.arrivals == ArrivalKind::Closed ? e2e : 1;
  return figures_at(result, r,
                    is_physical ? account_with(varied, result, clock.coefficients(varied), duration)
                                : account(varied, result),
                    e2e);
}

/// With passes of other times and the scenario's own numbers.
Figures figures_with(const Scenario& scenario, const RunResult& result,
                     const std::map<std::string, EnergyCoefficients>& coefficients,
                     const AnalyticalClock::Ratios& r) {
  const double e2e = request_time_ratio(means_of(result), r);
  const double duration = result.traffic.arrivals == ArrivalKind::Closed ? e2e : 1;
  return figures_at(result, r, account_with(scenario, result, coefficients, duration), e2e);
}

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

/// Adds the validated errors of the model; returns the figures with its biases taken out.
Figures spread_errors(const Scenario& scenario, const RunResult& result,
                      const AnalyticalClock& clock, const Figures& base,
                      std::map<std::string, Spread>& spreads) {
  const std::vector<TimeError> errors = time_errors(scenario, result);
  if (errors.empty()) return base;
  const auto coefficients = clock.coefficients(scenario);
  AnalyticalClock::Ratios unbiased;
  for (const TimeError& error : errors) {
    unbiased.prefill += error.shift_prefill;
    unbiased.decode += error.shift_decode;
  }
  const Figures centre = figures_with(scenario, result, coefficients, unbiased);
  for (const TimeError& error : errors) {
    spread_ends(
        figures_with(scenario, result, coefficients,
                     {std::max(0.05, unbiased.prefill + error.prefill.low),
                      std::max(0.05, unbiased.decode + error.decode.low)}),
        figures_with(scenario, result, coefficients,
                     {unbiased.prefill + error.prefill.high, unbiased.decode + error.decode.high}),
        centre, spreads);
  }
  for (const char* energy :
       {"energy_j_per_output_token", "average_power_w", "tokens_per_s_per_mw"}) {
    const double squared = power_error() * power_error();
    if (!base.contains(energy)) continue;
    spreads[energy].below += squared;
    spreads[energy].above += squared;
  }
  return centre;
}

std::map<std::string, BandFactor> bands_of(const Scenario& scenario, const RunResult& result,
                                           const AnalyticalClock& clock,
                                           const std::vector<Knob>& knobs,
                                           std::vector<Swing>& swings) {
  const Figures base = figures_of(scenario, result, clock, nullptr);
  std::map<std::string, Spread> spreads;
  for (const Knob& knob : knobs) {
    if (knob.parameter.low && knob.parameter.high) {
      swings.push_back(swing_of(scenario, result, clock, knob, base));
      add_swing(swings.back(), spreads);
    }
  }
  const Figures centre = spread_errors(scenario, result, clock, base, spreads);
  std::map<std::string, BandFactor> bands;
  for (const auto& [name, spread] : spreads) {
    if (spread.below <= 0 && spread.above <= 0) continue;
    const double middle = centre.at(name) / base.at(name);
    bands[name] = {middle * std::max(0.0, 1 - std::sqrt(spread.below)),
                   middle * (1 + std::sqrt(spread.above))};
  }
  return bands;
}

std::optional<double> elasticity_of(const Scenario& scenario, const AnalyticalClock& clock,
                                    const Means& means, const Knob& knob) {
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
      times[side] = request_time_ratio(means, clock.ratios(varied, knob.chip));
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
  const Means means = means_of(result);
  Sensitivity sensitivity;
  sensitivity.bands = bands_of(scenario, result, clock, knobs, sensitivity.swings);
  for (const Knob& knob : knobs) {
    if (!knob.moves_time()) continue;
    const std::optional<double> elasticity = elasticity_of(scenario, clock, means, knob);
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
