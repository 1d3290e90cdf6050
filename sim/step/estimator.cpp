#include "sim/step/estimator.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

namespace tandem {
namespace {

constexpr std::int64_t representative_steps = 12;
constexpr double normal_95_percent = 1.959964;  // two-sided quantile of the normal distribution

template <class T>
T sum(const std::vector<T>& times) {
  T total{0};
  for (const T time : times) total += time;
  return total;
}

void add_times(const std::vector<Picoseconds>& times, double weight, std::vector<double>& sums) {
  sums.resize(std::max(sums.size(), times.size()));
  for (std::size_t i = 0; i < times.size(); ++i) {
    sums[i] += weight * static_cast<double>(times[i].count());
  }
}

Picoseconds rounded(double picoseconds) {
  return Picoseconds(std::llround(picoseconds));
}

// Mean and standard error of a sample; with all `population` members in it there is no error.
struct Estimate {
  double mean = 0;
  double error = 0;
};
Estimate estimate_mean(const std::vector<double>& values, const std::vector<double>& weights,
                       std::int64_t population) {
  Estimate result;
  double total = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    result.mean += weights[i] * values[i];
    total += weights[i];
  }
  if (total <= 0) return result;
  result.mean /= total;
  const auto count = static_cast<double>(values.size());
  if (values.size() < 2) return result;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  const double left_out = 1 - count / static_cast<double>(population);
  result.error = std::sqrt(squares / (count - 1) / count * std::max(0.0, left_out));
  return result;
}

}  // namespace

Picoseconds StepEstimate::latency() const {
  return sum(stations) + sum(hops);
}

Picoseconds StepEstimate::period() const {
  return stations.empty() ? Picoseconds(0) : *std::max_element(stations.begin(), stations.end());
}

bool is_prompt(const SequenceSlice& slice) {
  return !slice.is_decode() || !slice.wants_logits;
}

namespace {

/// Where decode attention begins another wave of CTAs, one per KV head of a chip and request.
DecodeEdges edges_of(const PoolModel& pool) {
  const std::int64_t units = pool.chip().parallel_units();
  const Stage& stage = pool.stations().front().stages.front();
  if (units == 0) return {};
  for (const LayerKind& kind : shard_of(stage.network, stage.shard).kinds) {
    if (const auto* attention = std::get_if<GroupedAttention>(&kind.mixer)) {
      return wave_edges(units, attention->shape.kv_heads, stage.shard.of.attention_data);
    }
  }
  return {};
}

/// Passes behind any context beyond the tokens that stay cost the same: no layer sees further.
bool evicts_all_layers(const PoolModel& pool) {
  if (pool.placement().eviction.share > 0) return false;
  const auto& kinds = pool.stations().front().stages.front().network.kinds;
  return std::ranges::all_of(kinds, [](const LayerKind& kind) { return cache_window(kind) == 0; });
}

}  // namespace

StepEstimator::StepEstimator(PoolModel& pool, Fidelity fidelity, bool exact)
    : pool_(pool), fidelity_(fidelity), exact_(exact), edges_(edges_of(pool)) {}

// On chips with static schedules the KV length counts in whole blocks: the longest pass of the
// same trip counts stands for all, whatever the order of its requests, and is simulated exactly.
Batch StepEstimator::canonical(const Batch& batch) const {
  const std::int64_t block = pool_.chip().context_granularity();
  Batch result = batch;
  for (SequenceSlice& slice : result.slices) {
    slice.request = 0;
    if (evicts_all_layers(pool_)) {
      slice.context = pool_.placement().eviction.kept(slice.context);
    }
    const std::int64_t length = slice.context + slice.new_tokens;
    slice.context = (length + block - 1) / block * block - slice.new_tokens;
  }
  std::ranges::stable_sort(result.slices, std::ranges::greater{}, [](const SequenceSlice& slice) {
    return std::tuple(slice.new_tokens, slice.context, slice.wants_logits, slice.verified,
                      slice.in_round);
  });
  return result;
}

StepEstimate StepEstimator::analytical(const StepFloor& floor) {
  StepEstimate estimate;
  estimate.floor_latency = floor.latency;
  estimate.floor_period = floor.period;
  estimate.stations = {floor.period};
  estimate.hops = {floor.latency - floor.period};
  return estimate;
}

const StepCost& StepEstimator::simulated_step(const Batch& batch) {
  simulated_.insert(key_of(batch));
  return pool_.step(batch);
}

