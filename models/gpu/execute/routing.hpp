// Which experts a token goes to, as a routing kernel finds them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/ops/router.hpp"

namespace tandem::gpu {

/// An expert that a token chose, and the weight of its output.
struct Choice {
  std::int64_t expert = 0;
  float weight = 0;
};

/// The top_k choices of one token, best first, by the rule that ops::Router describes; equal scores
/// go to the lower index. `bias` is empty where the router has none. Throws ModelError where a
/// score is not a number, and where fewer than top_k experts can be chosen.
[[nodiscard]] std::vector<Choice> choose_experts(const ops::Router& router,
                                                 std::span<const float> logits,
                                                 std::span<const float> bias);

}  // namespace tandem::gpu
