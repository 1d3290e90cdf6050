#include "sim/account/analytical_clock.hpp"

#include <algorithm>

#include "sim/account/knobs.hpp"
#include "sim/describe/mix.hpp"
#include "sim/step/generate.hpp"

namespace tandem {
namespace {

bool is_decode(const RepresentativeStep& step) {
  return std::none_of(step.batch.slices.begin(), step.batch.slices.end(), is_prompt);
}

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

}  // namespace

AnalyticalClock::AnalyticalClock(const Scenario& scenario, const ServiceModel& model,
                                 const RunResult& result, const Catalogue& catalogue,
                                 const NetworkFactory& make_network)
    : model_(model), result_(result), catalogue_(catalogue), make_network_(make_network) {
  base_ = floors(scenario, any_chip);
  choose_probes();
  weigh_parts();
}

AnalyticalClock::Ratios AnalyticalClock::ratios(const Scenario& varied,
                                                const std::string& chip) const {
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

std::map<std::string, EnergyCoefficients> AnalyticalClock::coefficients(
    const Scenario& varied) const {
  std::map<std::string, EnergyCoefficients> result;
  for (const PoolUse& pool : result_.pools) {
    const PoolModel& own = pool_of(pool.name);
    const PoolPlacement& placement =
        phase_of_pool(pool.name) == "ffn" ? own.feed_forward()->placement() : own.placement();
    std::optional<Scenario> side;
    const auto chip = make_chip_model(side_of(varied, pool.name, side), catalogue_, placement.pool);
    EnergyCoefficients& c = result[pool.name];
    c.static_power_w = chip->static_power().count();
    for (const auto& [name, joules] : chip->energy_per_count()) {
      c.energy_per_count_j[name] = joules.count();
    }
  }
  return result;
}

const PoolModel& AnalyticalClock::pool_of(const std::string& name) const {
  return model_.pool_named(name);
}

/// The scenario of the model that a pool runs; of a mix it is put into `side`.
const Scenario& AnalyticalClock::side_of(const Scenario& varied, const std::string& pool,
                                         std::optional<Scenario>& side) const {
  if (!varied.is_mix()) return varied;
  return side.emplace(deployment_side(varied, model_.deployment_of(pool)));
}

/// Whether passes of a pool run on such chips; the feed-forward pool takes part in decoding.
bool AnalyticalClock::runs_on(const std::string& pool, const std::string& chip) const {
  const PoolModel& own = pool_of(pool);
  const FeedForwardPool* feeding = own.feed_forward();
  return own.chip().chip().name == chip ||
         (feeding != nullptr && feeding->chip().chip().name == chip);
}

/// The longest pass of every pool and kind.
void AnalyticalClock::choose_probes() {
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
std::vector<StepFloor> AnalyticalClock::floors(const Scenario& varied,
                                               const std::string& chip) const {
  StageStore store;
  std::map<std::string, std::unique_ptr<PoolModel>> pools;
  const auto floor_of = [&](std::size_t index) {
    const RepresentativeStep& step = result_.representatives[index];
    if (chip != any_chip && !runs_on(step.pool, chip)) return base_[index];
    std::unique_ptr<PoolModel>& pool = pools[step.pool];
    if (pool == nullptr) {
      std::optional<Scenario> side;
      pool = std::make_unique<PoolModel>(side_of(varied, step.pool, side), pool_of(step.pool),
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
void AnalyticalClock::weigh_parts() {
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

double AnalyticalClock::ratio_of(const std::string& pool, const StepFloor& now,
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

double request_time_ratio(const RunResult& result, const AnalyticalClock::Ratios& r) {
  const Means means = means_of(result);
  return (means.ttft * r.prefill + means.after_first * r.decode) / (means.ttft + means.after_first);
}

}  // namespace tandem