void StepEstimator::count(const StepCost& cost, double weight, PoolTotals& totals) {
  for (const auto& [name, value] : cost.activity) {
    totals.activity[name] += weight * static_cast<double>(value);
  }
  for (const auto& [name, bytes] : cost.link_bytes) {
    totals.link_bytes[name] += weight * static_cast<double>(bytes);
  }
  totals.matrix_flops += weight * static_cast<double>(cost.matrix.count());
  totals.memory_bytes += weight * static_cast<double>(cost.memory.count());
  totals.kernels += weight * static_cast<double>(cost.kernels);
  RemoteTotals& remote = totals.remote;
  for (const auto& [name, value] : cost.remote.activity) {
    remote.activity[name] += weight * static_cast<double>(value);
  }
  remote.matrix_flops += weight * static_cast<double>(cost.remote.matrix.count());
  remote.memory_bytes += weight * static_cast<double>(cost.remote.memory.count());
  remote.kernels += weight * static_cast<double>(cost.remote.kernels);
  remote.busy_s += weight * to_seconds(cost.remote.busy);
  for (const auto& [name, time] : cost.parts) {
    totals.part_seconds[name] += weight * to_seconds(time);
  }
  totals.bottleneck_seconds[cost.bottleneck] += weight * to_seconds(cost.period());
}

/// The same sums in the same order as count() with a weight of one, so the same to the last bit.
StepEstimator::Count StepEstimator::count_of(const StepCost& cost, PoolTotals& totals) {
  Count count;
  const auto add = [&](double& total, double more) { count.more.emplace_back(&total, more); };
  for (const auto& [name, value] : cost.activity) {
    add(totals.activity[name], static_cast<double>(value));
  }
  for (const auto& [name, bytes] : cost.link_bytes) {
    add(totals.link_bytes[name], static_cast<double>(bytes));
  }
  add(totals.matrix_flops, static_cast<double>(cost.matrix.count()));
  add(totals.memory_bytes, static_cast<double>(cost.memory.count()));
  add(totals.kernels, static_cast<double>(cost.kernels));
  RemoteTotals& remote = totals.remote;
  for (const auto& [name, value] : cost.remote.activity) {
    add(remote.activity[name], static_cast<double>(value));
  }
  add(remote.matrix_flops, static_cast<double>(cost.remote.matrix.count()));
  add(remote.memory_bytes, static_cast<double>(cost.remote.memory.count()));
  add(remote.kernels, static_cast<double>(cost.remote.kernels));
  add(remote.busy_s, to_seconds(cost.remote.busy));
  for (const auto& [name, time] : cost.parts) add(totals.part_seconds[name], to_seconds(time));
  add(totals.bottleneck_seconds[cost.bottleneck], to_seconds(cost.period()));
  return count;
}

StepEstimator::StaticPass& StepEstimator::static_pass(const Batch& batch) {
  const auto [known, is_new] = static_passes_.try_emplace(key_of(batch));
  StaticPass& pass = known->second;
  if (is_new) {
    pass.floor = &pool_.floor(batch);
    pass.cost = &simulated_step(canonical(batch));
    pass.prompt_share = prompt_share(batch);
  }
  return pass;
}

StepEstimate StepEstimator::estimate_of(const StaticPass& pass) {
  StepEstimate estimate;
  estimate.stations = pass.cost->stations;
  estimate.hops = pass.cost->hops;
  estimate.floor_latency = pass.floor->latency;
  estimate.floor_period = pass.floor->period;
  return estimate;
}

StepEstimate StepEstimator::execute_static(const Batch& batch) {
  StaticPass& pass = static_pass(batch);
  split_floor(pass.prompt_share, *pass.floor);
  if (pass.count == nullptr) {
    const auto [known, is_new] = counts_.try_emplace(pass.cost);
    if (is_new) known->second = count_of(*pass.cost, totals_);
    pass.count = &known->second;
  }
  for (const auto& [total, more] : pass.count->more) *total += more;
  return estimate_of(pass);
}

void StepEstimator::simulate_exactly(const Batch& batch, StepEstimate& estimate) {
  const StepCost& cost = simulated_step(batch);
  estimate.stations = cost.stations;
  estimate.hops = cost.hops;
  count(cost, 1, totals_);
}

StepEstimator::Anchor& StepEstimator::anchor_at(const BatchFeatures& point) {
  const auto [known, is_new] = anchors_.try_emplace(point);
  if (is_new) {
    const Batch batch = anchor_batch(point);
    known->second.cost = &simulated_step(batch);
    known->second.floor = pool_.floor(batch).latency;
  }
  return known->second;
}

PoolTotals StepEstimator::totals() const {
  PoolTotals totals = totals_;
  for (const auto& [point, anchor] : anchors_) count(*anchor.cost, anchor.weight, totals);
  return totals;
}

// Where the floor bends between anchors, time is taken to bend as much.
void StepEstimator::interpolate(const Batch& batch, StepEstimate& estimate) {
  std::vector<double> stations, hops;
  double floor = 0;
  const std::vector<Corner> corners = corners_of(features_of(batch), edges_);
  for (const Corner& corner : corners) {
    Anchor& anchor = anchor_at(corner.point);
    add_times(anchor.cost->stations, corner.weight, stations);
    add_times(anchor.cost->hops, corner.weight, hops);
    floor += corner.weight * static_cast<double>(anchor.floor.count());
    anchor.weight += corner.weight;
  }
  const double chord = sum(stations) + sum(hops);
  const double bend = static_cast<double>(estimate.floor_latency.count()) - floor;
  const double factor = chord > 0 ? std::max(0.0, 1 + bend / chord) : 1;
  for (const double time : stations) estimate.stations.push_back(rounded(factor * time));
  for (const double time : hops) estimate.hops.push_back(rounded(factor * time));
  const bool is_anchor =
      corners.size() == 1 && key_of(anchor_batch(corners.front().point)) == key_of(batch);
  estimate.interpolated = !is_anchor;
}

