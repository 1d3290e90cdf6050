#include "sim/service/pool_use.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

// The station bound that takes most time; ties go to the first name.
std::string main_bottleneck(const PoolTotals& totals) {
  std::string name;
  double most = 0;
  for (const auto& [bound, seconds] : totals.bottleneck_seconds) {
    if (seconds > most) {
      most = seconds;
      name = bound;
    }
  }
  return name;
}

}  // namespace

// A large product is bound by arithmetic and a thin one by memory: their floors show the peaks.
void add_peaks(const PoolModel& pool, PoolUse& use) {
  constexpr std::int64_t edge = 8192;
  const Precision& precision = pool.placement().precision;
  Kernel kernel;
  kernel.role = "peak";
  kernel.activations = precision.activations;
  try {
    for (const std::int64_t rows : {edge, std::int64_t{1}}) {
      kernel.shape = GemmKernel{rows, edge, edge, precision.weights, precision.activations, false};
      const double seconds = to_seconds(pool.chip().simulate_kernel(kernel, false).floor);
      const KernelWork work = work_of(kernel);
      if (rows == edge) {
        use.peak_flops_per_s = static_cast<double>(work.matrix.count()) / seconds;
      } else {
        use.peak_bytes_per_s = static_cast<double>(work.bytes().count()) / seconds;
      }
    }
  } catch (const ModelError&) {
    use.peak_flops_per_s = use.peak_bytes_per_s = 0;
  }
}

void add_drafting_totals(const PoolTotals& drafting, PoolTotals& totals) {
  for (const auto& [name, count] : drafting.activity) totals.activity[name] += count;
  for (const auto& [name, bytes] : drafting.link_bytes) totals.link_bytes[name] += bytes;
  totals.matrix_flops += drafting.matrix_flops;
  totals.memory_bytes += drafting.memory_bytes;
  totals.kernels += drafting.kernels;
  totals.prefill_floor_s += drafting.prefill_floor_s;
  totals.decode_floor_s += drafting.decode_floor_s;
  for (const auto& [name, seconds] : drafting.part_seconds) {
    totals.part_seconds["drafting"] += seconds;
  }
}

void add_tier_totals(const PoolTotals& tier, PoolTotals& totals) {
  const auto add = [](const std::map<std::string, double>& more,
                      std::map<std::string, double>& to) {
    for (const auto& [name, amount] : more) to[name] += amount;
  };
  totals.steps += tier.steps;
  totals.interpolated += tier.interpolated;
  add(tier.activity, totals.activity);
  add(tier.link_bytes, totals.link_bytes);
  add(tier.part_seconds, totals.part_seconds);
  add(tier.bottleneck_seconds, totals.bottleneck_seconds);
  totals.matrix_flops += tier.matrix_flops;
  totals.memory_bytes += tier.memory_bytes;
  totals.kernels += tier.kernels;
  totals.prefill_floor_s += tier.prefill_floor_s;
  totals.decode_floor_s += tier.decode_floor_s;
}

namespace {

void add_formats(const PoolModel& pool, PoolUse& use) {
  const Precision& precision = pool.stations().front().stages.front().precision;
  use.formats = formats_text(precision);
  use.has_formats = precision.has_formats() || !precision.overrides.empty();
  use.keeps_rows = pool.placement().precision.activation_format != nullptr &&
                   precision.activation_format == nullptr;
  for (const Station& station : pool.stations()) {
    for (const Stage& stage : station.stages) {
      const std::int64_t sharers = std::max<std::int64_t>(1, stage.tensor);
      use.weights = std::max(use.weights, Bytes(stage.weight_bytes().count() / sharers));
      use.kv_of_request = std::max(use.kv_of_request,
                                   Bytes(stage.cache_bytes(pool.max_context()).count() / sharers));
    }
  }
}

}  // namespace

PoolUse pool_use(StepEstimator& estimator, const std::vector<std::unique_ptr<Replica>>& replicas,
                 double seconds) {
  const PoolModel& pool = estimator.pool();
  PoolUse use;
  use.name = replicas.front()->name();
  use.pool = pool.placement().pool;
  use.chip = pool.chip().chip().name;
  use.model = pool.chip().chip().model;
  use.replicas = pool.placement().replicas;
  use.spares = pool.placement().spares;
  use.chips_per_replica = pool.chips_per_replica();
  use.chips = use.chips_per_replica * use.replicas;
  use.kv_slots = pool.kv_room().sequences;
  add_formats(pool, use);
  use.totals = estimator.totals();
  use.bottleneck = main_bottleneck(use.totals);
  use.static_power_w = pool.chip().static_power().count();
  for (const auto& [name, energy] : pool.chip().energy_per_count()) {
    use.energy_per_count_j[name] = energy.count();
  }
  double busy = 0;
  std::vector<const OccupancyLog*> logs;
  use.has_slots = pool.is_static();
  for (const auto& replica : replicas) {
    logs.push_back(&replica->occupancy_log());
    use.kv_capacity += replica->kv_capacity();
    use.kv_peak = std::max(use.kv_peak, replica->kv_peak());
    use.floor_busy = std::max(use.floor_busy, replica->floor_busy());
    for (std::size_t i = 0; i < pool.stations().size(); ++i) {
      const double share = to_seconds(replica->pipeline().busy()[i]) / seconds;
      use.bottleneck_busy = std::max(use.bottleneck_busy, share);
      busy += share * static_cast<double>(pool.stations()[i].chips());
    }
  }
  use.occupancy = sum_of(logs);
  use.busy = busy / static_cast<double>(use.chips);
  return use;
}

PoolUse feed_forward_use(const FeedForwardPool& pool, const PoolUse& decode, double seconds) {
  PoolUse use;
  use.name = "ffn";
  use.pool = pool.placement().pool;
  use.chip = pool.chip().chip().name;
  use.model = pool.chip().chip().model;
  use.replicas = decode.replicas;
  use.spares = pool.placement().spares;
  use.chips_per_replica = pool.chips();
  use.chips = use.chips_per_replica * use.replicas;
  const RemoteTotals& remote = decode.totals.remote;
  use.totals.activity = remote.activity;
  use.totals.matrix_flops = remote.matrix_flops;
  use.totals.memory_bytes = remote.memory_bytes;
  use.totals.kernels = remote.kernels;
  use.bottleneck = "weight_streams";
  use.bottleneck_busy = remote.busy_s / static_cast<double>(use.replicas) / seconds;
  use.busy = use.bottleneck_busy;
  use.static_power_w = pool.chip().static_power().count();
  for (const auto& [name, energy] : pool.chip().energy_per_count()) {
    use.energy_per_count_j[name] = energy.count();
  }
  return use;
}

}  // namespace tandem
