// What the codec of a quantised KV cache computes.
#pragma once

#include <cstdint>

#include "sim/describe/kv_slots.hpp"

namespace tandem {

/// Operations outside of matrix products, counted as in kernel_work.hpp.
struct CodecWork {
  std::int64_t vector = 0, special = 0;
  friend CodecWork operator*(CodecWork work, std::int64_t times) {
    return {work.vector * times, work.special * times};
  }
  friend CodecWork operator+(CodecWork a, CodecWork b) {
    return {a.vector + b.vector, a.special + b.special};
  }
};

// All are zero without a format.
/// Turns a key and a value into a slot.
[[nodiscard]] CodecWork encode_work(const KvSlots& slots);
/// Turns a slot into what attention multiplies, in the basis in which it is stored: a key that was
/// rotated meets a query that was rotated as well.
[[nodiscard]] CodecWork decode_work(const KvSlots& slots);
/// Rotates one query head into that basis, and where values are rotated too, its result back.
[[nodiscard]] CodecWork turn_work(const KvSlots& slots);
/// Turns a slot back into the key and value that were appended, rotation included.
[[nodiscard]] CodecWork restore_work(const KvSlots& slots);

}  // namespace tandem
