#include "sim/entry/describe_load.hpp"

#include <fmt/format.h>

#include <string_view>

#include "sim/report/summary.hpp"

namespace tandem::entry {
namespace {

std::string arrivals_text(const Traffic& traffic) {
  switch (traffic.arrivals) {
    case ArrivalKind::Closed:
      return fmt::format("{} users who each wait for their answer", traffic.concurrency);
    case ArrivalKind::Poisson:
      return fmt::format("{:.6g} req/s (Poisson)", traffic.rate);
    case ArrivalKind::Constant:
      return fmt::format("{:.6g} req/s (constant)", traffic.rate);
    case ArrivalKind::Gamma:
      return fmt::format("{:.6g} req/s (gamma, burstiness {:.6g})", traffic.rate,
                         traffic.burstiness);
    case ArrivalKind::Ramp:
      return fmt::format("{:.6g} to {:.6g} req/s over {:.6g} s", traffic.rate, traffic.end_rate,
                         traffic.ramp_time_s);
    case ArrivalKind::Trace:
      return traffic.rate > 0 ? fmt::format("a trace at {:.6g} req/s", traffic.rate)
                              : std::string("a trace at its recorded times");
  }
  return {};
}

/// Requests, or what stands for one: conversations, groups.
std::string requests_text(const Traffic& traffic) {
  if (traffic.has_sessions()) return fmt::format("{} sessions", traffic.requests);
  if (traffic.has_groups()) return fmt::format("{} groups of requests", traffic.requests);
  return fmt::format("{} requests", traffic.requests);
}

std::string traffic_text(const Traffic& traffic) {
  const std::string spread = traffic.length_spread > 0
                                 ? fmt::format(" (+-{:.6g} %)", 100 * traffic.length_spread)
                                 : std::string();
  return fmt::format("{}; {} of {} prompt and {} output tokens{}", arrivals_text(traffic),
                     requests_text(traffic), traffic.prompt_tokens, traffic.output_tokens, spread);
}

std::string formats_of(const PoolPlacement& pool) {
  const Precision& precision = pool.precision;
  const std::string_view cache = precision.kv_format != nullptr
                                     ? std::string_view(precision.kv_format->name)
                                     : std::string_view(name_of(precision.kv_cache));
  return fmt::format("{} (weights x rows), KV cache {}", formats_text(precision), cache);
}

/// Those of both pools where they differ.
std::string formats_of(const Placement& placement) {
  const std::string prompts = formats_of(placement.prefill);
  if (!placement.is_split()) return prompts;
  const std::string tokens = formats_of(placement.decode);
  return prompts == tokens ? prompts : fmt::format("prefill {}; decode {}", prompts, tokens);
}

}  // namespace

std::string describe_load(const Scenario& scenario) {
  const Serving& serving = scenario.serving;
  std::string text = fmt::format("  traffic   {}\n", traffic_text(scenario.traffic));
  text += fmt::format("  SLO, p99  {}\n", slo_text(scenario.slo));
  if (!scenario.is_mix()) {
    text += fmt::format("  formats   {}\n", formats_of(scenario.placement));
    text += fmt::format("  serving   {}, at most {} requests and {} tokens in a step\n",
                        serving.policy, serving.max_sequences, serving.max_batch_tokens);
  }
  return text +
         fmt::format("  prices    {}, software {}\n", scenario.prices.name, scenario.software.name);
}

}  // namespace tandem::entry
