#include "sim/service/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sim/core/diagnostics.hpp"
#include "sim/service/batching_replica.hpp"
#include "sim/service/kv_transfer.hpp"
#include "sim/service/router.hpp"
#include "sim/service/source.hpp"
#include "sim/service/streaming_replica.hpp"
#include "sim/service/system_agenda.hpp"

namespace tandem {
namespace {

Picoseconds software_time(const Software& software, const char* name) {
  return software.parameters.has(name) ? from_seconds(software.parameters.value(name))
                                       : Picoseconds(0);
}

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

}  // namespace

/// The parts of one run, alive while it lasts.
class ServiceRun {
 public:
  ServiceRun(ServiceModel& model, const Traffic& traffic, const RunOptions& options)
      : model_(model),
        traffic_(traffic),
        options_(options),
        seed_(options.seed.value_or(model.scenario_.seed)),
        router_(model.scenario_.serving.router),
        source_(traffic, model.time_alone(), seed_, agenda_, router_),
        sampler_(seed_, options.audit_steps.value_or(model.scenario_.audit_steps)),
        prefill_estimator_(*model.prefill_, options.fidelity, options.exact) {
    const bool is_split = model.decode_ != nullptr;
    if (options.all_ranks) {
      model.prefill_->simulate_all_ranks();
      if (is_split) model.decode_->simulate_all_ranks();
    }
    make_replicas(prefill_estimator_, is_split ? Role::Prefill : Role::Both, prefill_);
    if (is_split) {
      decode_estimator_.emplace(*model.decode_, options.fidelity, options.exact);
      make_replicas(*decode_estimator_, Role::Decode, decode_);
      make_transfer();
    }
    router_.connect(&prefill_, &decode_, transfer_.get(), &source_);
    agenda_.add(source_, "source");
    if (transfer_) agenda_.add(*transfer_, "links");
    if (layers_) agenda_.add(*layers_, "links");
    for (const auto* replicas : {&prefill_, &decode_}) {
      for (const auto& replica : *replicas) {
        agenda_.add(*replica, fmt::format("{}_{}", replica->name(), replica->index()));
      }
    }
  }

  RunResult run() {
    source_.start();
    agenda_.run();
    if (router_.finished_count() != traffic_.requests) {
      throw ModelError(fmt::format("service: {} of {} requests were never answered",
                                   traffic_.requests - router_.finished_count(),
                                   traffic_.requests));
    }
    return collect();
  }

 private:
  void make_replicas(StepEstimator& estimator, Role role, Router::Replicas& replicas) {
    const PoolModel& pool = estimator.pool();
    ReplicaSetup setup;
    setup.estimator = &estimator;
    setup.sampler = &sampler_;
    setup.sink = &router_;
    setup.agenda = &agenda_;
    setup.timeline = options_.timeline;
    setup.role = role;
    setup.name = name_of(role, pool);
    if (!pool.is_static()) {
      setup.step_overhead = software_time(model_.scenario_.software, "step_overhead");
      setup.sequence_overhead = software_time(model_.scenario_.software, "sequence_overhead");
    }
    for (setup.index = 0; setup.index < pool.placement().replicas; ++setup.index) {
      if (pool.is_static()) {
        replicas.push_back(std::make_unique<StreamingReplica>(setup));
      } else {
        replicas.push_back(std::make_unique<BatchingReplica>(setup, model_.scenario_.serving));
      }
    }
  }

  /// The links that KV moves over, as the placement says.
  void make_transfer() {
    const System& system = model_.scenario_.system;
    const PoolModel& from = *model_.prefill_;
    const PoolModel& to = *model_.decode_;
    if (model_.scenario_.placement.kv_transfer == KvTransferKind::Layers) {
      layers_ =
          std::make_unique<LayerwiseTransfer>(model_.make_network_(system), layer_pieces(from, to),
                                              agenda_, router_, options_.timeline);
      router_.connect_layers(layers_.get());
    } else {
      transfer_ = std::make_unique<KvTransfer>(model_.make_network_(system), kv_pieces(from, to),
                                               agenda_, router_, options_.timeline);
    }
  }

