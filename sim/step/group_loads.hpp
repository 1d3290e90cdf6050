// What the attention groups of a gang have to do in a pass, in numbers.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/lower/batch.hpp"

namespace tandem {

/// Requests of one attention group in numbers.
struct GroupLoad {
  std::int64_t requests = 0, fresh = 0, prompts = 0, fresh_prompts = 0, sampled = 0, cached = 0;
};

/// By group; `groups` of one counts all requests.
[[nodiscard]] std::vector<GroupLoad> loads_of(const Batch& batch, std::int64_t groups);

/// Batches of one key exchange the same: rows follow from the tokens of the pass and of each group,
/// except where chips gather each other's share of a cache. `own`: the stage of one rank.
[[nodiscard]] std::uint64_t loads_key(const Stage& own, const Batch& batch);

}  // namespace tandem
