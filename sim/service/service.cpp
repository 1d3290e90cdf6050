#include "sim/service/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sim/core/diagnostics.hpp"
#include "sim/service/batching_replica.hpp"
#include "sim/service/kv_transfer.hpp"
#include "sim/service/pool_use.hpp"
#include "sim/service/router.hpp"
#include "sim/service/source.hpp"
#include "sim/service/speculation/draft_passes.hpp"
#include "sim/service/speculation/speculator.hpp"
#include "sim/service/streaming_replica.hpp"
#include "sim/service/system_agenda.hpp"

namespace tandem {
namespace {

Picoseconds software_time(const Software& software, const char* name) {
  return software.parameters.has(name) ? from_seconds(software.parameters.value(name))
                                       : Picoseconds(0);
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
        speculator_(make_speculator()),
        speculation_(model.prefill_drafting_ ? std::optional<SpeculationUse>(SpeculationUse())
                                             : std::nullopt),
        groups_(make_groups()),
        source_(traffic, model.time_alone(), model.scenario_.serving.prefix_cache, seed_, agenda_,
                inlet()),
        sampler_(seed_, options.audit_steps.value_or(model.scenario_.audit_steps)),
        prefill_estimator_(*model.prefill_, options.fidelity, options.exact) {
    const bool is_split = model.decode_ != nullptr;
    if (options.all_ranks) {
      model.prefill_->simulate_all_ranks();
      if (is_split) model.decode_->simulate_all_ranks();
    }
    make_replicas(prefill_estimator_, prefill_role(), prefill_);
    if (speculator_) add_drafters();
    if (speculation_) describe_speculation();
    if (is_split) {
      decode_estimator_.emplace(*model.decode_, options.fidelity, options.exact);
      make_replicas(*decode_estimator_, Role::Decode, decode_);
      make_transfer();
    }
    router_.connect(&prefill_, &decode_, transfer_.get(), &source_);
    router_.connect_groups(groups_.get());
    agenda_.add(source_, "source");
    if (transfer_) agenda_.add(*transfer_, "links");
    if (layers_) agenda_.add(*layers_, "links");
    if (speculator_) agenda_.add(*speculator_, "speculator");
    for (const auto* replicas : {&prefill_, &decode_, &draft_}) {
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
  [[nodiscard]] std::unique_ptr<Speculator> make_speculator() {
    if (!model_.draft_) return nullptr;
    return std::make_unique<Speculator>(model_.scenario_, seed_,
                                        model_.make_network_(model_.scenario_.system), agenda_,
                                        router_, options_.timeline);
  }

  [[nodiscard]] std::unique_ptr<RequestGroups> make_groups() {
    if (!traffic_.has_groups()) return nullptr;
    const std::int64_t block_tokens = model_.scenario_.serving.kv_block_tokens;
    return std::make_unique<RequestGroups>(traffic_, block_tokens, seed_, router_);
  }

  /// Where the source delivers.
  [[nodiscard]] RequestInlet& inlet() {
    if (groups_) return *groups_;
    if (speculator_) return *speculator_;
    return router_;
  }

  void add_drafters() {
    if (options_.all_ranks) model_.draft_->simulate_all_ranks();
    draft_estimator_.emplace(*model_.draft_, options_.fidelity, options_.exact);
    make_replicas(*draft_estimator_, Role::Draft, draft_);
    speculator_->connect(&draft_, &prefill_);
  }

  [[nodiscard]] Role prefill_role() const {
    if (model_.draft_) return Role::Verify;
    return model_.decode_ ? Role::Prefill : Role::Both;
  }

  [[nodiscard]] RequestSink& sink_of(Role role) {
    if (role == Role::Draft) return speculator_->draft_sink();
    if (role == Role::Verify) return speculator_->verify_sink();
    return router_;
  }

  void make_replicas(StepEstimator& estimator, Role role, Router::Replicas& replicas) {
    const PoolModel& pool = estimator.pool();
    ReplicaSetup setup;
    setup.estimator = &estimator;
    setup.drafts = drafts_on(estimator, role);
    setup.sampler = &sampler_;
    setup.sink = &sink_of(role);
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
      std::vector<LayerPiece> pieces = layer_pieces(from, to);
      add_drafting(draft_layer_pieces, pieces);
      layers_ = std::make_unique<LayerwiseTransfer>(model_.make_network_(system), std::move(pieces),
                                                    agenda_, router_, options_.timeline);
      router_.connect_layers(layers_.get());
    } else {
      std::vector<KvPiece> pieces = kv_pieces(from, to);
      add_drafting(kv_pieces, pieces);
      transfer_ = std::make_unique<KvTransfer>(model_.make_network_(system), std::move(pieces),
                                               agenda_, router_, options_.timeline);
    }
  }

  /// What drafts runs on the last chips of a replica.
  [[nodiscard]] static std::int64_t chips_before(const PoolModel& model,
                                                 const PoolModel& drafting) {
    return model.chips_per_replica() - drafting.chips_per_replica();
  }
  void move_to_last_chips(KvPiece& piece) const {
    piece.from_chip += chips_before(*model_.prefill_, *model_.prefill_drafting_);
    piece.to_chip += chips_before(*model_.decode_, *model_.decode_drafting_);
  }
  void move_to_last_chips(LayerPiece& piece) const {
    move_to_last_chips(piece.piece);
    piece.station += model_.prefill_->stations().size() - 1;
  }

  /// KV of what drafts goes along.
  template <class Piece>
  void add_drafting(std::vector<Piece> (*pieces_of)(const PoolModel&, const PoolModel&),
                    std::vector<Piece>& pieces) {
    if (!model_.decode_drafting_) return;
    std::vector<Piece> own = pieces_of(*model_.prefill_drafting_, *model_.decode_drafting_);
    for (Piece& piece : own) move_to_last_chips(piece);
    for (std::int64_t i = 0; i < drafting_copies(model_.scenario_); ++i) {
      pieces.insert(pieces.end(), own.begin(), own.end());
    }
  }

  /// What the replicas of a pool draft with.
  [[nodiscard]] DraftPasses* drafts_on(StepEstimator& estimator, Role role) {
    PoolModel* drafting = model_.drafting_of(estimator.pool());
    if (role == Role::Draft || drafting == nullptr) return nullptr;
    if (options_.all_ranks) drafting->simulate_all_ranks();
    Drafting& own = role == Role::Decode ? decode_drafting_ : prefill_drafting_;
    own.estimator.emplace(*drafting, options_.fidelity, options_.exact);
    own.passes.emplace(model_.scenario_.placement.speculation, *own.estimator,
                       drafting_copies(model_.scenario_), role == Role::Prefill, seed_,
                       *speculation_);
    return &*own.passes;
  }

  void describe_speculation() {
    speculation_->draft_model = drafting_side(model_.scenario_).model.name;
    speculation_->drafts = model_.scenario_.placement.speculation.drafted();
  }

  static std::string name_of(Role role, const PoolModel& pool) {
    switch (role) {
      case Role::Prefill:
        return "prefill";
      case Role::Decode:
        return "decode";
      case Role::Draft:
        return "draft";
      case Role::Verify:
        return "verify";
      case Role::Both:
        break;
    }
    return pool.placement().pool;
  }

  [[nodiscard]] std::vector<const Request*> requests_by_id() const {
    std::vector<const Request*> requests;
    for (const Request& request : source_.requests()) requests.push_back(&request);
    if (!groups_) return requests;
    for (const Request& request : groups_->requests()) requests.push_back(&request);
    std::sort(requests.begin(), requests.end(),
              [](const Request* a, const Request* b) { return a->id < b->id; });
    return requests;
  }

  [[nodiscard]] GroupUse group_use() const {
    GroupUse use = groups_->use();
    for (const auto* replicas : {&prefill_, &decode_}) {
      for (const auto& replica : *replicas) use.prompt_tokens += replica->prompt_tokens();
    }
    return use;
  }

  void collect_requests(RunResult& result) {
    Picoseconds first = source_.requests().front().arrival;
    Picoseconds last = first;
    for (const Request* request : requests_by_id()) {
      result.requests.push_back(record_of(*request));
      result.output_tokens += request->output;
      result.input_tokens += request->prompt - request->cached_tokens;
      last = std::max(last, request->finish);
      if (options_.timeline != nullptr) record_request(*request);
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

  [[nodiscard]] PoolUse use_of(StepEstimator& estimator, const Router::Replicas& replicas,
                               const RunResult& result) const {
    PoolUse use = pool_use(estimator, replicas, result.simulated_s);
    const Drafting& drafting = &replicas == &decode_ ? decode_drafting_ : prefill_drafting_;
    if (drafting.estimator && &replicas != &draft_) {
      add_drafting_totals(drafting.estimator->totals(), use.totals);
    }
    if (options_.fidelity == Fidelity::Cycle) add_peaks(estimator.pool(), use);
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
    if (draft_estimator_) result.steps_simulated += draft_estimator_->simulated();
    for (const Drafting* drafting : {&prefill_drafting_, &decode_drafting_}) {
      if (drafting->estimator) result.steps_simulated += drafting->estimator->simulated();
    }
    if (options_.fidelity == Fidelity::Cycle) result.audit = sampler_.audit();
    for (const SampledStep& step : sampler_.representatives()) {
      const bool is_first = step.pool == model_.prefill_.get();
      result.representatives.push_back({result.pools[is_first ? 0 : 1].name, step.batch});
    }
  }

  RunResult collect() {
    RunResult result;
    result.traffic = traffic_;
    result.seed = seed_;
    result.fidelity = options_.fidelity;
    collect_requests(result);
    const bool is_split = decode_estimator_.has_value();
    result.pools.push_back(use_of(prefill_estimator_, prefill_, result));
    if (speculator_) {
      result.pools.push_back(use_of(*draft_estimator_, draft_, result));
      result.links = speculator_->usage();
      result.speculation = speculator_->use();
    }
    if (is_split) {
      result.pools.push_back(use_of(*decode_estimator_, decode_, result));
      if (const FeedForwardPool* ffn = model_.decode_->feed_forward()) {
        result.pools.push_back(feed_forward_use(*ffn, result.pools.back(), result.simulated_s));
      }
      result.links = layers_ ? layers_->usage() : transfer_->usage();
      result.kv_transfers = layers_ ? layers_->transfers() : transfer_->transfers();
    }
    if (speculation_) result.speculation = speculation_;
    if (groups_) result.groups = group_use();
    collect_steps(result);
    return result;
  }

  /// Passes that draft on the chips of a pool.
  struct Drafting {
    std::optional<StepEstimator> estimator;
    std::optional<DraftPasses> passes;
  };

  ServiceModel& model_;
  Traffic traffic_;
  RunOptions options_;
  std::uint64_t seed_;
  SystemAgenda agenda_;
  Router router_;
  std::unique_ptr<Speculator> speculator_;     ///< of drafts on a pool of their own
  std::optional<SpeculationUse> speculation_;  ///< of drafts in place
  Drafting prefill_drafting_;
  Drafting decode_drafting_;
  std::unique_ptr<RequestGroups> groups_;  ///< where an arrival is several requests
  RequestSource source_;
  StepSampler sampler_;
  StepEstimator prefill_estimator_;
  std::optional<StepEstimator> decode_estimator_;
  std::optional<StepEstimator> draft_estimator_;
  Router::Replicas prefill_;
  Router::Replicas decode_;
  Router::Replicas draft_;
  std::unique_ptr<KvTransfer> transfer_;
  std::unique_ptr<LayerwiseTransfer> layers_;  ///< in its place
};

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
