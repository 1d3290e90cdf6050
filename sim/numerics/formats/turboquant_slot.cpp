#include "sim/numerics/formats/turboquant_slot.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"

namespace tandem::formats {
namespace {

constexpr std::array presets{
    SlotPreset{"turboquant_k8v4", 8, 4, false}, SlotPreset{"turboquant_4bit_nc", 4, 4, true},
    SlotPreset{"turboquant_k3v4_nc", 3, 4, true}, SlotPreset{"turboquant_3bit_nc", 3, 3, true}};

constexpr int fp8_bits = 8;
constexpr float smallest_step = 1e-8F;

std::int64_t code_bytes(std::int64_t head_dim, int bits) {
  return (head_dim * bits + 7) / 8;
}

void check_finite(std::span<const float> values, const char* what) {
  if (!std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) {
    throw ModelError(std::string("TurboQuant slot: a ") + what + " that is not finite");
  }
}

void store_checked(std::span<std::uint8_t> bytes, std::size_t offset, float value) {
  store_float16(bytes, offset, value);
  if (!std::isfinite(load_float16(bytes, offset))) {
    throw ModelError("TurboQuant slot: " + std::to_string(value) + " does not fit fp16");
  }
}

void encode_value(std::span<const float> value, int bits, std::span<std::uint8_t> out) {
  const auto [low, high] = std::minmax_element(value.begin(), value.end());
  const int top = (1 << bits) - 1;
  const float step = std::max((*high - *low) / static_cast<float>(top), smallest_step);
  const std::size_t codes = out.size() - 4;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const auto q = static_cast<int>((value[i] - *low) / step + 0.5F);
    write_bits(out, i * static_cast<std::size_t>(bits), bits,
               static_cast<std::uint32_t>(std::clamp(q, 0, top)));
  }
  store_checked(out, codes, step);
  store_checked(out, codes + 2, *low);
}

void decode_value(std::span<const std::uint8_t> bytes, int bits, std::span<float> out) {
  const std::size_t codes = bytes.size() - 4;
  const float step = load_float16(bytes, codes);
  const float low = load_float16(bytes, codes + 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] =
        static_cast<float>(read_bits(bytes, i * static_cast<std::size_t>(bits), bits)) * step + low;
  }
}

}  // namespace

std::span<const SlotPreset> slot_presets() {
  return presets;
}

const SlotPreset& find_slot_preset(std::string_view name) {
  std::vector<std::string> names;
  for (const SlotPreset& preset : presets) {
    if (preset.name == name) {
      return preset;
    }
    names.emplace_back(preset.name);
  }
  const std::string nearest = closest_match(name, names);
  throw ConfigError("unknown TurboQuant cache type '" + std::string(name) + "'" +
                    (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

std::int64_t key_bytes(const SlotPreset& preset, std::int64_t head_dim) {
  return preset.key_bits == fp8_bits ? head_dim : code_bytes(head_dim, preset.key_bits) + 2;
}

std::int64_t value_bytes(const SlotPreset& preset, std::int64_t head_dim) {
  return code_bytes(head_dim, preset.value_bits) + 4;
}

std::int64_t slot_bytes(const SlotPreset& preset, std::int64_t head_dim) {
  const std::int64_t packed = key_bytes(preset, head_dim) + value_bytes(preset, head_dim);
  return packed + packed % 2;
}

TurboQuantSlot::TurboQuantSlot(const SlotPreset& preset, Rotation rotation)
    : preset_(preset),
      head_dim_(rotation.dim()),
      keys_(std::move(rotation), preset.key_bits == fp8_bits ? 0 : preset.key_bits,
            preset.norm_correction) {}

std::size_t TurboQuantSlot::bytes() const {
  return static_cast<std::size_t>(slot_bytes(preset_, head_dim_));
}

void TurboQuantSlot::encode(std::span<const float> key, std::span<const float> value,
                            std::span<std::uint8_t> slot) const {
  assert(key.size() == static_cast<std::size_t>(head_dim_) && value.size() == key.size() &&
         slot.size() == bytes());
  check_finite(key, "key");
  check_finite(value, "value");
  const auto split = static_cast<std::size_t>(key_bytes(preset_, head_dim_));
  const auto value_size = static_cast<std::size_t>(value_bytes(preset_, head_dim_));
  std::fill(slot.begin(), slot.end(), std::uint8_t{0});
  if (preset_.key_bits == fp8_bits) {
    std::transform(key.begin(), key.end(), slot.begin(), encode_fp8_e4m3);
  } else {
    keys_.encode(key, slot.first(split));
  }
  encode_value(value, preset_.value_bits, slot.subspan(split, value_size));
}

void TurboQuantSlot::decode(std::span<const std::uint8_t> slot, std::span<float> key,
                            std::span<float> value) const {
  assert(key.size() == static_cast<std::size_t>(head_dim_) && value.size() == key.size() &&
         slot.size() == bytes());
  const auto split = static_cast<std::size_t>(key_bytes(preset_, head_dim_));
  const auto value_size = static_cast<std::size_t>(value_bytes(preset_, head_dim_));
  if (preset_.key_bits == fp8_bits) {
    std::transform(slot.begin(), slot.begin() + static_cast<std::ptrdiff_t>(split), key.begin(),
                   decode_fp8_e4m3);
  } else {
    keys_.decode(slot.first(split), key);
  }
  decode_value(slot.subspan(split, value_size), preset_.value_bits, value);
}

}  // namespace tandem::formats
