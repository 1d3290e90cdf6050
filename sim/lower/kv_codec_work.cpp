#include "sim/lower/kv_codec_work.hpp"

#include <bit>

#include "sim/core/integers.hpp"

namespace tandem {
namespace {

using formats::KvHead;
using formats::PolarQuant;
using formats::QuantFormat;

/// A fast Hadamard transform is log2 d additions per coordinate; the signs before it are one more.
std::int64_t rotation_work(std::int64_t width) {
  return width * std::bit_width(static_cast<std::uint64_t>(width));
}

std::int64_t groups_of(const QuantFormat& format, std::int64_t width) {
  return format.granularity.cols > 0 ? ceil_div(width, format.granularity.cols) : 1;
}

/// Magnitude, comparison, multiply and conversion per element; with zero points minimum, maximum,
/// subtraction, multiply and conversion. A division per scale.
CodecWork encode_row_work(const QuantFormat& format, std::int64_t width) {
  return {(format.has_zero_point() ? 5 : 4) * width, groups_of(format, width)};
}

/// Conversion and multiply, and the addition of the zero point.
CodecWork decode_row_work(const QuantFormat& format, std::int64_t width) {
  return {(format.has_zero_point() ? 3 : 2) * width, 0};
}

/// Per pair of each level: two squares and a sum, a root and an angle; the angle's code is two
/// operations (even sectors: multiply and floor; two bits: two comparisons).
CodecWork encode_polar_work(std::int64_t width) {
  constexpr std::int64_t pairs = PolarQuant::block - 1;
  const std::int64_t blocks = width / PolarQuant::block;
  return {rotation_work(width) + 5 * pairs * blocks, 2 * pairs * blocks};
}

/// Per pair sine and cosine from a table, each times the radius.
CodecWork decode_polar_work(std::int64_t width) {
  return {4 * (PolarQuant::block - 1) * (width / PolarQuant::block), 0};
}

/// Norm (square, add), times its reciprocal root, rotation, and a search by halving: a comparison
/// per bit. e4m3: a conversion.
CodecWork encode_turbo_key_work(int bits, std::int64_t width) {
  if (bits == 8) return {width, 0};
  return {rotation_work(width) + (3 + bits) * width, 1};
}

/// Look-up, correction of the norm (square, add, a reciprocal root), times the norm.
CodecWork decode_turbo_key_work(const formats::SlotPreset& preset, std::int64_t width) {
  if (preset.key_bits == 8) return {width, 0};
  return {(preset.norm_correction ? 4 : 2) * width, preset.norm_correction ? 1 : 0};
}

}  // namespace

CodecWork encode_work(const KvSlots& slots) {
  if (!slots.is_coded()) return {};
  const KvHead& head = slots.head;
  if (slots.format->polar) return encode_polar_work(head.key_dim) * 2;
  if (const auto* preset = slots.format->preset) {
    return encode_turbo_key_work(preset->key_bits, head.key_dim) +
           CodecWork{5 * head.value_dim, 1};  // minimum, maximum, subtract, multiply, round
  }
  const QuantFormat& rows = *slots.format->rows;
  const CodecWork key = head.kept_key ? CodecWork{} : encode_row_work(rows, head.key_dim);
  return key + encode_row_work(rows, head.value_dim);
}

CodecWork decode_work(const KvSlots& slots) {
  if (!slots.is_coded()) return {};
  const KvHead& head = slots.head;
  if (slots.format->polar) return decode_polar_work(head.key_dim) * 2;
  if (const auto* preset = slots.format->preset) {
    return decode_turbo_key_work(*preset, head.key_dim) +
           CodecWork{3 * head.value_dim, 0};  // convert, times the step, plus the minimum
  }
  const QuantFormat& rows = *slots.format->rows;
  const CodecWork key = head.kept_key ? CodecWork{} : decode_row_work(rows, head.key_dim);
  return key + decode_row_work(rows, head.value_dim);
}

CodecWork turn_work(const KvSlots& slots) {
  if (!slots.is_coded() || !slots.format->rotates_keys()) return {};
  return CodecWork{rotation_work(slots.head.key_dim), 0} * (slots.format->polar ? 2 : 1);
}

CodecWork restore_work(const KvSlots& slots) {
  return decode_work(slots) + turn_work(slots);
}

}  // namespace tandem
