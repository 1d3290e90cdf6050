#include "sim/report/traffic_json.hpp"

#include <nlohmann/json.hpp>

#include "sim/report/summary.hpp"

namespace tandem {

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json distribution(const Summary& s) {
  if (s.count == 0) return nullptr;
  return {{"mean", s.mean}, {"p50", s.p50}, {"p90", s.p90}, {"p95", s.p95}, {"p99", s.p99}};
}

Json groups_json(const ReportInput& input) {
  if (!input.result.groups) return nullptr;
  const GroupUse& use = *input.result.groups;
  const GroupSummary s = summarise_groups(input.result, input.accounting);
  return {{"groups", use.groups},
          {"requests_per_group", use.requests},
          {"groups_per_s", s.groups_per_s},
          {"e2e_ms", distribution(s.e2e_ms)},
          {"output_tokens_per_group", s.output_tokens},
          {"energy_j_per_group", optional_number(s.energy_j)},
          {"usd_per_group", optional_number(s.usd)},
          {"prompt_tokens",
           {{"computed", use.prompt_tokens},
            {"closed_form", use.prompt_tokens_alone},
            {"unshared", use.prompt_tokens_unshared},
            {"computed_beside_others", use.computed_beside_others},
            {"computed_after_eviction", use.computed_after_eviction},
            {"computed_without_sharing", use.computed_without_sharing}}},
          {"output_tokens_per_pass", s.output_tokens_per_pass},
          {"waited_for",
           {{"sequence", use.waited_for_sequence},
            {"kv_blocks", use.waited_for_kv},
            {"step", use.waited_for_step},
            {"batch", use.waited_for_batch}}},
          {"preemptions", use.preemptions}};
}

namespace {

Json tier_json(const KvTiersUse& all, const std::optional<TierUse>& use, double simulated_s) {
  if (!use) return nullptr;
  const auto bytes = [&](std::int64_t blocks) { return blocks * all.block.count(); };
  return {{"capacity_bytes", bytes(use->capacity)},
          {"hit_tokens", use->hits * all.block_tokens},
          {"bytes_read", bytes(use->hits)},
          {"bytes_written", bytes(use->writes)},
          {"bytes_dropped", bytes(use->dropped)},
          {"reading", to_seconds(use->reading) / simulated_s},
          {"writing", to_seconds(use->writing) / simulated_s}};
}

}  // namespace

Json kv_tiers_json(const RunResult& result) {
  if (!result.kv_tiers) return nullptr;
  const KvTiersUse& use = *result.kv_tiers;
  return {{"host", tier_json(use, use.host, result.simulated_s)},
          {"store", tier_json(use, use.store, result.simulated_s)}};
}

Json prompts_json(const RunResult& result) {
  if (!result.prompt_routes) return nullptr;
  const PromptRoutes& routes = *result.prompt_routes;
  return {{"remote", routes.remote},
          {"local", routes.local},
          {"tokens_sent", routes.tokens_sent},
          {"tokens_kept", routes.tokens_kept}};
}

Json sessions_json(const RunResult& result) {
  if (!result.sessions) return nullptr;
  const SessionUse& use = *result.sessions;
  return {{"sessions", use.sessions},
          {"turns", use.turns},
          {"duration_ms", distribution(summarise(use.duration_ms))},
          {"ttft_ms",
           {{"first_turn", distribution(summarise(use.ttft_first_ms))},
            {"later_turns", distribution(summarise(use.ttft_later_ms))}}},
          {"prompt_tokens",
           {{"all", use.prompt_tokens},
            {"cached", use.cached_tokens},
            {"cached_without_end", use.reusable_tokens}}}};
}

Json planner_json(const RunResult& result) {
  if (!result.planner) return nullptr;
  Json decisions = Json::array();
  for (const PlannerDecision& d : result.planner->decisions) {
    decisions.push_back({{"at_s", to_seconds(d.at)},
                         {"requests", d.load.requests},
                         {"prompt_tokens", d.load.prompt_tokens},
                         {"output_tokens", d.load.output_tokens},
                         {"ttft_ms", 1e3 * d.load.ttft_s},
                         {"itl_ms", 1e3 * d.load.itl_s},
                         {"prefill_correction", d.corrections.prefill},
                         {"decode_correction", d.corrections.decode},
                         {"prefill_wanted", d.wanted.prefill},
                         {"decode_wanted", d.wanted.decode},
                         {"prefill_replicas", d.replicas.prefill},
                         {"decode_replicas", d.replicas.decode},
                         {"limit", d.limit.empty() ? Json(nullptr) : Json(d.limit)}});
  }
  return {{"mean_prefill_replicas", result.planner->mean_prefill},
          {"mean_decode_replicas", result.planner->mean_decode},
          {"decisions", decisions}};
}

}  // namespace tandem
