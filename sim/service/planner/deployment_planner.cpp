// The part of a deployment's run that scales its pools.
#include "sim/service/deployment_run.hpp"

namespace tandem {

void DeploymentRun::add_autoscaler() {
  const auto limits_of = [](const PoolModel& pool) {
    return PoolLimits{pool.placement().replicas, pool.chips_per_replica()};
  };
  const Serving& serving = model_.scenario().serving;
  PoolModel& prefill = model_.prefill_pool();
  PoolModel& decode = model_.decode_pool();
  StepProfile::Limits limits;
  limits.requests = decode.is_static() ? decode.kv_room().sequences : serving.max_sequences;
  limits.prompt_tokens = serving.max_batch_tokens;
  limits.ttft = serving.planner->ttft;
  profile_.emplace(prefill, decode, parts_.options.fidelity, limits);
  autoscaler_.emplace(*serving.planner, *profile_, limits_of(prefill), limits_of(decode),
                      parts_.agenda);
}

/// Replicas that are off cost nothing and draw nothing.
void DeploymentRun::collect_planner(RunResult& result) const {
  const Picoseconds start{0};
  result.planner = autoscaler_->use(start, start + from_seconds(result.simulated_s));
  const double prefill = static_cast<double>(result.pools.front().replicas);
  const double decode = static_cast<double>(result.pools.back().replicas);
  result.pools.front().kept_share = result.planner->mean_prefill / prefill;
  result.pools.back().kept_share = result.planner->mean_decode / decode;
}

}  // namespace tandem
