// The KV cache slots of vLLM's turboquant_* cache types: one head's key and value of one token.
// Source: vllm-project/vllm vllm/model_executor/layers/quantization/turboquant/config.py and
// vllm/v1/attention/ops/triton_turboquant_store.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "sim/numerics/formats/turboquant.hpp"

namespace tandem::formats {

/// One cache type.
struct SlotPreset {
  std::string_view name;
  int key_bits;          ///< 8: e4m3 without rotation or scale; else Lloyd-Max indices
  int value_bits;        ///< uniform levels between the value's minimum and maximum
  bool norm_correction;  ///< centroid vectors are renormalised when read ("nc")
};

/// turboquant_k8v4, turboquant_4bit_nc, turboquant_k3v4_nc, turboquant_3bit_nc.
[[nodiscard]] std::span<const SlotPreset> slot_presets();
/// Throws ConfigError that suggests the nearest name.
[[nodiscard]] const SlotPreset& find_slot_preset(std::string_view name);

/// Bytes of the key: d for e4m3, else ceil(d * bits / 8) + 2 (fp16 norm).
[[nodiscard]] std::int64_t key_bytes(const SlotPreset& preset, std::int64_t head_dim);
/// Bytes of the value: ceil(d * bits / 8) + 4 (fp16 step and minimum).
[[nodiscard]] std::int64_t value_bytes(const SlotPreset& preset, std::int64_t head_dim);
/// Key, then value, rounded up to an even number. At d = 128: 196, 134, 118, 102.
[[nodiscard]] std::int64_t slot_bytes(const SlotPreset& preset, std::int64_t head_dim);

/// Writes and reads slots.
///
/// Value: step = max((max - min) / (2^bits - 1), 1e-8); code = floor((v - min) / step + 0.5), both
/// in float with the unrounded step; read as code * step + min with both in fp16.
class TurboQuantSlot {
 public:
  /// Keys are rotated by `rotation` (vLLM: Hadamard), whose size is the head dimension.
  TurboQuantSlot(const SlotPreset& preset, Rotation rotation);
  [[nodiscard]] std::size_t bytes() const;
  /// key and value of head_dim elements, slot of bytes(). Throws ModelError when either holds NaN
  /// or infinity, or a norm, step or minimum is beyond fp16.
  void encode(std::span<const float> key, std::span<const float> value,
              std::span<std::uint8_t> slot) const;
  void decode(std::span<const std::uint8_t> slot, std::span<float> key,
              std::span<float> value) const;

 private:
  SlotPreset preset_;
  std::int64_t head_dim_;
  TurboQuantMse keys_;
};

}  // namespace tandem::formats
