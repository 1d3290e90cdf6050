// Slots of a quantised KV cache: how many a layer keeps per token, and their bytes.
#pragma once

#include <cstdint>
#include <string>

#include "sim/describe/eviction.hpp"
#include "sim/describe/precision.hpp"
#include "sim/numerics/formats/kv_format.hpp"

namespace tandem {

/// Slots that a token has in a layer, one per KV head; latent attention has one. Without a format
/// keys and values are elements.
struct KvSlots {
  const formats::KvFormat* format = nullptr;
  formats::KvHead head;
  std::int64_t per_token = 0;
  [[nodiscard]] bool is_coded() const { return format != nullptr; }
  /// Of a token; 0 without a format.
  [[nodiscard]] std::int64_t bytes_per_token() const;
};

/// Slots of a layer as a chip holds it. Throws ModelError where the format does not store its
/// heads, and for sparse attention, whose indexer keeps keys of its own.
[[nodiscard]] KvSlots slots_of(const Mixer& mixer, const Precision& precision);

/// Why a network's cache cannot be kept in a format, and what to write; empty where it can.
[[nodiscard]] std::string kv_problem(const NeuralNetwork& network, const Precision& precision);

/// Bytes that a token leaves in a layer: slots, or elements with the keys of an indexer.
[[nodiscard]] std::int64_t cached_bytes_per_token(const LayerKind& held,
                                                  const Precision& precision);

/// Whether an eviction policy has a say in a layer: full attention, over latents too.
[[nodiscard]] bool evicts(const Mixer& mixer);

/// Why a network's cache cannot be evicted, and what to write; empty where it can.
[[nodiscard]] std::string eviction_problem(const NeuralNetwork& network);

/// Bytes of the running sums of attention that heavy hitters are chosen by, of one token.
[[nodiscard]] std::int64_t attention_sum_bytes(const LayerKind& held, const Eviction& eviction);

}  // namespace tandem
