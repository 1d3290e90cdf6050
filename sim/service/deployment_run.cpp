#include "sim/service/deployment_run.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/service/pool_use.hpp"
#include "sim/service/shared_links.hpp"
#include "sim/service/streaming_replica.hpp"

namespace tandem {
namespace {

FrontEndTime front_end_time(const Software& software) {
  return {software_time(software, "request_overhead"),
          software_time(software, "prompt_token_overhead")};
}

/// Makes a component that sends over the system's links: its own, or those that all share.
template <class Make>
auto on_links(const RunParts& parts, const System& system, const Make& make) {
  if (parts.links == nullptr) return make(parts.make_network(system));
  std::unique_ptr<LinkView> view = parts.links->open();
  LinkView& own = *view;
  auto component = make(std::move(view));
  own.connect(*component);
  return component;
}

}  // namespace

DeploymentRun::DeploymentRun(DeploymentModel& model, std::string name, const RunParts& parts,
                             const std::vector<HostedTier>& hosted)
    : model_(model),
      name_(std::move(name)),
      parts_(parts),
      router_(model.scenario().serving, parts.seed),
      perturbation_(parts.options.perturbation, parts.seed),
      speculator_(make_speculator()),
      speculation_(model.scenario().placement.drafts_in_place()
                       ? std::optional<SpeculationUse>(SpeculationUse())
                       : std::nullopt),
      front_end_(make_front_end()),
      groups_(make_groups()),
      prefill_estimator_(model.prefill_pool(), parts.options.fidelity, parts.options.exact) {
  if (parts_.options.all_ranks) {
    model.prefill_pool().simulate_all_ranks();
    if (model.is_split()) model.decode_pool().simulate_all_ranks();
  }
  if (!hosted.empty()) add_tiers(hosted);
  if (model.scenario().serving.kv_tiers != "none") {
    kv_tiers_.emplace(model.scenario(), model.prefill_pool());
  }
  make_replicas(prefill_estimator_, prefill_role(), prefill_);
  if (speculator_) add_drafters();
  if (speculation_) describe_speculation();
  if (model.is_split()) {
    decode_estimator_.emplace(model.decode_pool(), parts_.options.fidelity, parts_.options.exact);
    make_replicas(*decode_estimator_, Role::Decode, decode_);
    make_transfer();
  }
  if (model.scenario().serving.planner) add_autoscaler();
  add_components();
}

void DeploymentRun::connect(AnswerSink& answers) {
  router_.connect(&prefill_, &decode_, transfer_.get(), &answers);
  router_.connect_groups(groups_.get());
  if (autoscaler_) {
    autoscaler_->connect(&prefill_, &decode_);
    router_.connect_autoscaler(&*autoscaler_);
  }
}

void DeploymentRun::add_tiers(const std::vector<HostedTier>& hosted) {
  tiers_.emplace(prefill_estimator_);
  tier_names_.push_back(name_);
  for (const HostedTier& tier : hosted) {
    PoolModel& pool = tier.model.prefill_pool();
    if (parts_.options.all_ranks) pool.simulate_all_ranks();
    tiers_->add(pool, parts_.options.fidelity, parts_.options.exact);
    tier_names_.push_back(tier.name);
  }
  for (std::size_t tier = 0; tier < tiers_->tiers(); ++tier) {
    tier_inlets_.push_back(std::make_unique<TierInlet>(*this, tier));
  }
}

void DeploymentRun::TierInlet::arrived(Request& request, Picoseconds now) {
  run_.tiers_->assign(request.id, tier_);
  // The KV of a prefix is another in each precision.
  const auto tiers = static_cast<std::int64_t>(run_.tiers_->tiers());
  for (SharedPart& part : request.shared) {
    part.key = part.key * tiers + static_cast<std::int64_t>(tier_);
  }
  run_.engine().arrived(request, now);
}

RequestInlet& DeploymentRun::inlet(std::size_t tier) {
  if (tiers_) return *tier_inlets_.at(tier);
  if (groups_) return *groups_;
  return engine();
}

RequestInlet& DeploymentRun::engine() {
  if (front_end_) return *front_end_;
  return behind_front_end();
}

RequestInlet& DeploymentRun::behind_front_end() {
  if (speculator_) return *speculator_;
  return router_;
}

std::unique_ptr<FrontEnd> DeploymentRun::make_front_end() {
  const FrontEndTime time = front_end_time(model_.scenario().software);
  if (time.is_zero()) return nullptr;
  return std::make_unique<FrontEnd>(time, parts_.agenda, behind_front_end());
}

void DeploymentRun::add_components() {
  // A dot in the name of a module would mean that it is part of another one.
  const auto add = [&](Component& component, std::string name) {
    std::ranges::replace(name, '.', '/');
    parts_.agenda.add(component, name);
  };
  if (transfer_) add(*transfer_, with_name("links"));
  if (layers_) add(*layers_, with_name("links"));
  if (speculator_) add(*speculator_, with_name("speculator"));
  if (front_end_) add(*front_end_, with_name("front_end"));
  if (autoscaler_) add(*autoscaler_, with_name("planner"));
  for (const auto* replicas : {&prefill_, &decode_, &draft_}) {
    for (const auto& replica : *replicas) {
      add(*replica, fmt::format("{}_{}", replica->name(), replica->index()));
    }
  }
}

std::unique_ptr<Speculator> DeploymentRun::make_speculator() {
  if (model_.draft_pool() == nullptr) return nullptr;
  const Scenario& scenario = model_.scenario();
  return on_links(parts_, scenario.system, [&](std::unique_ptr<NetworkModel> network) {
    return std::make_unique<Speculator>(scenario, parts_.seed, std::move(network), parts_.agenda,
                                        router_, parts_.options.timeline);
  });
}

std::unique_ptr<RequestGroups> DeploymentRun::make_groups() {
  if (!parts_.traffic.has_groups()) return nullptr;
  const std::int64_t block_tokens = model_.scenario().serving.kv_block_tokens;
  return std::make_unique<RequestGroups>(parts_.traffic, block_tokens, parts_.seed, engine());
}

void DeploymentRun::add_drafters() {
  PoolModel& pool = *model_.draft_pool();
  if (parts_.options.all_ranks) pool.simulate_all_ranks();
  draft_estimator_.emplace(pool, parts_.options.fidelity, parts_.options.exact);
  make_replicas(*draft_estimator_, Role::Draft, draft_);
  speculator_->connect(&draft_, &prefill_);
}

Role DeploymentRun::prefill_role() const {
  if (model_.draft_pool() != nullptr) return Role::Verify;
  return model_.is_split() ? Role::Prefill : Role::Both;
}

RequestSink& DeploymentRun::sink_of(Role role) {
  if (role == Role::Draft) return speculator_->draft_sink();
  if (role == Role::Verify) return speculator_->verify_sink();
  return router_;
}

void DeploymentRun::make_replicas(StepEstimator& estimator, Role role, Router::Replicas& replicas) {
  const PoolModel& pool = estimator.pool();
  const Scenario& scenario = model_.scenario();
  ReplicaSetup setup;
  setup.estimator = &estimator;
  setup.drafts = drafts_on(estimator, role);
  setup.tiers = tiers_ ? &*tiers_ : nullptr;
  setup.sampler = &parts_.sampler;
  setup.perturbation = &perturbation_;
  setup.sink = &sink_of(role);
  setup.agenda = &parts_.agenda;
  setup.timeline = parts_.options.timeline;
  setup.role = role;
  setup.name = name_of(role, pool);
  if (!pool.is_static()) setup.host = host_time(scenario, pool.placement().gang());
  for (setup.index = 0; setup.index < pool.placement().replicas; ++setup.index) {
    if (kv_tiers_ && &replicas == &prefill_) setup.kv_tiers = &kv_tiers_->of(setup.index);
    if (pool.is_static()) {
      replicas.push_back(std::make_unique<StreamingReplica>(setup));
    } else {
      replicas.push_back(std::make_unique<BatchingReplica>(setup, scenario.serving));
    }
  }
}

/// The links that KV moves over, as the placement says.
void DeploymentRun::make_transfer() {
  const System& system = model_.scenario().system;
  const PoolModel& from = model_.prefill_pool();
  const PoolModel& to = model_.decode_pool();
  TimelineRecorder* timeline = parts_.options.timeline;
  if (model_.scenario().placement.kv_transfer == KvTransferKind::Layers) {
    std::vector<LayerPiece> pieces = layer_pieces(from, to);
    add_drafting(draft_layer_pieces, pieces);
    layers_ = on_links(parts_, system, [&](std::unique_ptr<NetworkModel> network) {
      return std::make_unique<LayerwiseTransfer>(std::move(network), std::move(pieces),
                                                 parts_.agenda, router_, timeline);
    });
    router_.connect_layers(layers_.get());
  } else {
    std::vector<KvPiece> pieces = kv_pieces(from, to);
    add_drafting(kv_pieces, pieces);
    transfer_ = on_links(parts_, system, [&](std::unique_ptr<NetworkModel> network) {
      return std::make_unique<KvTransfer>(std::move(network), std::move(pieces), parts_.agenda,
                                          router_, timeline);
    });
  }
}

namespace {

/// The chips of a pool that prompts, or tokens, run on, and of what drafts on its last ones.
struct DraftingChips {
  const PoolModel& model;
  const PoolModel& drafting;
  [[nodiscard]] std::int64_t before() const {
    return model.chips_per_replica() - drafting.chips_per_replica();
  }
};

void move_to_last_chips(KvPiece& piece, const DraftingChips& from, const DraftingChips& to) {
  piece.from_chip += from.before();
  piece.to_chip += to.before();
}

void move_to_last_chips(LayerPiece& piece, const DraftingChips& from, const DraftingChips& to) {
  move_to_last_chips(piece.piece, from, to);
  piece.station += from.model.stations().size() - 1;
}

}  // namespace

/// KV of what drafts goes along.
template <class Piece>
void DeploymentRun::add_drafting(std::vector<Piece> (*pieces_of)(const PoolModel&,
                                                                 const PoolModel&),
                                 std::vector<Piece>& pieces) {
  const PoolModel& from = model_.prefill_pool();
  const PoolModel& to = model_.decode_pool();
  if (model_.drafting_of(to) == nullptr) return;
  const DraftingChips sender{from, *model_.drafting_of(from)};
  const DraftingChips receiver{to, *model_.drafting_of(to)};
  std::vector<Piece> own = pieces_of(sender.drafting, receiver.drafting);
  for (Piece& piece : own) move_to_last_chips(piece, sender, receiver);
  for (std::int64_t i = 0; i < drafting_copies(model_.scenario()); ++i) {
    pieces.insert(pieces.end(), own.begin(), own.end());
  }
}

/// What the replicas of a pool draft with.
DraftPasses* DeploymentRun::drafts_on(StepEstimator& estimator, Role role) {
  const Placement& placement = model_.scenario().placement;
  if (!placement.drafts_in_place()) return nullptr;
  PoolModel* drafting = model_.drafting_of(estimator.pool());
  Drafting& own = role == Role::Decode ? decode_drafting_ : prefill_drafting_;
  if (drafting != nullptr) {
    if (parts_.options.all_ranks) drafting->simulate_all_ranks();
    own.estimator.emplace(*drafting, parts_.options.fidelity, parts_.options.exact);
  }
  own.passes.emplace(placement.speculation, own.estimator ? &*own.estimator : nullptr,
                     drafting_copies(model_.scenario()), role == Role::Prefill, parts_.seed,
                     *speculation_);
  return &*own.passes;
}

void DeploymentRun::describe_speculation() {
  speculation_->draft_model = name_of_drafter(model_.scenario());
  speculation_->drafts = model_.scenario().placement.speculation.drafted();
}

std::string DeploymentRun::with_name(const std::string& part) const {
  return name_.empty() ? part : name_ + "." + part;
}

std::string DeploymentRun::name_of(Role role, const PoolModel& pool) const {
  switch (role) {
    case Role::Prefill:
      return with_name("prefill");
    case Role::Decode:
      return with_name("decode");
    case Role::Draft:
      return with_name("draft");
    case Role::Verify:
      return with_name("verify");
    case Role::Both:
      break;
  }
  return name_.empty() ? pool.placement().pool : name_;
}

GroupUse DeploymentRun::group_use() const {
  GroupUse use = groups_->use();
  for (const auto* replicas : {&prefill_, &decode_}) {
    for (const auto& replica : *replicas) use.prompt_tokens += replica->prompt_tokens();
  }
  return use;
}

PoolUse DeploymentRun::use_of(StepEstimator& estimator, const Router::Replicas& replicas,
                              const RunResult& result) const {
  PoolUse use = pool_use(estimator, replicas, result.simulated_s);
  const Drafting& drafting = &replicas == &decode_ ? decode_drafting_ : prefill_drafting_;
  if (drafting.estimator && &replicas != &draft_) {
    add_drafting_totals(drafting.estimator->totals(), use.totals);
  }
  for (std::size_t tier = 1; tiers_ && tier < tiers_->tiers(); ++tier) {
    add_tier_totals(tiers_->estimator(tier).totals(), use.totals);
  }
  if (parts_.options.timeline != nullptr) {
    record_occupancy(use.occupancy, use.name + " load", *parts_.options.timeline);
  }
  if (parts_.options.fidelity == Fidelity::Cycle) add_peaks(estimator.pool(), use);
  return use;
}

void DeploymentRun::collect_pools(RunResult& result) {
  result.pools.push_back(use_of(prefill_estimator_, prefill_, result));
  if (speculator_) {
    result.pools.push_back(use_of(*draft_estimator_, draft_, result));
    result.links = speculator_->usage();
    result.speculation = speculator_->use();
  }
  if (decode_estimator_) {
    result.pools.push_back(use_of(*decode_estimator_, decode_, result));
    if (const FeedForwardPool* ffn = model_.decode_pool().feed_forward()) {
      PoolUse use = feed_forward_use(*ffn, result.pools.back(), result.simulated_s);
      use.name = with_name(use.name);
      result.pools.push_back(std::move(use));
    }
    result.links = layers_ ? layers_->usage() : transfer_->usage();
    result.prompt_routes = router_.routes();
    result.kv_transfers = layers_ ? layers_->transfers() : transfer_->transfers();
  }
}

void DeploymentRun::collect_steps(RunResult& result) {
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
  for (std::size_t tier = 1; tiers_ && tier < tiers_->tiers(); ++tier) {
    result.steps_simulated += tiers_->estimator(tier).simulated();
  }
  for (const Drafting* drafting : {&prefill_drafting_, &decode_drafting_}) {
    if (drafting->estimator) result.steps_simulated += drafting->estimator->simulated();
  }
}

void DeploymentRun::collect(RunResult& result) {
  collect_pools(result);
  if (speculation_) result.speculation = speculation_;
  if (autoscaler_) collect_planner(result);
  if (groups_) result.groups = group_use();
  if (kv_tiers_) result.kv_tiers = kv_tiers_->use();
  collect_steps(result);
  result.itl_ms = router_.take_itl();
  result.bursts = router_.take_bursts();
}

void DeploymentRun::collect_tier(std::size_t tier, RunResult& result) {
  PoolUse use = pool_use(tiers_->estimator(tier), prefill_, result.simulated_s);
  use.name = tier_names_[tier];
  for (const auto& [name, bytes] : use.totals.link_bytes) {
    result.links[name].bytes += Bytes(static_cast<std::int64_t>(bytes + 0.5));
  }
  result.pools.push_back(std::move(use));
}

std::string DeploymentRun::key_of(const PoolModel& pool) const {
  for (std::size_t tier = 0; tiers_ && tier < tiers_->tiers(); ++tier) {
    if (&tiers_->estimator(tier).pool() == &pool) return tier_names_[tier];
  }
  for (const auto* replicas : {&prefill_, &draft_, &decode_}) {
    if (!replicas->empty() && &replicas->front()->pool() == &pool) {
      return replicas->front()->name();
    }
  }
  return "";
}

}  // namespace tandem
