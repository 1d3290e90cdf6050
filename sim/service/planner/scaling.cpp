#include "sim/service/planner/scaling.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

double middle_of_answer(const IntervalLoad& load) {
  return load.prompt_tokens + load.output_tokens / 2;
}

/// Whole replicas that give a rate; what is within a millionth of one is one.
std::int64_t replicas_of(double rate, double of_replica, std::int64_t least) {
  constexpr double slack = 1e-6;
  return std::max(least, static_cast<std::int64_t>(std::ceil(rate / of_replica - slack)));
}

}  // namespace

Corrections corrections_of(const IntervalLoad& load, const ReplicaCounts& now,
                           const Planner& planner, ReplicaProfile& profile) {
  if (!planner.corrects) return {};
  const double side_by_side = static_cast<double>(load.requests) * load.duration_s /
                              to_seconds(planner.interval) / static_cast<double>(now.decode);
  Corrections corrections;
  corrections.prefill = load.ttft_s / profile.ttft_s(load.prompt_tokens);
  if (load.itl_s > 0) {
    corrections.decode =
        load.itl_s / profile.itl_s(std::max(1.0, side_by_side), middle_of_answer(load));
  }
  return corrections;
}

ReplicaCounts replicas_for(const IntervalLoad& load, const Corrections& corrections,
                           const Planner& planner, ReplicaProfile& profile) {
  const double rate = static_cast<double>(load.requests) / to_seconds(planner.interval);
  const double prompts = rate * load.prompt_tokens * std::min(1.0, corrections.prefill);
  const double itl = to_seconds(planner.itl) / (corrections.decode > 0 ? corrections.decode : 1.0);
  return {
      replicas_of(prompts, profile.prompt_tokens_per_s(load.prompt_tokens), planner.least_replicas),
      replicas_of(rate * load.output_tokens,
                  profile.tokens_per_s_within(itl, middle_of_answer(load)),
                  planner.least_replicas)};
}

}  // namespace tandem
