#include "sim/lower/chip_model.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {

Activity& Activity::operator+=(const Activity& other) {
  for (const auto& [name, count] : other.counts) {
    counts[name] += count;
  }
  return *this;
}

std::int64_t Fit::kv_tokens() const {
  if (free_for_kv().count() <= 0) {
    return 0;
  }
  if (kv_per_token.count() <= 0) {  // a stage without layers keeps no KV
    return std::numeric_limits<std::int64_t>::max();
  }
  return free_for_kv().count() / kv_per_token.count();
}

Bytes Fit::bytes_of_sequence(std::int64_t tokens) const {
  return kv_per_token * (ceil_div(tokens, kv_block) * kv_block) + state_per_sequence;
}

std::int64_t Fit::sequences(std::int64_t tokens) const {
  const Bytes bytes = bytes_of_sequence(tokens);
  if (bytes.count() <= 0) return kv_tokens();
  return std::max<std::int64_t>(0, free_for_kv().count() / bytes.count());
}

Bytes KvBlock::expected_size() const {
  return Bytes(layers * kv_heads * (head_dim + value_width()) * tokens * bytes_of(type));
}

KvBlock KvBlock::converted(ElementType target) const {
  if (Bytes(static_cast<std::int64_t>(bytes.size())) != expected_size()) {
    throw ModelError("kv block: holds " + std::to_string(bytes.size()) +
                     " bytes, its shape needs " + std::to_string(expected_size().count()));
  }
  KvBlock result = *this;
  if (target == type) {
    return result;
  }
  result.type = target;
  const auto from_width = static_cast<std::size_t>(bytes_of(type));
  const auto to_width = static_cast<std::size_t>(bytes_of(target));
  const std::size_t elements = bytes.size() / from_width;
  result.bytes.assign(elements * to_width, std::byte{});
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint32_t code = 0;
    std::memcpy(&code, bytes.data() + i * from_width, from_width);
    code = encode_element(target, decode_element(type, code));
    std::memcpy(result.bytes.data() + i * to_width, &code, to_width);
  }
  return result;
}

std::unique_ptr<RankPass> LoadedStage::begin(const Batch&, const StageData&) {
  throw ModelError("this chip model does not execute single chips of a gang");
}

void LoadedStage::keep(std::int64_t, std::int64_t) {
  throw ModelError("this chip model cannot drop the last tokens of a request");
}

}  // namespace tandem
