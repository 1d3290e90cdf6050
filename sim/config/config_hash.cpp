// The content key of a scenario: every value that can reach a result, in a fixed order.
#include <algorithm>

#include "sim/config/loader.hpp"
#include "sim/core/hash.hpp"

namespace tandem {
namespace {

void add(Hasher& hasher, const ParameterSet& parameters) {
  hasher.add(parameters.all().size());
  for (const auto& [name, parameter] : parameters.all()) {
    hasher.add(name).add(parameter.value).add(parameter.dimension);
    hasher.add(parameter.source).add(parameter.basis);
    hasher.add(parameter.low.has_value()).add(parameter.low.value_or(0));
    hasher.add(parameter.high.has_value()).add(parameter.high.value_or(0));
  }
}

void add(Hasher& hasher, const NeuralNetwork& n) {
  hasher.add(n.source).add(n.checkpoint_format).add(key_of(n));
}

void add(Hasher& hasher, const ChipGroup& group) {
  hasher.add(group.pool).add(group.chip).add(group.count).add(group.chips_per_node);
  hasher.add(group.link).add(group.scale_out).add(group.switch_kind);
  hasher.add(group.source).add(group.basis);
}

void add(Hasher& hasher, const Bridge& bridge) {
  hasher.add(bridge.from).add(bridge.to).add(bridge.links.size());
  for (const std::string& link : bridge.links) hasher.add(link);
  hasher.add(bridge.lanes).add(bridge.source).add(bridge.basis);
}

void add(Hasher& hasher, const System& system) {
  hasher.add(system.name).add(system.groups.size());
  for (const ChipGroup& group : system.groups) add(hasher, group);
  hasher.add(system.bridges.size());
  for (const Bridge& bridge : system.bridges) add(hasher, bridge);
  hasher.add(system.chips.size());
  for (const auto& [name, chip] : system.chips) {
    hasher.add(name).add(chip.model);
    add(hasher, chip.parameters);
  }
  hasher.add(system.links.size());
  for (const auto& [name, link] : system.links) {
    hasher.add(name);
    add(hasher, link.parameters);
  }
  add(hasher, system.parameters);
}

void add(Hasher& hasher, const PoolPlacement& p) {
  hasher.add(p.pool).add(p.tensor).add(p.pipeline).add(p.replicas).add(p.head_chips);
  if (p.gang() != p.tensor || p.expert != 1) {
    hasher.add("gang").add(p.context).add(p.attention_data).add(p.expert);
    hasher.add(p.redundant_experts);
  }
  if (p.micro_batches != 1 || p.bridge_links != 0) {
    hasher.add("turns").add(p.micro_batches).add(p.bridge_links);
  }
  if (p.spares != 0) hasher.add("spares").add(p.spares);
  hasher.add(p.precision.weights).add(p.precision.kv_cache).add(p.precision.activations);
  if (p.precision.block_scaled) hasher.add("block_scaled");
  if (p.precision.kv_format != nullptr) hasher.add("kv_format").add(p.precision.kv_format->name);
  if (const std::uint64_t formats = p.precision.formats_key()) hasher.add("formats").add(formats);
}

void add(Hasher& hasher, const Placement& placement, const NeuralNetwork& draft_model) {
  const Speculation& speculation = placement.speculation;
  if (!speculation.is_on()) return;
  if (speculation.method == DraftMethod::DraftModel) add(hasher, draft_model);
  if (placement.has_drafter()) {
    add(hasher, placement.draft);
  } else {
    hasher.add("in place").add(speculation.method).add(speculation.tree.size());
    for (const std::int64_t branches : speculation.tree) hasher.add(branches);
    if (speculation.method == DraftMethod::PromptLookup) {
      hasher.add(speculation.lookup.shortest).add(speculation.lookup.longest);
    }
  }
  hasher.add(speculation.drafts).add(speculation.in_step).add(speculation.acceptance.size());
  for (const double probability : speculation.acceptance) hasher.add(probability);
}

void add(Hasher& hasher, const RequestTrace& trace) {
  hasher.add("trace").add(trace.requests.size()).add(trace.dropped);
  for (const TracedRequest& request : trace.requests) {
    hasher.add(request.arrival.count()).add(request.prompt).add(request.output);
    hasher.add(request.priority).add(request.shared.size());
    for (const SharedPart& part : request.shared) hasher.add(part.key).add(part.end);
    if (request.session >= 0) hasher.add("session").add(request.session);
  }
}

/// How a model is placed and served: of the scenario, or of one of its deployments.
template <class Placed>
void add_placed(Hasher& hasher, const Placed& placed) {
  hasher.add(placed.placement.mode);
  if (placed.placement.kv_transfer != KvTransferKind::Whole) {
    hasher.add("kv_transfer").add(placed.placement.kv_transfer);
  }
  add(hasher, placed.placement.prefill);
  add(hasher, placed.placement.decode);
  if (placed.placement.has_ffn()) add(hasher, placed.placement.ffn);
  add(hasher, placed.placement, placed.draft_model);
  const Serving& serving = placed.serving;
  hasher.add(serving.policy).add(serving.router).add(serving.max_batch_tokens);
  hasher.add(serving.max_sequences).add(serving.kv_block_tokens);
  if (serving.planner) {
    const Planner& planner = *serving.planner;
    hasher.add("planner").add(planner.interval.count()).add(planner.itl.count());
    hasher.add(planner.ttft.count());
    hasher.add(planner.start_time.count()).add(planner.least_replicas).add(planner.chip_budget);
    hasher.add(planner.corrects).add(planner.power_cap_w).add(planner.prefill_chip_w);
    hasher.add(planner.decode_chip_w);
  }
  if (serving.cascade_attention != CascadeAttention::Off) {
    hasher.add("cascade_attention").add(serving.cascade_attention);
  }
  if (serving.eviction.is_on()) {
    hasher.add("eviction").add(serving.eviction.policy).add(serving.eviction.tokens);
    hasher.add(serving.eviction.sinks);
    if (serving.eviction.share != 0) hasher.add(serving.eviction.share);
  }
  if (serving.order != "fcfs") hasher.add("order").add(serving.order);
  if (!serving.chunked_prefill) hasher.add("whole prompts");
  if (serving.long_prefill_tokens > 0) hasher.add("long").add(serving.long_prefill_tokens);
  if (serving.batch_wait_steps > 0) {
    hasher.add("wait").add(serving.batch_wait_steps).add(serving.batch_wait_fill);
  }
  if (serving.balanced_groups > 1) {
    hasher.add("balance").add(serving.balanced_groups).add(serving.balance_wait_steps);
  }
  if (serving.policy == "sglang") {
    hasher.add(serving.max_prefill_tokens).add(serving.conservativeness);
    if (serving.receive_interval != 1) hasher.add(serving.receive_interval);
  }
  if (!serving.prefix_cache) hasher.add("no prefix cache");
  if (serving.local_prefill_tokens > 0) {
    hasher.add("local prefill").add(serving.local_prefill_tokens).add(serving.prefill_queue);
  }
  if (serving.kv_tiers != "none") hasher.add("kv_tiers").add(serving.kv_tiers);
  if (serving.router == "kv_overlap") {
    hasher.add(serving.overlap_weight).add(serving.router_temperature);
  }
}

void add_mix(Hasher& hasher, const Scenario& scenario) {
  if (!scenario.is_mix()) return;
  hasher.add("mix").add(scenario.routing.policy).add(scenario.routing.thresholds.size());
  for (const double threshold : scenario.routing.thresholds) hasher.add(threshold);
  hasher.add(scenario.deployments.size());
  for (const Deployment& deployment : scenario.deployments) {
    hasher.add(deployment.name).add(deployment.share).add(deployment.host.value_or(-1));
    add(hasher, deployment.model);
    add_placed(hasher, deployment);
  }
}

void add_load(Hasher& hasher, const Scenario& scenario) {
  add_placed(hasher, scenario);
  const Traffic& traffic = scenario.traffic;
  hasher.add(traffic.arrivals).add(traffic.concurrency).add(traffic.rate);
  hasher.add(traffic.prompt_tokens).add(traffic.output_tokens).add(traffic.length_spread);
  hasher.add(traffic.requests);
  if (traffic.has_warm_up()) {
    hasher.add("warm_up").add(traffic.warm_up_requests).add(traffic.warm_up_s);
  }
  if (traffic.has_groups()) {
    hasher.add("groups").add(traffic.branches).add(traffic.agents).add(traffic.rounds);
    hasher.add(traffic.shared_prefix_tokens);
  }
  if (traffic.has_sessions()) {
    hasher.add("sessions").add(traffic.turns).add(traffic.turns_spread);
    hasher.add(traffic.think_time_s).add(traffic.think_time_is_constant);
    hasher.add(traffic.first_prompt_tokens).add(traffic.shared_prefix_tokens);
  }
  if (traffic.ramp) hasher.add("start").add(traffic.ramp->count());
  if (traffic.arrivals == ArrivalKind::Gamma) hasher.add(traffic.burstiness);
  if (traffic.arrivals == ArrivalKind::Ramp) {
    hasher.add(traffic.end_rate).add(traffic.ramp_time_s);
  }
  if (traffic.trace) add(hasher, *traffic.trace);
  for (const auto& objective : {scenario.slo.ttft_p99, scenario.slo.tpot_p99}) {
    hasher.add(objective.has_value()).add(objective.value_or(Picoseconds{}).count());
  }
}

}  // namespace

std::string config_hash(const Scenario& scenario) {
  Hasher hasher;
  add(hasher, scenario.model);
  add(hasher, scenario.system);
  add_load(hasher, scenario);
  add_mix(hasher, scenario);
  hasher.add(scenario.prices.name);
  add(hasher, scenario.prices.parameters);
  hasher.add(scenario.software.name);
  add(hasher, scenario.software.parameters);
  hasher.add(scenario.seed).add(scenario.audit_steps);
  return hasher.hex();
}

}  // namespace tandem
