// Drafts that cost no model: what followed the newest tokens where they stood in the text before.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::ops {

/// Finds the longest run of at least `shortest` and at most `longest` tokens that ends `text` and
/// stands in it earlier too, of equally long ones the earliest, and returns up to `count` of the
/// tokens behind it; none where there is no such run (prompt lookup; vllm-project/vllm
/// vllm/v1/spec_decode/ngram_proposer.py, which finds the same in one sweep). Runs may overlap.
[[nodiscard]] std::vector<std::int32_t> look_up(std::span<const std::int32_t> text,
                                                std::int64_t shortest, std::int64_t longest,
                                                std::int64_t count);

}  // namespace tandem::ops
