// Settings of the KV cache that exclude each other.
#include <fmt/format.h>

#include "sim/config/check_scenario.hpp"
#include "sim/describe/kv_slots.hpp"

namespace tandem::config {

void check_eviction(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  const Tree* eviction = serving == nullptr ? nullptr : serving->find("eviction");
  if (eviction == nullptr || !scenario.serving.eviction.is_on()) return;
  const auto report = [&](const std::string& text) { problems.report(eviction->place, text); };
  const Placement& placement = scenario.placement;
  if (placement.mode != PlacementMode::Monolithic) {
    return report("evicted caches stay on the pool that made them; write 'mode: monolithic'");
  }
  if (placement.speculation.is_on()) {
    return report(
        "tokens that pushed others out of the cache cannot be taken back; leave "
        "'speculation' or 'eviction' out");
  }
  if (placement.decode.context > 1) {
    return report("chips that share cached tokens do not evict them; leave 'context' out");
  }
  for (const ChipGroup& group : scenario.system.groups) {
    const bool is_own = group.pool == placement.decode.pool;
    if (is_own && is_lpu(scenario.system, group)) {
      return report(
          "programs of LPUs address every token that was appended; evict on a pool of "
          "GPUs");
    }
  }
  const std::string problem = eviction_problem(scenario.model);
  if (!problem.empty()) report(fmt::format("'{}': {}", scenario.model.name, problem));
}

void check_cascade(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  const Tree* cascade = serving == nullptr ? nullptr : serving->find("cascade_attention");
  const bool is_off = scenario.serving.cascade_attention == CascadeAttention::Off;
  if (cascade == nullptr || is_off) return;
  const auto report = [&](const std::string& text) { problems.report(cascade->place, text); };
  const PoolPlacement& decode = scenario.placement.decode;
  for (const ChipGroup& group : scenario.system.groups) {
    if (group.pool == decode.pool && is_lpu(scenario.system, group)) {
      return report("slots of LPUs share no KV; leave 'cascade_attention' out");
    }
  }
  if (decode.context > 1 || decode.precision.kv_format != nullptr ||
      scenario.serving.eviction.is_on()) {
    return report(
        "a common prefix is read once where keys and values are elements and each chip has all of "
        "its requests' tokens; leave 'cascade_attention' out, or 'context', formats of the KV "
        "cache and 'eviction'");
  }
  const Traffic& traffic = scenario.traffic;
  if (!traffic.has_groups() && !traffic.has_sessions() && !traffic.trace) {
    return report(
        "no requests of this traffic share a prefix; give it 'branches' or 'agents', or leave "
        "'cascade_attention' out");
  }
  for (const LayerKind& kind : scenario.model.kinds) {
    if (!std::holds_alternative<LatentAttention>(kind.mixer)) continue;
    return report(
        fmt::format("'{}' caches latents, whose common prefix is not read once yet; leave "
                    "'cascade_attention' out",
                    scenario.model.name));
  }
}

void check_tiers(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  const Tree* tiers = serving == nullptr ? nullptr : serving->find("kv_tiers");
  const std::string& chosen = scenario.serving.kv_tiers;
  if (tiers == nullptr || chosen == "none") return;
  const auto report = [&](const std::string& text) { problems.report(tiers->place, text); };
  for (const char* tier : {"host", "store"}) {
    if (chosen.find(tier) == std::string::npos) continue;
    for (const char* key : {"capacity", "bandwidth", "latency"}) {
      const std::string name = fmt::format("kv_tiers.{}.{}", tier, key);
      if (scenario.system.parameters.has(name)) continue;
      report(fmt::format("the system has no '{}'; write it there, with source and basis", name));
    }
  }
  const Placement& placement = scenario.placement;
  if (scenario.serving.policy != "vllm_v1" || !scenario.serving.prefix_cache ||
      placement.speculation.is_on()) {
    report(
        "blocks below HBM are found by 'policy: vllm_v1' with its prefix cache, without "
        "speculative decoding; leave 'kv_tiers' out");
  }
  for (const ChipGroup& group : scenario.system.groups) {
    if (group.pool == placement.prefill.pool && is_lpu(scenario.system, group)) {
      report("slots of LPUs keep no blocks; leave 'kv_tiers' out");
    }
  }
}

}  // namespace tandem::config
