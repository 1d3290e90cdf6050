#include "sim/numerics/formats/kv_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cassert>

#include "sim/core/diagnostics.hpp"

namespace tandem::formats {
namespace {

/// Formats of rows that need nothing but the row: a scale per tensor is not known when a token is
/// appended.
constexpr std::string_view row_names[] = {"fp8_channel", "fp8_group", "int8_g128", "int4_g32",
                                          "int4_g128",   "q4_0",      "int2_g32",  "int2_g128",
                                          "mxfp8",       "mxfp4"};

std::vector<KvFormat> all_formats() {
  std::vector<KvFormat> formats;
  for (const std::string_view name : row_names) {
    const QuantFormat& rows = find_quant_format(name);
    formats.push_back({rows.name, &rows, nullptr, false});
  }
  for (const SlotPreset& preset : slot_presets()) {
    formats.push_back({preset.name, nullptr, &preset, false});
  }
  formats.push_back({"polarquant", nullptr, nullptr, true});
  return formats;
}

Rotation rotation_of(std::int64_t dim) {
  RandomStream random(0, fmt::format("rotation of cached keys, {} wide", dim));
  return Rotation::hadamard(dim, random);
}

std::span<std::uint8_t> stored(const std::vector<std::uint8_t>& part, std::span<std::uint8_t> out) {
  std::ranges::copy(part, out.begin());
  return out.subspan(part.size());
}

/// Codes, then scales, then zero points.
std::span<std::uint8_t> encode_row(const QuantFormat& format, std::span<const float> row,
                                   std::span<std::uint8_t> out) {
  const QuantisedTensor tensor = quantise(row, 1, static_cast<std::int64_t>(row.size()), format);
  const QuantisedTensor::Parts& parts = tensor.parts();
  return stored(parts.zeros, stored(parts.scales, stored(parts.codes, out)));
}

std::vector<std::uint8_t> taken(std::span<const std::uint8_t>& from, std::int64_t count) {
  const auto part = from.first(static_cast<std::size_t>(count));
  from = from.subspan(part.size());
  return {part.begin(), part.end()};
}

std::span<const std::uint8_t> decode_row(const QuantFormat& format,
                                         std::span<const std::uint8_t> from, std::span<float> row) {
  const auto width = static_cast<std::int64_t>(row.size());
  const std::int64_t group = format.granularity.cols > 0 ? format.granularity.cols : width;
  const std::int64_t scales = (width + group - 1) / group * bytes_of(format.scale);
  const std::int64_t zeros = format.has_zero_point() ? scales : 0;
  const std::int64_t codes = storage_bytes(format, 1, width) - scales - zeros;
  QuantisedTensor::Parts parts;
  parts.codes = taken(from, codes);
  parts.scales = taken(from, scales);
  parts.zeros = taken(from, zeros);
  QuantisedTensor(format, 1, width, std::move(parts)).row(0, row);
  return from;
}

std::span<std::uint8_t> encode_elements(ElementType type, std::span<const float> row,
                                        std::span<std::uint8_t> out) {
  for (const float value : row) {
    std::uint32_t bits = encode_element(type, value);
    for (int i = 0; i < bytes_of(type); ++i, bits >>= 8) {
      out.front() = static_cast<std::uint8_t>(bits);
      out = out.subspan(1);
    }
  }
  return out;
}

std::span<const std::uint8_t> decode_elements(ElementType type, std::span<const std::uint8_t> from,
                                              std::span<float> row) {
  for (float& value : row) {
    std::uint32_t bits = 0;
    for (int i = 0; i < bytes_of(type); ++i) {
      bits |= static_cast<std::uint32_t>(from[static_cast<std::size_t>(i)]) << (8 * i);
    }
    value = decode_element(type, bits);
    from = from.subspan(static_cast<std::size_t>(bytes_of(type)));
  }
  return from;
}

std::string row_problem(const QuantFormat& format, std::int64_t width) {
  if (!format.whole_groups || width % format.granularity.cols == 0) return {};
  return fmt::format("{} stores whole groups of {}, and a cached row is {} wide; write int4_g32",
                     format.name, format.granularity.cols, width);
}

void check(const KvFormat& format, const KvHead& head) {
  const std::string problem = kv_problem(format, head);
  if (!problem.empty()) throw ModelError("KV cache: " + problem);
}

}  // namespace

bool KvFormat::rotates_keys() const {
  return polar || (preset != nullptr && preset->key_bits < 8);
}

std::span<const KvFormat> kv_formats() {
  static const std::vector<KvFormat> formats = all_formats();
  return formats;
}

const KvFormat* find_kv_format(std::string_view name) {
  const auto found = std::ranges::find(kv_formats(), name, &KvFormat::name);
  return found == kv_formats().end() ? nullptr : &*found;
}

std::string kv_problem(const KvFormat& format, const KvHead& head) {
  if (format.rows != nullptr) {
    const std::string of_value = row_problem(*format.rows, head.value_dim);
    return of_value.empty() && !head.kept_key ? row_problem(*format.rows, head.key_dim) : of_value;
  }
  if (head.kept_key) {
    return fmt::format(
        "{} stores a key and a value of one head, not latents; write fp8_group or "
        "int4_g32",
        format.name);
  }
  const bool is_power = std::has_single_bit(static_cast<std::uint64_t>(head.key_dim));
  if (head.key_dim == head.value_dim && is_power && (!format.polar || head.key_dim >= 16)) {
    return {};
  }
  return fmt::format(
      "{} rotates heads of a power of two{}, and these are {} wide; write fp8_channel "
      "or int4_g32",
      format.name, format.polar ? " from 16 on" : "", head.key_dim);
}

std::int64_t slot_bytes(const KvFormat& format, const KvHead& head) {
  check(format, head);
  if (format.preset != nullptr) return slot_bytes(*format.preset, head.key_dim);
  if (format.polar) return 2 * static_cast<std::int64_t>(PolarQuant::bytes_for(head.key_dim));
  const std::int64_t key = head.kept_key ? head.key_dim * bytes_of(*head.kept_key)
                                         : storage_bytes(*format.rows, 1, head.key_dim);
  return key + storage_bytes(*format.rows, 1, head.value_dim);
}

KvCodec::KvCodec(const KvFormat& format, const KvHead& head) : format_(&format), head_(head) {
  bytes_ = static_cast<std::size_t>(slot_bytes(format, head));
  if (format.preset != nullptr) turbo_.emplace(*format.preset, rotation_of(head.key_dim));
  if (format.polar) polar_.emplace(rotation_of(head.key_dim));
}

void KvCodec::encode(std::span<const float> key, std::span<const float> value,
                     std::span<std::uint8_t> slot) const {
  assert(slot.size() == bytes_);
  if (turbo_) return turbo_->encode(key, value, slot);
  if (polar_) {
    polar_->encode(key, slot.first(bytes_ / 2));
    return polar_->encode(value, slot.last(bytes_ / 2));
  }
  const std::span<std::uint8_t> rest = head_.kept_key ? encode_elements(*head_.kept_key, key, slot)
                                                      : encode_row(*format_->rows, key, slot);
  (void)encode_row(*format_->rows, value, rest);
}

void KvCodec::decode(std::span<const std::uint8_t> slot, std::span<float> key,
                     std::span<float> value) const {
  assert(slot.size() == bytes_);
  if (turbo_) return turbo_->decode(slot, key, value);
  if (polar_) {
    polar_->decode(slot.first(bytes_ / 2), key);
    return polar_->decode(slot.last(bytes_ / 2), value);
  }
  const std::span<const std::uint8_t> rest = head_.kept_key
                                                 ? decode_elements(*head_.kept_key, slot, key)
                                                 : decode_row(*format_->rows, slot, key);
  (void)decode_row(*format_->rows, rest, value);
}

}  // namespace tandem::formats
