#include "sim/lower/cascade.hpp"

#include <algorithm>
#include <map>

#include "sim/core/integers.hpp"

namespace tandem {
namespace {

bool may_share(const SequenceSlice& slice) {
  return slice.is_decode() && slice.prefix_tokens > 0;
}

/// Tokens that all slices of a pass share; 0: none.
std::int64_t common_tokens(const std::vector<SequenceSlice>& slices) {
  if (slices.empty()) return 0;
  std::int64_t tokens = slices.front().prefix_tokens;
  for (const SequenceSlice& slice : slices) {
    if (!may_share(slice) || slice.prefix != slices.front().prefix) return 0;
    tokens = std::min(tokens, slice.prefix_tokens);
  }
  return tokens;
}

}  // namespace

bool vllm_cascades(const std::vector<SequenceSlice>& slices, const CascadeChip& chip) {
  constexpr std::int64_t fewest_tokens = 256, fewest_requests = 8, tile = 128;
  const std::int64_t tokens = common_tokens(slices);
  const auto requests = static_cast<std::int64_t>(slices.size());
  if (tokens < fewest_tokens || requests < fewest_requests) return false;
  const std::int64_t group = chip.query_heads / chip.kv_heads;
  const bool decodes_only =
      std::ranges::all_of(slices, [](const SequenceSlice& slice) { return slice.new_tokens == 1; });
  const bool splits_keys = group > 1 && decodes_only;
  if (!splits_keys) return true;
  const std::int64_t key_tiles = ceil_div(tokens, tile);
  const std::int64_t together = chip.query_heads * ceil_div(requests, tile);
  const std::int64_t apart = requests * chip.kv_heads * ceil_div(group, tile) * key_tiles;
  return ceil_div(together, chip.units) * key_tiles < ceil_div(apart, chip.units);
}

void share_no_prefix(std::vector<SequenceSlice>& slices) {
  for (SequenceSlice& slice : slices) slice.prefix = slice.prefix_tokens = 0;
}

Cascade cascade_of(const std::vector<SequenceSlice>& slices) {
  std::map<std::int64_t, std::vector<const SequenceSlice*>> sharers;
  for (const SequenceSlice& slice : slices) {
    if (may_share(slice)) sharers[slice.prefix].push_back(&slice);
  }
  Cascade cascade;
  std::map<std::int64_t, std::int64_t> shared;  // tokens by prefix
  for (const auto& [prefix, sharing] : sharers) {
    if (sharing.size() < 2) continue;
    QuerySpan together;
    together.kv_len = sharing.front()->prefix_tokens;
    for (const SequenceSlice* slice : sharing) {
      together.q_len += slice->new_tokens;
      together.kv_len = std::min(together.kv_len, slice->prefix_tokens);
    }
    cascade.prefixes.push_back(together);
    cascade.queries += together.q_len;
    shared[prefix] = together.kv_len;
  }
  for (const SequenceSlice& slice : slices) {
    const auto found = may_share(slice) ? shared.find(slice.prefix) : shared.end();
    const std::int64_t elsewhere = found == shared.end() ? 0 : found->second;
    cascade.own.push_back({slice.new_tokens, slice.context + slice.new_tokens - elsewhere});
  }
  return cascade;
}

}  // namespace tandem
