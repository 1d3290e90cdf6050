// What a replica can do, from the times of its steps.
#pragma once

#include <map>
#include <utility>

#include "sim/service/planner/scaling.hpp"
#include "sim/step/estimator.hpp"

namespace tandem {

/// Steps of equal requests: prompts by themselves, and so many requests of one context that decode,
/// interpolated as in a run. They are none of the run's steps.
class StepProfile final : public ReplicaProfile {
 public:
  /// Most that a replica takes at once: requests that decode side by side, tokens of prompts in a
  /// pass, and the time that such a pass may take.
  struct Limits {
    std::int64_t requests = 1;
    std::int64_t prompt_tokens = 1;
    Picoseconds ttft{0};
  };
  StepProfile(PoolModel& prefill, PoolModel& decode, Fidelity fidelity, const Limits& limits)
      : prefill_(prefill, fidelity, false), decode_(decode, fidelity, false), limits_(limits) {}
  [[nodiscard]] double ttft_s(double prompt_tokens) override;
  [[nodiscard]] double prompt_tokens_per_s(double prompt_tokens) override;
  [[nodiscard]] double itl_s(double requests, double context_tokens) override;
  [[nodiscard]] double tokens_per_s_within(double itl_s, double context_tokens) override;

 private:
  [[nodiscard]] StepEstimate prompts(std::int64_t count, double tokens);
  [[nodiscard]] std::int64_t room_for(std::int64_t context);

  StepEstimator prefill_;
  StepEstimator decode_;
  Limits limits_;
  std::map<std::pair<std::int64_t, std::int64_t>, double> itl_;  ///< by requests and context
};

}  // namespace tandem
