#include "sim/entry/plans/plan_bounds.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "sim/account/accounting.hpp"
#include "sim/service/service.hpp"

namespace tandem::entry {
namespace {

constexpr double seconds_per_hour = 3600;
constexpr double tokens_per_million = 1e6;

/// Whether every request of the traffic computes a prompt and an answer of the same lengths.
bool has_known_requests(const Scenario& scenario) {
  const Traffic& traffic = scenario.traffic;
  return !scenario.is_mix() && !scenario.placement.speculation.is_on() && !traffic.trace &&
         !traffic.has_groups() && !traffic.has_sessions() && traffic.length_spread == 0 &&
         traffic.shared_prefix_tokens == 0 && !traffic.has_warm_up();
}

Batch decodes(std::int64_t count, std::int64_t context) {
  Batch batch;
  for (std::int64_t i = 0; i < count; ++i) {
    batch.slices.push_back({.request = i, .context = context, .new_tokens = 1});
  }
  return batch;
}

/// Tokens per second of one replica in passes of decodes, at most: those of the widest pass.
double decode_rate(PoolModel& pool, const Scenario& scenario) {
  const Traffic& traffic = scenario.traffic;
  std::int64_t width = scenario.serving.max_sequences;
  if (pool.is_static()) width = std::min(width, pool.chip().batch_limit());
  if (traffic.arrivals == ArrivalKind::Closed) width = std::min(width, traffic.concurrency);
  double rate = 0;
  for (std::int64_t n = std::max<std::int64_t>(1, width); n > 0; n /= 2) {
    const Picoseconds period = pool.floor(decodes(n, traffic.prompt_tokens)).period;
    rate = std::max(rate, static_cast<double>(n) / to_seconds(period));
  }
  return rate;
}

Picoseconds first_token_floor(PoolModel& pool, const Traffic& traffic) {
  if (pool.is_static()) return pool.floor(decodes(1, 0)).latency;
  Batch prompt;
  prompt.slices.push_back({.request = 0, .context = 0, .new_tokens = traffic.prompt_tokens});
  return pool.floor(prompt).latency;
}

/// Latencies and rates from the floors of passes.
void bound_passes(const Scenario& scenario, const DeploymentModel& deployment, PlanBounds& bounds) {
  const Traffic& traffic = scenario.traffic;
  PoolModel& decode = deployment.decode_pool();
  const Picoseconds first = first_token_floor(deployment.prefill_pool(), traffic);
  const Picoseconds next = decode.floor(decodes(1, traffic.prompt_tokens)).latency;
  bounds.ttft_ms = to_milliseconds(first);
  const auto output = static_cast<double>(traffic.output_tokens);
  if (output > 1) {
    bounds.tpot_ms = to_milliseconds(next);
    // The first token comes out of the prompt's pass.
    bounds.output_tokens_per_s = output / (output - 1) * decode_rate(decode, scenario) *
                                 static_cast<double>(decode.placement().replicas);
  }
  if (traffic.arrivals == ArrivalKind::Closed) {
    const double request_s = to_seconds(first) + (output - 1) * to_seconds(next);
    bounds.output_tokens_per_s = std::min(
        bounds.output_tokens_per_s, static_cast<double>(traffic.concurrency) * output / request_s);
  }
  bounds.total_tokens_per_s =
      bounds.output_tokens_per_s * (output + static_cast<double>(traffic.prompt_tokens)) / output;
}

/// Power and price of the placed chips at rest: those of a run whose work is taken out.
void bound_accounts(const Scenario& scenario, ServiceModel& model, PlanBounds& bounds) {
  Traffic one = scenario.traffic;
  one.requests = 1;
  one.warm_up_requests = 0;
  one.warm_up_s = 0;
  RunOptions options;
  options.fidelity = Fidelity::Analytical;
  RunResult result = model.run(one, options);
  result.links.clear();
  for (PoolUse& pool : result.pools) pool.totals.activity.clear();
  const Accounting books = account(scenario, result);
  bounds.power_w = books.average_power_w.value_or(0);
  bounds.usd_per_hour = books.usd_per_hour_used.value_or(0);
}

std::optional<double> milliseconds(const std::optional<Picoseconds>& time) {
  return time ? std::optional(to_milliseconds(*time)) : std::nullopt;
}

}  // namespace

PlanBounds bounds_of(const Context& context, const Scenario& scenario, const std::string& store) {
  const auto folder = store == "none" ? std::nullopt : std::optional(store);
  ServiceModel model(scenario, context.catalogue, context.make_network, folder);
  PlanBounds bounds;
  const Traffic& traffic = scenario.traffic;
  if (!traffic.trace && !traffic.has_groups() && !traffic.has_sessions()) {
    bound_accounts(scenario, model, bounds);
  }
  if (has_known_requests(scenario)) bound_passes(scenario, *model.deployments().front(), bounds);
  return bounds;
}

std::optional<double> best_figure(const std::string& figure, const PlanBounds& bounds) {
  const bool has_rate = std::isfinite(bounds.output_tokens_per_s);
  if (figure == "usd_per_m_total_tokens" && has_rate) {
    return bounds.usd_per_hour / seconds_per_hour / bounds.total_tokens_per_s * tokens_per_million;
  }
  if (figure == "output_tokens_per_s_per_user" && bounds.tpot_ms > 0) {
    return 1000 / bounds.tpot_ms;
  }
  if (figure == "output_tokens_per_s" && has_rate) return bounds.output_tokens_per_s;
  if (figure == "energy_j_per_output_token" && has_rate) {
    return bounds.power_w / bounds.output_tokens_per_s;
  }
  return std::nullopt;
}

std::string broken_limit(const Plan& plan, const Slo& slo, const PlanBounds& bounds) {
  const auto above = [](const char* what, double least, const std::optional<double>& most,
                        const char* unit) {
    return most && least > *most
               ? fmt::format("{} is at least {:.4g} {}, above {:.4g}", what, least, unit, *most)
               : std::string{};
  };
  for (const std::string& broken :
       {above("TTFT", bounds.ttft_ms, milliseconds(slo.ttft_p99), "ms"),
        above("TPOT", bounds.tpot_ms, milliseconds(slo.tpot_p99), "ms"),
        above("power", bounds.power_w, plan.power_w, "W"),
        above("the price", bounds.usd_per_hour, plan.usd_per_hour, "USD/h")}) {
    if (!broken.empty()) return broken;
  }
  if (plan.output_tokens_per_s && bounds.output_tokens_per_s < *plan.output_tokens_per_s) {
    return fmt::format("at most {:.4g} output tokens/s, below {:.4g}", bounds.output_tokens_per_s,
                       *plan.output_tokens_per_s);
  }
  return {};
}

}  // namespace tandem::entry
