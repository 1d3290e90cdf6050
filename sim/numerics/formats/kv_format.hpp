// Formats of the KV cache: what a slot, one head's key and value of one token, is stored as.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/numerics/formats/polarquant.hpp"
#include "sim/numerics/formats/quantised_tensor.hpp"
#include "sim/numerics/formats/turboquant_slot.hpp"

namespace tandem::formats {

/// One way to store slots. Exactly one of the three holds.
struct KvFormat {
  std::string_view name;
  const QuantFormat* rows = nullptr;  ///< key and value are a row each, with scales of their own
  const SlotPreset* preset = nullptr;
  bool polar = false;  ///< PolarQuant, key and value
  /// Keys (with `polar` values too) are coded in a rotated basis of a power of two coordinates.
  [[nodiscard]] bool rotates_keys() const;
};

/// fp8_channel, fp8_group, int8_g128, int4_g32, int4_g128, q4_0, int2_g32, int2_g128, mxfp8 and
/// mxfp4 of quant_formats(), turboquant_* of slot_presets(), and polarquant.
[[nodiscard]] std::span<const KvFormat> kv_formats();
/// The format of that name, or null.
[[nodiscard]] const KvFormat* find_kv_format(std::string_view name);

/// The widths of a slot. Of latent attention the key is the rotated part that all heads share, and
/// stays as elements of type `kept_key`; the value is the latent.
struct KvHead {
  std::int64_t key_dim = 0, value_dim = 0;
  std::optional<ElementType> kept_key = std::nullopt;
  bool operator==(const KvHead&) const = default;
};

/// What keeps slots of these widths from being stored in a format, and what to write instead; empty
/// where nothing does.
[[nodiscard]] std::string kv_problem(const KvFormat& format, const KvHead& head);

/// Bytes of a slot, codes with scales. Throws ModelError where kv_problem() has one.
[[nodiscard]] std::int64_t slot_bytes(const KvFormat& format, const KvHead& head);

/// Writes and reads slots. The random signs of rotations depend on the width alone: every chip and
/// layer has the same.
class KvCodec {
 public:
  /// Throws ModelError where kv_problem() has one.
  KvCodec(const KvFormat& format, const KvHead& head);
  [[nodiscard]] const KvFormat& format() const { return *format_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// key and value of the head's widths, slot of bytes(). Throws ModelError for NaN and infinity,
  /// and for scales beyond what their type holds.
  void encode(std::span<const float> key, std::span<const float> value,
              std::span<std::uint8_t> slot) const;
  void decode(std::span<const std::uint8_t> slot, std::span<float> key,
              std::span<float> value) const;

 private:
  const KvFormat* format_;
  KvHead head_;
  std::size_t bytes_ = 0;
  std::optional<TurboQuantSlot> turbo_;
  std::optional<PolarQuant> polar_;
};

}  // namespace tandem::formats
