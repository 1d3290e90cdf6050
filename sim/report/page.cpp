#include "sim/report/page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/account/economics.hpp"
#include "sim/account/warnings.hpp"
#include "sim/report/headline_bands.hpp"
#include "sim/report/sampling.hpp"
#include "sim/report/summary.hpp"
#include "sim/report/table_text.hpp"
#include "sim/service/backlog.hpp"
#include "sim/service/measured_window.hpp"

namespace tandem {
namespace {

std::string figure_line(const ReportInput& input, const std::string& label, const std::string& key,
                        const std::optional<double>& value) {
  return fmt::format("  {:<32} {:>12}{}\n", label, number(value),
                     band_text(input.sensitivity, key, value));
}

/// One latency; behind it the band of its mean, where ranged numbers move it.
std::string latency_line(const ReportInput& input, const char* label, const std::string& key,
                         const Summary& s, const std::optional<double>& floor) {
  if (s.count == 0) return "";
  return fmt::format("  {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}{}\n", label, number(s.mean),
                     number(s.p50), number(s.p90), number(s.p95), number(s.p99), number(floor),
                     band_text(input.sensitivity, key, s.mean));
}

std::string latencies(const ReportInput& input, const RunSummary& s) {
  const RunBounds bounds = bounds_of(input.result);
  const bool has_bands = !input.sensitivity.bands.all.empty();
  std::string text =
      fmt::format("  {:<8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}{}\n", "ms", "mean", "p50",
                  "p90", "p95", "p99", "floor", has_bands ? "  [90 % band of the mean]" : "");
  text += latency_line(input, "TTFT", "ttft_ms", s.ttft_ms, bounds.ttft_ms);
  text += latency_line(input, "TPOT", "tpot_ms", s.tpot_ms, bounds.tpot_ms);
  text += latency_line(input, "ITL", "itl_ms", s.itl_ms, std::nullopt);
  text += latency_line(input, "E2E", "e2e_ms", s.e2e_ms, std::nullopt);
  return text;
}

std::string figures(const ReportInput& input, const RunSummary& s) {
  const Accounting& a = input.accounting;
  std::string text;
  text += figure_line(input, "output tokens/s", "output_tokens_per_s", s.output_tokens_per_s);
  text += figure_line(input, "output tokens/s per user", "output_tokens_per_s_per_user",
                      s.output_tokens_per_s_per_user);
  text += figure_line(input, "requests/s", "requests_per_s", s.requests_per_s);
  text += figure_line(input, "offered requests/s", "", s.offered_requests_per_s);
  text += figure_line(input, "utilisation", "", s.utilisation);
  text += fmt::format("  {:<32}  {}\n", "SLO, p99", slo_text(input.scenario.slo));
  const auto slo_bands = slo_bands_of(input.scenario, input.result, input.sensitivity.bands.all);
  const auto slo_line = [&](const std::string& label, const std::string& key, double value) {
    const auto band = slo_bands.find(key);
    text +=
        fmt::format("  {:<32} {:>12}{}\n", label, number(value),
                    band == slo_bands.end() ? "" : ends_text(band->second.low, band->second.high));
  };
  if (s.slo_attainment) slo_line("requests within the SLO", "slo_attainment", *s.slo_attainment);
  if (s.goodput_requests_per_s)
    slo_line("requests/s within the SLO", "goodput_requests_per_s", *s.goodput_requests_per_s);
  text += figure_line(input, "J per output token", "energy_j_per_output_token",
                      a.energy_j_per_output_token);
  text += figure_line(input, "average power, W", "average_power_w", a.average_power_w);
  text += figure_line(input, "USD per hour, whole system", "usd_per_hour", a.usd_per_hour);
  text += figure_line(input, "USD per hour, chips used", "usd_per_hour_used", a.usd_per_hour_used);
  text += figure_line(input, "USD per M input tokens", "usd_per_m_input_tokens",
                      a.usd_per_m_input_tokens);
  text += figure_line(input, "USD per M output tokens", "usd_per_m_output_tokens",
                      a.usd_per_m_output_tokens);
  text += figure_line(input, "USD per M tokens, both", "usd_per_m_total_tokens",
                      a.usd_per_m_total_tokens);
  return text;
}

/// All tokens sold at a tier's prices; behind each figure its band.
std::string tier_text(const ReportInput& input, const std::string& name, const TierBooks& tier) {
  const auto margin = margin_band_of(name, tier, input.sensitivity.bands.all);
  const std::string margin_ends =
      margin ? fmt::format(" [{:.0f}, {:.0f}]", 100 * margin->low, 100 * margin->high) : "";
  return fmt::format("  {:<32} {:>12}{}  margin {:.0f} %{}, pays from {:.0f} % of this load\n",
                     name + ", USD per hour", number(tier.revenue_usd_per_hour),
                     band_text(input.sensitivity, "tiers." + name + ".revenue_usd_per_hour",
                               tier.revenue_usd_per_hour),
                     100 * tier.margin, margin_ends, 100 * tier.break_even_share);
}

/// Carbon, and where the price book has them revenue by tier and the other ways to the same tokens.
std::string economics_text(const ReportInput& input) {
  const Economics e = economics_of(input.scenario, input.result, input.accounting);
  std::string text;
  const auto line = [&](const std::string& label, const std::string& key,
                        const std::optional<double>& value) {
    if (value) text += figure_line(input, label, key, value);
  };
  line("g CO2 per M output tokens", "carbon_g_per_m_output_tokens", e.carbon_g_per_m_output_tokens);
  for (const auto& [name, tier] : e.tiers) text += tier_text(input, name, tier);
  const HourlyCosts& costs = e.usd_per_hour;
  if (!costs.rented && !costs.purchase) return text;
  line("chips owned, USD per hour", "owned_usd_per_hour", costs.owned);
  line("chips rented, USD per hour", "rented_usd_per_hour", costs.rented);
  line("tokens bought, USD per hour", "purchase_usd_per_hour", costs.purchase);
  line("owning pays above a use of", "owning_pays_above", costs.owning_pays_above);
  line("running pays above a load of", "running_pays_above", costs.running_pays_above);
  return text;
}

/// What to know before trusting the figures above.
std::string warnings(const ReportInput& input) {
  const RunResult& result = input.result;
  std::string text;
  for (const std::string& warning : warnings_of(input.scenario, result)) {
    text += fmt::format("  {}\n", warning);
  }
  const auto backlog = backlog_of(result);
  if (backlog && backlog->grows()) {
    text += fmt::format(
        "  saturated: {:.0f} requests waited for their first token in the second quarter of the "
        "arrivals, {:.0f} in the last ({:.0f} and {:.0f} were open); latencies grow with the "
        "length of the run\n",
        backlog->waiting_before, backlog->waiting_late, backlog->open_before, backlog->open_late);
  }
  if (result.traffic.has_warm_up()) {
    const MeasuredWindow window = measured_window(result);
    text += fmt::format(
        "  warm-up: {} requests left out; latencies and rates are of {} requests and {} s from "
        "{} s on; power, energy, cost and utilisation are of the whole run\n",
        window.left_out, std::ssize(result.requests) - window.left_out, number(window.seconds),
        number(window.start_s));
  }
  if (result.traffic.trace && result.traffic.trace->dropped > 0) {
    text += fmt::format("  {} requests of the trace are longer than the context and left out\n",
                        result.traffic.trace->dropped);
  }
  return text.empty() ? text : text + "\n";
}

/// The parts that passes spend most of their time on.
std::string time_line(const PoolUse& pool) {
  constexpr std::size_t most_parts = 6;
  const auto shares = time_shares_of(pool);
  if (shares.size() < 2) return "";
  std::vector<std::string> words;
  double rest = 1;
  for (std::size_t i = 0; i < std::min(shares.size(), most_parts); ++i) {
    words.push_back(fmt::format("{} {:.0f} %", shares[i].first, 100 * shares[i].second));
    rest -= shares[i].second;
  }
  if (rest > 0.005) words.push_back(fmt::format("others {:.0f} %", 100 * rest));
  return fmt::format("  {:<10} time: {}\n", "", fmt::join(words, ", "));
}

/// Formats of a pool's weights, where they are more than element types.
std::string formats_line(const PoolUse& pool) {
  if (!pool.has_formats) return "";
  return fmt::format("  {:<10} weights: {}, {:.4g} GB per chip{}\n", "", pool.formats,
                     static_cast<double>(pool.weights.count()) / 1e9,
                     pool.keeps_rows ? "; no pipe for quantised rows, which are kept" : "");
}

std::string pools_and_links(const RunResult& result) {
  std::string text = "\nPools\n";
  for (const PoolUse& pool : result.pools) {
    text += fmt::format(
        "  {:<10} {} x {}{}: busy {:.0f} %, busiest station {:.0f} %, KV {:.0f} %, "
        "bound by {}\n",
        pool.name, pool.chips, pool.chip,
        pool.spares > 0 ? fmt::format(" + {} spares", pool.spares) : "", 100 * pool.busy,
        100 * pool.bottleneck_busy, 100 * pool.kv_peak,
        pool.bottleneck.empty() ? "-" : pool.bottleneck);
    text += formats_line(pool);
    text += time_line(pool);
  }
  if (result.links.empty()) return text;
  text += "Links\n";
  for (const auto& [name, use] : result.links) {
    text += fmt::format("  {:<16} {:.3f} GB\n", name, static_cast<double>(use.bytes.count()) / 1e9);
  }
  return text;
}

std::string speculation_text(const RunResult& result) {
  if (!result.speculation || result.speculation->rounds == 0) return "";
  const SpeculationUse& use = *result.speculation;
  const auto rounds = static_cast<double>(use.rounds);
  const Picoseconds total = use.drafting + use.transfer + use.waiting + use.verifying;
  return fmt::format(
      "\nSpeculation: {} drafts of {} per round; {:.2f} tokens per round of {} ms: drafting {:.0f} "
      "%, token ids on the links {:.0f} %, waiting for other drafts {:.0f} %, verifying {:.0f} %\n",
      use.drafts, use.draft_model, 1 + static_cast<double>(use.accepted) / rounds,
      number(to_milliseconds(total) / rounds), 100 * (use.drafting / total),
      100 * (use.transfer / total), 100 * (use.waiting / total), 100 * (use.verifying / total));
}

std::optional<double> per_thousand(const std::optional<double>& value) {
  if (!value) return std::nullopt;
  return *value * 1000;
}

/// Groups of requests, and why their prompts took more than the closed form, if they did.
std::string groups_text(const ReportInput& input) {
  if (!input.result.groups) return "";
  const GroupUse& use = *input.result.groups;
  const GroupSummary s = summarise_groups(input.result, input.accounting);
  std::string text = fmt::format(
      "\nGroups: {} of {} requests, {} groups/s, {} ms to the last token (mean; p99 {}), {} output "
      "tokens, {} J and {} USD each\n",
      use.groups, use.requests, number(s.groups_per_s), number(s.e2e_ms.mean), number(s.e2e_ms.p99),
      number(s.output_tokens), number(s.energy_j), number(s.usd));
  text += fmt::format(
      "  {} prompt tokens computed, closed form {}, without sharing {}; {} output tokens per "
      "pass\n",
      use.prompt_tokens, use.prompt_tokens_alone, use.prompt_tokens_unshared,
      number(s.output_tokens_per_pass));
  if (use.prompt_tokens > use.prompt_tokens_alone) {
    text += fmt::format(
        "  computed again: {} while others did, {} after eviction, {} in slots that share "
        "nothing\n",
        use.computed_beside_others, use.computed_after_eviction, use.computed_without_sharing);
  }
  const std::int64_t waited =
      use.waited_for_sequence + use.waited_for_kv + use.waited_for_step + use.waited_for_batch;
  if (waited + use.preemptions > 0) {
    text += fmt::format(
        "  requests that waited: {} for a sequence, {} for KV blocks, {} for a step, {} for the "
        "policy's next batch; {} preemptions\n",
        use.waited_for_sequence, use.waited_for_kv, use.waited_for_step, use.waited_for_batch,
        use.preemptions);
  }
  return text;
}

std::string planner_text(const RunResult& result) {
  if (!result.planner) return "";
  std::string text =
      fmt::format("\nPlanner: {} replicas for prompts and {} for tokens on (means)\n",
                  number(result.planner->mean_prefill), number(result.planner->mean_decode));
  const PlannerDecision* before = nullptr;
  for (const PlannerDecision& decision : result.planner->decisions) {
    if (before == nullptr || decision.replicas != before->replicas) {
      text += fmt::format("  {:>8} s: {} and {}{}\n", number(to_seconds(decision.at)),
                          decision.replicas.prefill, decision.replicas.decode,
                          decision.limit.empty() ? "" : ", held by " + decision.limit);
    }
    before = &decision;
  }
  return text;
}

std::string sessions_text(const RunResult& result) {
  if (!result.sessions) return "";
  const SessionUse& use = *result.sessions;
  return fmt::format(
      "\nSessions: {} of {} turns in all, {} s each (mean; p99 {}); TTFT {} ms in first turns, {} "
      "ms in later ones (means)\n  {} prompt tokens, {} of them cached; a cache without end: {}\n",
      use.sessions, use.turns, number(summarise(use.duration_ms).mean / 1000),
      number(summarise(use.duration_ms).p99 / 1000), number(summarise(use.ttft_first_ms).mean),
      number(summarise(use.ttft_later_ms).mean), use.prompt_tokens, use.cached_tokens,
      use.reusable_tokens);
}

/// What each model of a mix did, and what requests cost by it.
std::string mix_text(const ReportInput& input) {
  if (!input.scenario.is_mix()) return "";
  std::string text = fmt::format("\nModels, policy {}\n", name_of(input.scenario.routing.policy));
  text += fmt::format("  {:<12} {:>9} {:>9} {:>9} {:>10} {:>10} {:>10} {:>14} {:>12}\n", "",
                      "requests", "answers", "occupied", "TTFT ms", "TPOT ms", "E2E ms",
                      "USD/1000 req.", "J/request");
  std::vector<DeploymentSummary> summaries;
  for (const DeploymentResult& own : input.result.deployments) {
    summaries.push_back(summarise_deployment(input.scenario, input.result, own));
    const DeploymentSummary& s = summaries.back();
    text += fmt::format("  {:<12} {:>9} {:>9} {:>7.0f} % {:>10} {:>10} {:>10} {:>14} {:>12}  {}\n",
                        own.name, own.run.requests.size(), own.answers, 100 * s.occupied,
                        number(s.ttft_ms.mean), number(s.tpot_ms.mean), number(s.e2e_ms.mean),
                        number(per_thousand(s.usd)), number(s.energy_j), own.model);
  }
  const RoutedCost cost = routed_cost(summaries, input.result, input.accounting);
  return text +
         fmt::format("  USD per 1000 requests: {} while they are served, {} with idle chips\n",
                     number(per_thousand(cost.usd)), number(per_thousand(cost.usd_with_idle)));
}

std::string steps_text(const RunResult& result) {
  std::string text = fmt::format("\nSteps: {} executed, {} simulated, {} interpolated\n",
                                 result.steps, result.steps_simulated, result.steps_interpolated);
  if (result.audit.steps > 0) {
    text += fmt::format(
        "  audit of {} interpolated steps: mean error {:.2f} % (95 % bound {:.2f} %), on TPOT p99 "
        "at most {:.2f} %\n",
        result.audit.steps, 100 * result.audit.mean_error, 100 * result.audit.mean_error_bound,
        100 * result.audit.tpot_p99_error);
  }
  return text;
}

std::string provenance_text(const Sensitivity& sensitivity) {
  if (sensitivity.provenance.empty()) return "";
  std::string text = "\nInputs that matter most (change of the request's time per change)\n";
  for (const Influence& i : sensitivity.provenance) {
    text +=
        fmt::format("  {:<44} {:>6.2f}  {} ({})\n", i.parameter, i.elasticity, i.source, i.basis);
  }
  return text;
}

}  // namespace

std::string run_page(const ReportInput& input) {
  const RunResult& result = input.result;
  const RunSummary s = summarise_run(input.scenario, result);
  std::string text =
      fmt::format("{}: {} on {}, {} clock, {} requests in {} s\n\n", input.scenario.name,
                  models_text(input.scenario), input.scenario.system.name,
                  result.fidelity == Fidelity::Cycle ? "cycle" : "analytical",
                  result.requests.size(), number(result.simulated_s));
  text += warnings(input) + latencies(input, s) + "\n" + figures(input, s) + economics_text(input);
  text += pools_and_links(result) + speculation_text(result) + groups_text(input) +
          sessions_text(result) + planner_text(result) + mix_text(input) + steps_text(result) +
          provenance_text(input.sensitivity);
  return text;
}

}  // namespace tandem
