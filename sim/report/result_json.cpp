#include "sim/report/result_json.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/account/warnings.hpp"
#include "sim/describe/mix.hpp"
#include "sim/report/bands_json.hpp"
#include "sim/report/economics_json.hpp"
#include "sim/report/result_object.hpp"
#include "sim/report/sampling.hpp"
#include "sim/report/summary.hpp"
#include "sim/report/timelines_json.hpp"
#include "sim/report/traffic_json.hpp"
#include "sim/service/backlog.hpp"
#include "sim/service/measured_window.hpp"

namespace tandem {
namespace {

Json summary_json(const ReportInput& input) {
  const RunSummary s = summarise_run(input.scenario, input.result);
  const Accounting& a = input.accounting;
  Json json;
  json["output_tokens_per_s"] = s.output_tokens_per_s;
  json["total_tokens_per_s"] = s.total_tokens_per_s;
  json["requests_per_s"] = s.requests_per_s;
  json["offered_requests_per_s"] = optional_number(s.offered_requests_per_s);
  json["utilisation"] = s.utilisation;
  json["output_tokens_per_s_per_user"] = optional_number(s.output_tokens_per_s_per_user);
  json["ttft_ms"] = distribution(s.ttft_ms);
  json["tpot_ms"] = distribution(s.tpot_ms);
  json["itl_ms"] = distribution(s.itl_ms);
  json["e2e_ms"] = distribution(s.e2e_ms);
  json["slo_attainment"] = optional_number(s.slo_attainment);
  json["goodput_requests_per_s"] = optional_number(s.goodput_requests_per_s);
  json["energy_j_per_output_token"] = optional_number(a.energy_j_per_output_token);
  json["average_power_w"] = optional_number(a.average_power_w);
  json["tokens_per_s_per_mw"] = optional_number(a.tokens_per_s_per_mw);
  json["usd_per_hour"] = optional_number(a.usd_per_hour);
  json["usd_per_hour_used"] = optional_number(a.usd_per_hour_used);
  json["usd_per_m_input_tokens"] = optional_number(a.usd_per_m_input_tokens);
  json["usd_per_m_output_tokens"] = optional_number(a.usd_per_m_output_tokens);
  json["usd_per_m_total_tokens"] = optional_number(a.usd_per_m_total_tokens);
  return json;
}

Json interval_json(const std::vector<double>& values, std::uint64_t seed, const char* name) {
  const auto found = intervals_of(values, seed, name);
  if (!found) return nullptr;
  return {{"mean", found->mean},
          {"p50", found->p50},
          {"p90", found->p90},
          {"p95", found->p95},
          {"p99", found->p99}};
}

/// Figures of the summary that a warm-up does not trim.
Json of_whole_run() {
  return {"utilisation",
          "energy_j_per_output_token",
          "average_power_w",
          "tokens_per_s_per_mw",
          "usd_per_hour",
          "usd_per_hour_used",
          "usd_per_m_input_tokens",
          "usd_per_m_output_tokens",
          "usd_per_m_total_tokens"};
}

/// What figures leave out, and what they are taken from.
Json warm_up_json(const RunResult& result) {
  if (!result.traffic.has_warm_up()) return nullptr;
  const MeasuredWindow window = measured_window(result);
  return {{"requests_left_out", window.left_out},
          {"requests_measured", std::ssize(result.requests) - window.left_out},
          {"start_s", window.start_s},
          {"measured_s", window.seconds},
          {"of_whole_run", of_whole_run()}};
}

/// 95 % intervals of latencies, from the run's own requests.
Json intervals_json(const RunResult& result) {
  const MeasuredWindow window = measured_window(result);
  std::vector<double> ttft, tpot, e2e;
  for (std::size_t i = 0; i < result.requests.size(); ++i) {
    if (!window.covers[i]) continue;
    const RequestRecord& record = result.requests[i];
    ttft.push_back(record.ttft_ms);
    e2e.push_back(record.e2e_ms);
    if (record.output > 1) tpot.push_back(record.tpot_ms);
  }
  return {{"ttft_ms", interval_json(ttft, result.seed, "ttft intervals")},
          {"tpot_ms", interval_json(tpot, result.seed, "tpot intervals")},
          {"e2e_ms", interval_json(e2e, result.seed, "e2e intervals")}};
}

Json backlog_json(const RunResult& result) {
  const auto backlog = backlog_of(result);
  if (!backlog) return nullptr;
  return {{"waiting_second_quarter", backlog->waiting_before},
          {"waiting_last_quarter", backlog->waiting_late},
          {"open_second_quarter", backlog->open_before},
          {"open_last_quarter", backlog->open_late},
          {"long_enough", backlog->is_long},
          {"saturated", backlog->grows()}};
}

Json bounds_json(const RunResult& result) {
  const RunBounds bounds = bounds_of(result);
  return {{"tpot_ms", optional_number(bounds.tpot_ms)},
          {"ttft_ms", bounds.ttft_ms},
          {"output_tokens_per_s", bounds.output_tokens_per_s}};
}

Json steps_json(const RunResult& result) {
  Json audit = nullptr;
  if (result.audit.steps > 0) {
    audit = {{"steps", result.audit.steps},
             {"mean_error", result.audit.mean_error},
             {"mean_error_bound", result.audit.mean_error_bound},
             {"tpot_p99_error", result.audit.tpot_p99_error}};
  }
  Json kernels = Json::object();
  for (const auto& [model, count] : result.kernels) kernels[model] = std::llround(count);
  return {{"total", result.steps},
          {"simulated", result.steps_simulated},
          {"interpolated", result.steps_interpolated},
          {"audit", audit},
          {"kernels", kernels}};
}

std::optional<double> share_of_peak(double amount, double peak, const PoolUse& pool,
                                    double seconds) {
  if (peak <= 0 || amount <= 0) return std::nullopt;
  return amount / (peak * static_cast<double>(pool.chips) * seconds);
}

/// Shares of the passes' latency.
Json time_shares(const PoolUse& pool) {
  Json shares = Json::object();
  for (const auto& [name, share] : time_shares_of(pool)) shares[name] = share;
  return shares;
}

Json pools_json(const RunResult& result) {
  Json pools = Json::object();
  for (const PoolUse& pool : result.pools) {
    pools[pool.name] = {
        {"pool", pool.pool},
        {"chip", pool.chip},
        {"chips", pool.chips},
        {"replicas", pool.replicas},
        {"spares", pool.spares},
        {"busy", pool.busy},
        {"flop_utilisation",
         optional_number(share_of_peak(pool.totals.matrix_flops, pool.peak_flops_per_s, pool,
                                       result.simulated_s))},
        {"memory_bandwidth_utilisation",
         optional_number(share_of_peak(pool.totals.memory_bytes, pool.peak_bytes_per_s, pool,
                                       result.simulated_s))},
        {"kv_peak", pool.kv_peak},
        {"kv_slots", pool.kv_slots},
        {"formats", pool.formats},
        {"weight_bytes_per_chip", pool.weights.count()},
        {"kv_bytes_per_request", pool.kv_of_request.count()},
        {"time_shares", time_shares(pool)},
        {"bottleneck", pool.bottleneck.empty() ? Json(nullptr) : Json(pool.bottleneck)}};
  }
  return pools;
}

// The parts of a round cover it without gap; waiting for a pool counts to the pool.
Json speculation_json(const RunResult& result) {
  if (!result.speculation) return nullptr;
  const SpeculationUse& use = *result.speculation;
  const auto rounds = static_cast<double>(use.rounds);
  const Picoseconds total = use.drafting + use.transfer + use.waiting + use.verifying;
  const auto part = [&](Picoseconds time) {
    return use.rounds > 0 ? Json(time / total) : Json(nullptr);
  };
  const auto per_round = [&](double amount) {
    return use.rounds > 0 ? Json(amount / rounds) : Json(nullptr);
  };
  return {{"draft_model", use.draft_model},
          {"drafts", use.drafts},
          {"rounds", use.rounds},
          {"accepted", use.accepted},
          {"tokens_per_round", per_round(rounds + static_cast<double>(use.accepted))},
          {"round_ms", per_round(to_milliseconds(total))},
          {"shares",
           {{"draft", part(use.drafting)},
            {"transfer", part(use.transfer)},
            {"wait", part(use.waiting)},
            {"verify", part(use.verifying)}}},
          {"draft_prompt_ms",
           to_milliseconds(use.draft_prompt) / static_cast<double>(result.requests.size())}};
}

Json deployment_json(const DeploymentResult& own, const DeploymentSummary& s) {
  const Accounting& a = s.accounting;
  return {{"name", own.name},
          {"model", own.model},
          {"requests", own.run.requests.size()},
          {"answers", own.answers},
          {"input_tokens", own.run.input_tokens},
          {"output_tokens", own.run.output_tokens},
          {"occupied", s.occupied},
          {"ttft_ms", distribution(s.ttft_ms)},
          {"tpot_ms", distribution(s.tpot_ms)},
          {"e2e_ms", distribution(s.e2e_ms)},
          {"energy_j_per_request", optional_number(s.energy_j)},
          {"usd_per_request", optional_number(s.usd)},
          {"usd_per_hour_used", optional_number(a.usd_per_hour_used)},
          {"usd_per_m_input_tokens", optional_number(a.usd_per_m_input_tokens)},
          {"usd_per_m_output_tokens", optional_number(a.usd_per_m_output_tokens)},
          {"speculation", speculation_json(own.run)}};
}

void add_mix(const ReportInput& input, Json& json) {
  if (!input.scenario.is_mix()) {
    json["routing"] = nullptr;
    json["deployments"] = nullptr;
    return;
  }
  const std::vector<double> expected = expected_loads(input.scenario);
  std::vector<DeploymentSummary> summaries;
  Json loads = Json::object();
  Json list = Json::array();
  for (const DeploymentResult& own : input.result.deployments) {
    summaries.push_back(summarise_deployment(input.scenario, input.result, own));
    loads[own.name] = {{"run", summaries.back().load}, {"expected", expected[list.size()]}};
    list.push_back(deployment_json(own, summaries.back()));
  }
  const RoutedCost cost = routed_cost(summaries, input.result, input.accounting);
  json["routing"] = {{"policy", name_of(input.scenario.routing.policy)},
                     {"loads", loads},
                     {"usd_per_request", optional_number(cost.usd)},
                     {"usd_per_request_with_idle", optional_number(cost.usd_with_idle)}};
  json["deployments"] = list;
}

Json slo_json(const Slo& slo) {
  const auto objective = [](const std::optional<Picoseconds>& limit) {
    return limit ? Json(to_milliseconds(*limit)) : Json(nullptr);
  };
  return {{"ttft_p99_ms", objective(slo.ttft_p99)}, {"tpot_p99_ms", objective(slo.tpot_p99)}};
}

// Links that only passed hidden states along inside a replica are not simulated under contention:
// no busy time is known for them.
Json links_json(const RunResult& result) {
  Json links = Json::object();
  for (const auto& [name, use] : result.links) {
    const bool is_timed = use.busy.count() > 0;
    links[name] = {
        {"bytes", use.bytes.count()},
        {"busy", is_timed ? Json(to_seconds(use.busy) / result.simulated_s) : Json(nullptr)},
        {"peak_queue", is_timed ? Json(use.peak_queue) : Json(nullptr)}};
  }
  return links;
}

Json provenance_json(const Sensitivity& sensitivity) {
  Json list = Json::array();
  for (const Influence& influence : sensitivity.provenance) {
    list.push_back({{"parameter", influence.parameter},
                    {"value", influence.value},
                    {"source", influence.source},
                    {"basis", influence.basis},
                    {"elasticity", influence.elasticity}});
  }
  return list;
}

Json run_json(const RunResult& result) {
  char host[256] = {};
  const bool has_host = ::gethostname(host, sizeof host - 1) == 0;
  return {{"wall_s", result.wall_s},
          {"store_hits", result.store_hits},
          {"store_misses", result.store_misses},
          {"host", has_host ? Json(std::string(host)) : Json(nullptr)}};
}

}  // namespace

Json result_object(const ReportInput& input, bool with_run) {
  const RunResult& result = input.result;
  Json json;
  json["scenario"] = input.scenario.name;
  json["version"] = TANDEM_VERSION;
  json["config_hash"] = input.scenario.config_hash;
  json["seed"] = result.seed;
  json["fidelity"] = result.fidelity == Fidelity::Cycle ? "cycle" : "analytical";
  json["simulated_s"] = result.simulated_s;
  json["slo"] = slo_json(input.scenario.slo);
  const Json economics = economics_json(input);
  json["summary"] = summary_json(input);
  json["bands"] = bands_json(input, json["summary"], economics);
  json["intervals"] = intervals_json(result);
  json["warm_up"] = warm_up_json(result);
  json["backlog"] = backlog_json(result);
  json["warnings"] = warnings_of(input.scenario, result);
  json["requests_left_out"] = result.traffic.trace ? result.traffic.trace->dropped : 0;
  json["economics"] = economics;
  json["energy_j_by_component"] = energy_breakdown_json(input);
  json["usd_per_hour_by_component"] = numbers_json(input.accounting.usd_per_hour_by_component);
  json["bounds"] = bounds_json(result);
  json["steps"] = steps_json(result);
  json["speculation"] = speculation_json(result);
  json["groups"] = groups_json(input);
  json["sessions"] = sessions_json(result);
  json["kv_tiers"] = kv_tiers_json(result);
  json["prompts"] = prompts_json(result);
  json["planner"] = planner_json(result);
  add_mix(input, json);
  json["pools"] = pools_json(result);
  json["links"] = links_json(result);
  json["timelines"] = timelines_json(result);
  json["provenance"] = provenance_json(input.sensitivity);
  if (with_run) json["run"] = run_json(result);
  return json;
}

std::string result_json(const ReportInput& input) {
  return text_of(result_object(input, true));
}

std::string comparable_json(const ReportInput& input) {
  return text_of(result_object(input, false));
}

std::string run_object_json(const RunResult& result) {
  return text_of(run_json(result));
}

std::string requests_csv(const RunResult& result) {
  const bool is_mix = !result.deployments.empty();
  const bool has_users = std::ranges::any_of(
      result.requests, [](const RequestRecord& r) { return r.session >= 0 || r.priority != 0; });
  std::string text = "id,arrival_s,prompt,output,ttft_ms,tpot_ms,e2e_ms,cached_tokens,preemptions";
  if (has_users) text += ",priority,session,turn";
  text += is_mix ? ",deployment\n" : "\n";
  for (const RequestRecord& r : result.requests) {
    text += fmt::format("{},{:.9f},{},{},{:.6f},{:.6f},{:.6f},{},{}", r.id, r.arrival_s, r.prompt,
                        r.output, r.ttft_ms, r.tpot_ms, r.e2e_ms, r.cached_tokens, r.preemptions);
    if (has_users) text += fmt::format(",{},{},{}", r.priority, r.session, r.turn);
    text += is_mix ? "," + r.deployment + "\n" : "\n";
  }
  return text;
}

}  // namespace tandem