double StepEstimator::prompt_share(const Batch& batch) {
  const auto prompts_of = std::ranges::count_if(batch.slices, is_prompt);
  if (prompts_of == 0) return 0;
  if (prompts_of == std::ssize(batch.slices)) return 1;
  Batch prompts, decodes;
  for (const SequenceSlice& slice : batch.slices) {
    (is_prompt(slice) ? prompts : decodes).slices.push_back(slice);
  }
  const double a = to_seconds(pool_.floor(prompts).period);
  const double b = to_seconds(pool_.floor(decodes).period);
  return a / (a + b);
}

void StepEstimator::split_floor(double prompt_share, const StepFloor& floor) {
  totals_.prefill_floor_s += prompt_share * to_seconds(floor.period);
  totals_.decode_floor_s += (1 - prompt_share) * to_seconds(floor.period);
}

StepEstimate StepEstimator::expect(const Batch& batch) {
  if (fidelity_ == Fidelity::Analytical) return analytical(pool_.floor(batch));
  return estimate_of(static_pass(batch));
}

StepEstimate StepEstimator::execute(const Batch& batch) {
  ++totals_.steps;
  if (fidelity_ == Fidelity::Cycle && pool_.is_static()) return execute_static(batch);
  const StepFloor& floor = pool_.floor(batch);
  split_floor(prompt_share(batch), floor);
  if (fidelity_ == Fidelity::Analytical) return analytical(floor);
  StepEstimate estimate;
  estimate.floor_latency = floor.latency;
  estimate.floor_period = floor.period;
  if (exact_) {
    simulate_exactly(batch, estimate);
  } else {
    interpolate(batch, estimate);
  }
  if (estimate.interpolated) ++totals_.interpolated;
  return estimate;
}

StepReservoir::StepReservoir(std::uint64_t seed, std::string_view stream, std::int64_t size)
    : stream_(seed, stream), size_(static_cast<std::size_t>(size)) {}

void StepReservoir::offer(PoolModel& pool, const Batch& batch, const StepEstimate& estimate) {
  if (size_ == 0) return;
  ++offered_;
  const double weight = static_cast<double>(estimate.latency().count());
  // log(u) / w orders like u^(1/w) and does not underflow.
  const double priority = std::log(1 - stream_.uniform()) / weight;
  const auto later = [](const SampledStep& a, const SampledStep& b) {
    return a.priority > b.priority;
  };
  if (heap_.size() == size_) {
    if (priority <= heap_.front().priority) return;
    std::pop_heap(heap_.begin(), heap_.end(), later);
    heap_.pop_back();
  }
  heap_.push_back({priority, &pool, batch, weight});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

StepSampler::StepSampler(std::uint64_t seed, std::int64_t audit_steps)
    : audited_(seed, "audit", audit_steps),
      representatives_(seed, "representatives", representative_steps) {}

void StepSampler::offer(StepEstimator& estimator, const Batch& batch,
                        const StepEstimate& estimate) {
  offer_to_audit(estimator, batch, estimate);
  representatives_.offer(estimator.pool(), batch, estimate);
}

void StepSampler::offer_to_audit(StepEstimator& estimator, const Batch& batch,
                                 const StepEstimate& estimate) {
  if (estimate.interpolated) audited_.offer(estimator.pool(), batch, estimate);
}

AuditReport StepSampler::audit() const {
  std::vector<double> errors, biases, weights, bias_weights;
  const bool is_complete =
      static_cast<std::int64_t>(audited_.samples().size()) == audited_.offered();
  for (const SampledStep& sample : audited_.samples()) {
    const auto exact = static_cast<double>(sample.pool->step(sample.batch).latency().count());
    const double error = (sample.estimated - exact) / exact;
    // A sample drawn in proportion to time weighs by being drawn; a complete one by its time.
    const double weight = is_complete ? exact : 1;
    errors.push_back(std::abs(error));
    weights.push_back(weight);
    if (features_of(sample.batch).decodes > 0) {
      biases.push_back(error);
      bias_weights.push_back(weight);
    }
  }
  AuditReport report;
  report.steps = static_cast<std::int64_t>(audited_.samples().size());
  const Estimate mean = estimate_mean(errors, weights, audited_.offered());
  report.mean_error = mean.mean;
  report.mean_error_bound = mean.mean + normal_95_percent * mean.error;
  // TPOT averages a request's passes, so what remains of their errors is the bias.
  const Estimate bias = estimate_mean(biases, bias_weights, audited_.offered());
  report.tpot_p99_error = std::abs(bias.mean) + normal_95_percent * bias.error;
  return report;
}

}  // namespace tandem
