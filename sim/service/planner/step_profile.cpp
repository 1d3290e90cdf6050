#include "sim/service/planner/step_profile.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

std::int64_t whole(double amount) {
  return std::max<std::int64_t>(1, std::llround(amount));
}

}  // namespace

StepEstimate StepProfile::prompts(std::int64_t count, double tokens) {
  Batch batch;
  for (std::int64_t i = 0; i < count; ++i) {
    batch.slices.push_back({.request = i, .context = 0, .new_tokens = whole(tokens)});
  }
  return prefill_.execute(batch);
}

double StepProfile::ttft_s(double prompt_tokens) {
  return to_seconds(prompts(1, prompt_tokens).latency());
}

/// Of one prompt by itself, or of as many in a pass as are through in time.
double StepProfile::prompt_tokens_per_s(double prompt_tokens) {
  const auto rate = [&](std::int64_t count, const StepEstimate& estimate) {
    return static_cast<double>(count) * prompt_tokens / to_seconds(estimate.period());
  };
  double best = rate(1, prompts(1, prompt_tokens));
  for (std::int64_t count = 2; count * whole(prompt_tokens) <= limits_.prompt_tokens; count *= 2) {
    const StepEstimate estimate = prompts(count, prompt_tokens);
    if (estimate.latency() > limits_.ttft) break;
    best = std::max(best, rate(count, estimate));
  }
  return best;
}

double StepProfile::itl_s(double requests, double context_tokens) {
  const std::int64_t side_by_side = std::min(whole(requests), limits_.requests);
  const std::int64_t context = whole(context_tokens);
  const auto [known, is_new] = itl_.try_emplace({side_by_side, context}, 0.0);
  if (!is_new) return known->second;
  // Dynamic schedules take them all in one pass, static ones one behind the other.
  const std::int64_t of_pass = decode_.pool().is_static() ? 1 : side_by_side;
  Batch batch;
  for (std::int64_t i = 0; i < of_pass; ++i) {
    batch.slices.push_back({.request = i, .context = context, .new_tokens = 1});
  }
  const StepEstimate estimate = decode_.execute(batch);
  known->second =
      to_seconds(std::max(estimate.latency(), estimate.period() * (side_by_side / of_pass)));
  return known->second;
}

std::int64_t StepProfile::room_for(std::int64_t context) {
  const std::int64_t tokens = decode_.pool().kv_room().tokens;
  return std::clamp<std::int64_t>(tokens / context, 1, limits_.requests);
}

double StepProfile::tokens_per_s_within(double itl_s_most, double context_tokens) {
  std::int64_t good = 1;
  std::int64_t bad = room_for(whole(context_tokens)) + 1;
  while (bad - good > 1) {  // times rise with the number of requests
    const std::int64_t middle = good + (bad - good) / 2;
    (itl_s(static_cast<double>(middle), context_tokens) <= itl_s_most ? good : bad) = middle;
  }
  const auto requests = static_cast<double>(good);
  return requests / itl_s(requests, context_tokens);
}

}  // namespace tandem
