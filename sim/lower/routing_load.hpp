// How many rows each expert of a mixture gets: an expectation, not a draw, so that equal batches
// cost equal time.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/lower/sharding.hpp"
#include "sim/numerics/ops/router.hpp"

namespace tandem {

/// Share of all (token, expert) pairs that each expert gets in the long run.
struct RoutingLoad {
  std::vector<double> shares;  ///< per expert, at least 0, not all 0; empty: all alike
  bool operator==(const RoutingLoad&) const = default;
};

/// Distinct experts that `tokens` tokens touch in expectation when each takes top_k of `experts` at
/// random: E (1 - (1 - k/E)^T), rounded to the nearest whole number.
[[nodiscard]] std::int64_t expected_experts(std::int64_t tokens, std::int64_t top_k,
                                            std::int64_t experts);

/// Rows per expert; they sum to tokens * top_k and none exceeds `tokens`. Uniform: the expected
/// number of distinct experts share the rows evenly, the first ones take the remainder, the rest
/// get none. With shares p: expert e is touched with probability 1 - (1 - min(1, k p_e))^T; as many
/// experts as these sum to, those of the largest shares, get rows in proportion to them. Throws
/// ModelError where shares do not match the experts or some are negative.
[[nodiscard]] std::vector<std::int64_t> expert_rows(std::int64_t tokens, const ops::Router& router,
                                                    const RoutingLoad& load = {});

/// The rows of the experts that one chip of a gang holds, when all of the gang's `tokens` are
/// routed. Without shares the experts that are touched lie evenly on the chips; with shares experts
/// lie on them in equal runs (held_experts()).
[[nodiscard]] std::vector<std::int64_t> held_expert_rows(std::int64_t tokens,
                                                         const Experts& experts, const Shard& shard,
                                                         const RoutingLoad& load = {});

/// The same in two steps, for those that ask about all chips of a gang: rows of every copy of an
/// expert, and those that one chip holds.
[[nodiscard]] std::vector<std::int64_t> copied_expert_rows(std::int64_t tokens,
                                                           const Experts& experts,
                                                           const Sharding& sharding,
                                                           const RoutingLoad& load = {});
[[nodiscard]] std::vector<std::int64_t> held_expert_rows(const std::vector<std::int64_t>& all,
                                                         const Shard& shard,
                                                         const RoutingLoad& load = {});

}  // namespace tandem
