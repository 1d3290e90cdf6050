#include "sim/step/group_loads.hpp"

#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {

std::vector<GroupLoad> loads_of(const Batch& batch, std::int64_t groups) {
  std::vector<GroupLoad> loads(index_of(groups));
  for (const SequenceSlice& slice : batch.slices) {
    GroupLoad& load = loads[groups > 1 ? index_of(slice.group) : 0];
    ++load.requests;
    load.fresh += slice.new_tokens;
    load.prompts += slice.is_decode() ? 0 : 1;
    load.fresh_prompts += slice.is_decode() ? 0 : slice.new_tokens;
    load.sampled += slice.sampled();
    load.cached += slice.context;
  }
  return loads;
}

std::uint64_t loads_key(const Stage& own, const Batch& batch) {
  Hasher hash;
  hash.add(own.key());
  for (const GroupLoad& load : loads_of(batch, own.shard.of.attention_data)) {
    hash.add(load.fresh).add(load.fresh_prompts).add(load.sampled);
  }
  if (own.shard.of.context > 1) {
    const bool splits = own.shard.of.attention_data > 1;
    hash.add(key_of(splits ? slices_of_group(batch, own.shard.group()) : batch));
  }
  return hash.value();
}

}  // namespace tandem