  static std::string name_of(Role role, const PoolModel& pool) {
    if (role == Role::Prefill) return "prefill";
    return role == Role::Decode ? "decode" : pool.placement().pool;
  }

  void collect_requests(RunResult& result) {
    Picoseconds first = source_.requests().front().arrival;
    Picoseconds last = first;
    for (const Request& request : source_.requests()) {
      result.requests.push_back(record_of(request));
      result.output_tokens += request.output;
      result.input_tokens += request.prompt;
      last = std::max(last, request.finish);
      if (options_.timeline != nullptr) record_request(request);
    }
    result.simulated_s = to_seconds(last - first);
    result.itl_ms = router_.take_itl();
  }

  void record_request(const Request& request) {
    const auto track = options_.timeline->track("requests", fmt::format("request {}", request.id));
    options_.timeline->span(track, "first token", request.arrival, request.first_token);
    if (request.output > 1) {
      options_.timeline->span(track, "further tokens", request.first_token, request.finish);
    }
  }

  PoolUse collect_pool(const StepEstimator& estimator, const PoolModel& pool,
                       const Router::Replicas& replicas, Role role, double seconds) const {
    PoolUse use;
    use.name = name_of(role, pool);
    use.pool = pool.placement().pool;
    use.chip = pool.chip().chip().name;
    use.model = pool.chip().chip().model;
    use.replicas = pool.placement().replicas;
    use.spares = pool.placement().spares;
    use.chips_per_replica = pool.chips_per_replica();
    use.chips = use.chips_per_replica * use.replicas;
    use.kv_slots = pool.kv_room().sequences;
    use.totals = estimator.totals();
    use.bottleneck = main_bottleneck(use.totals);
    use.static_power_w = pool.chip().static_power().count();
    for (const auto& [name, energy] : pool.chip().energy_per_count()) {
      use.energy_per_count_j[name] = energy.count();
    }
    if (options_.fidelity == Fidelity::Cycle) add_peaks(pool, use);
    double busy = 0;
    for (const auto& replica : replicas) {
      use.kv_peak = std::max(use.kv_peak, replica->kv_peak());
      use.floor_busy = std::max(use.floor_busy, replica->floor_busy());
      for (std::size_t i = 0; i < pool.stations().size(); ++i) {
        const double share = to_seconds(replica->pipeline().busy()[i]) / seconds;
        use.bottleneck_busy = std::max(use.bottleneck_busy, share);
        busy += share * static_cast<double>(pool.stations()[i].chips());
      }
    }
    use.busy = busy / static_cast<double>(use.chips);
    return use;
  }

