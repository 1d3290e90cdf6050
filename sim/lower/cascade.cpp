#include "sim/lower/cascade.hpp"

#include <algorithm>
#include <map>

namespace tandem {
namespace {

bool may_share(const SequenceSlice& slice) {
  return slice.is_decode() && slice.prefix_tokens > 0;
}

}  // namespace

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
