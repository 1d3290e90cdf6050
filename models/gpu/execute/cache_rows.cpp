#include "models/gpu/execute/cache_rows.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem::gpu {

void append_to_cache(const KernelCall& call, std::span<const float> key,
                     std::span<const float> value, LayerCache& cache, std::int64_t place) {
  const auto rounded = [&](float x) { return round_to(call.on().kv_type(), x); };
  const std::span<float> kept_key = cache.keys.write(place, call.span.end);
  const std::span<float> kept_value = cache.values.write(place, call.span.end);
  const formats::KvCodec* codec = call.codec();
  if (codec == nullptr) {
    std::ranges::transform(key, kept_key.begin(), rounded);
    std::ranges::transform(value, kept_value.begin(), rounded);
    return;
  }
  const std::int64_t heads = slots_of(call.kind().mixer, call.on().stage.precision).per_token;
  const std::int64_t key_dim = static_cast<std::int64_t>(key.size()) / heads;
  const std::int64_t value_dim = static_cast<std::int64_t>(value.size()) / heads;
  std::vector<std::uint8_t> slots(codec->bytes() * index_of(heads));
  for (std::int64_t head = 0; head < heads; ++head) {
    const auto own_key = part_of(kept_key, head, key_dim);
    const auto own_value = part_of(kept_value, head, value_dim);
    const auto slot = std::span(slots).subspan(index_of(head) * codec->bytes(), codec->bytes());
    codec->encode(part_of(key, head, key_dim), part_of(value, head, value_dim), slot);
    codec->decode(slot, own_key, own_value);
    std::ranges::transform(own_key, own_key.begin(), rounded);
    std::ranges::transform(own_value, own_value.begin(), rounded);
  }
  cache.slots.resize(index_of(place + 1));
  cache.slots.back() = std::move(slots);
}

}  // namespace tandem::gpu