  /// The chips that run the feed-forward halves of a decode pool.
  PoolUse collect_feed_forward(const FeedForwardPool& pool, const PoolUse& decode,
                               double seconds) const {
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

  void collect_steps(RunResult& result) {
    for (const PoolUse& use : result.pools) {
      result.steps += use.totals.steps;
      result.steps_interpolated += use.totals.interpolated;
      result.kernels[use.model] += use.totals.kernels;
      for (const auto& [name, bytes] : use.totals.link_bytes) {
        result.links[name].bytes += Bytes(static_cast<std::int64_t>(bytes + 0.5));
      }
    }
    result.steps_simulated = prefill_estimator_.simulated();
    if (decode_estimator_) result.steps_simulated += decode_estimator_->simulated();
    if (options_.fidelity == Fidelity::Cycle) result.audit = sampler_.audit();
    for (const SampledStep& step : sampler_.representatives()) {
      const bool is_decode_pool = step.pool == model_.decode_.get();
      result.representatives.push_back({result.pools[is_decode_pool ? 1 : 0].name, step.batch});
    }
  }

  RunResult collect() {
    RunResult result;
    result.traffic = traffic_;
    result.seed = seed_;
    result.fidelity = options_.fidelity;
    collect_requests(result);
    const bool is_split = decode_estimator_.has_value();
    result.pools.push_back(collect_pool(prefill_estimator_, *model_.prefill_, prefill_,
                                        is_split ? Role::Prefill : Role::Both, result.simulated_s));
    if (is_split) {
      result.pools.push_back(collect_pool(*decode_estimator_, *model_.decode_, decode_,
                                          Role::Decode, result.simulated_s));
      if (const FeedForwardPool* ffn = model_.decode_->feed_forward()) {
        result.pools.push_back(collect_feed_forward(*ffn, result.pools.back(), result.simulated_s));
      }
      result.links = layers_ ? layers_->usage() : transfer_->usage();
      result.kv_transfers = layers_ ? layers_->transfers() : transfer_->transfers();
    }
    collect_steps(result);
    return result;
  }

  ServiceModel& model_;
  Traffic traffic_;
  RunOptions options_;
  std::uint64_t seed_;
  SystemAgenda agenda_;
  Router router_;
  Source source_;
  StepSampler sampler_;
  StepEstimator prefill_estimator_;
  std::optional<StepEstimator> decode_estimator_;
  Router::Replicas prefill_;
  Router::Replicas decode_;
  std::unique_ptr<KvTransfer> transfer_;
  std::unique_ptr<LayerwiseTransfer> layers_;  ///< in its place
};

ServiceModel::ServiceModel(const Scenario& scenario, const Catalogue& catalogue,
                           NetworkFactory make_network, std::optional<std::string> store)
    : scenario_(scenario),
      make_network_(std::move(make_network)),
      store_(store ? std::optional<std::filesystem::path>(*store) : std::nullopt) {
  const Placement& placement = scenario.placement;
  prefill_ =
      std::make_unique<PoolModel>(scenario, placement.prefill, 0, catalogue, make_network_, store_);
  if (placement.mode == PlacementMode::Monolithic) return;
  // Pools of one group of chips stand side by side.
  const std::int64_t taken = placement.decode.pool == placement.prefill.pool
                                 ? prefill_->chips_per_replica() * placement.prefill.replicas
                                 : 0;
  decode_ = std::make_unique<PoolModel>(scenario, placement.decode, taken, catalogue, make_network_,
                                        store_,
                                        placement.has_ffn() ? LayerDuty::Mixers : LayerDuty::Whole);
}

ServiceModel::~ServiceModel() = default;

Picoseconds ServiceModel::time_alone() {
  const Traffic& traffic = scenario_.traffic;
  PoolModel& decode = decode_ ? *decode_ : *prefill_;
  Batch prompt, token;
  prompt.slices.push_back({.request = 0, .context = 0, .new_tokens = traffic.prompt_tokens});
  token.slices.push_back({.request = 0, .context = traffic.prompt_tokens, .new_tokens = 1});
  // Static chips take prompt tokens one behind the other.
  const Picoseconds first =
      prefill_->is_static()
          ? prefill_->floor(token).period * traffic.prompt_tokens + prefill_->floor(token).latency
          : prefill_->floor(prompt).latency;
  return first + decode.floor(token).latency * (traffic.output_tokens - 1);
}

RunResult ServiceModel::run(const Traffic& traffic, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t hits = store_.loaded();
  const std::int64_t misses = store_.computed();
  RunResult result = ServiceRun(*this, traffic, options).run();
  result.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.store_hits = store_.loaded() - hits;
  result.store_misses = store_.computed() - misses;
  return result;
}

RunResult run(const Scenario& scenario, const Catalogue& catalogue,
              const NetworkFactory& make_network, const RunOptions& options) {
  ServiceModel model(scenario, catalogue, make_network, options.store);
  return model.run(scenario.traffic, options);
}

}  // namespace tandem
