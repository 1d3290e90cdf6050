// Choice of scales and codes: the rules of ScaleRule, one function each.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"
#include "sim/numerics/formats/quantised_tensor.hpp"
#include "sim/numerics/formats/scale.hpp"

namespace tandem::formats {
namespace {

/// Rectangle of elements that share a scale: rows [row, row_end), columns [col, col_end).
struct Tile {
  std::int64_t row, row_end, col, col_end;
};

/// What the rules need to know of a tile.
struct TileRange {
  float amax = 0.0F;
  float at_amax = 0.0F;  ///< the first element of magnitude amax, with its sign
  float low = std::numeric_limits<float>::infinity();
  float high = -std::numeric_limits<float>::infinity();
  double sum_of_magnitudes = 0.0;
  std::int64_t count = 0;
  bool finite = true;
};

/// A tile's stored scale and zero point, and how they turn an element into a code.
struct TileScale {
  std::uint32_t scale_bits = 0;
  std::uint32_t zero_bits = 0;
  float scale = 0.0F;   ///< as stored (SignedMax: before storing)
  float zero = 0.0F;    ///< as stored
  float factor = 0.0F;  ///< multiplies the element where the rule multiplies
};

[[noreturn]] void refuse(const QuantFormat& format, const std::string& what) {
  throw ModelError("format " + std::string(format.name) + ": " + what);
}

void check_format(const QuantFormat& format) {
  const CodeType code = format.code;
  const bool is_fp8 = code == CodeType::Fp8E4m3 || code == CodeType::Fp8E5m2;
  const bool is_signed_int = code == CodeType::Int8 || code == CodeType::Int4;
  bool fits = false;
  switch (format.rule) {
    case ScaleRule::AbsMax:
      fits = (is_fp8 || is_signed_int || code == CodeType::E2m1) && format.scale != ScaleType::E8m0;
      break;
    case ScaleRule::SignedMax:
      fits = code == CodeType::Int4 && format.scale == ScaleType::Float16;
      break;
    case ScaleRule::MinMax:
      fits = code == CodeType::Int2 && format.scale != ScaleType::E8m0;
      break;
    case ScaleRule::MeanAbs:
      fits = code == CodeType::Int1 && format.scale != ScaleType::E8m0;
      break;
    case ScaleRule::MxFloor:
      fits = (is_fp8 || code == CodeType::E2m1) && format.scale == ScaleType::E8m0;
      break;
    case ScaleRule::TwoLevel:
      fits = code == CodeType::E2m1 && format.scale == ScaleType::Fp8E4m3;
      break;
  }
  if (!fits || format.granularity.rows < 0 || format.granularity.cols < 0) {
    refuse(format, "this combination of code, scale type, rule and granularity is not defined");
  }
}

TileRange range_of(std::span<const float> values, std::int64_t cols, const Tile& tile) {
  TileRange range;
  for (std::int64_t r = tile.row; r < tile.row_end; ++r) {
    for (std::int64_t c = tile.col; c < tile.col_end; ++c) {
      const float x = values[static_cast<std::size_t>(r * cols + c)];
      range.finite = range.finite && std::isfinite(x);
      if (std::fabs(x) > range.amax) {
        range.amax = std::fabs(x);
        range.at_amax = x;
      }
      range.low = std::min(range.low, x);
      range.high = std::max(range.high, x);
      range.sum_of_magnitudes += static_cast<double>(std::fabs(x));
      ++range.count;
    }
  }
  return range;
}

/// Stores `wanted` as the tile's scale and reads it back.
TileScale stored_scale(const QuantFormat& format, float wanted) {
  TileScale tile;
  tile.scale_bits = encode_scale(format.scale, wanted);
  tile.scale = decode_scale(format.scale, tile.scale_bits);
  if (!std::isfinite(tile.scale)) {
    refuse(format, "a scale of " + std::to_string(wanted) + " is beyond the scale's type");
  }
  return tile;
}

TileScale signed_max_scale(const QuantFormat& format, const TileRange& range) {
  const float d = range.at_amax / -8.0F;
  TileScale tile = stored_scale(format, d);
  tile.scale = d;
  tile.factor = std::isfinite(1.0F / d) ? 1.0F / d : 0.0F;
  return tile;
}

TileScale min_max_scale(const QuantFormat& format, const TileRange& range) {
  const TileScale zero = stored_scale(format, range.low);
  // The stored zero point may lie above every element: then the step is 0, not negative.
  const float span = std::max(range.high - zero.scale, 0.0F);
  TileScale tile = stored_scale(format, span / largest_value(format.code));
  tile.zero_bits = zero.scale_bits;
  tile.zero = zero.scale;
  return tile;
}

TileScale mx_scale(const QuantFormat& format, const TileRange& range) {
  TileScale tile;
  const int largest_exponent = std::ilogb(largest_value(format.code));
  tile.scale_bits = range.finite ? encode_e8m0_floor(range.amax, largest_exponent) : 255U;
  tile.scale = decode_scale(format.scale, tile.scale_bits);
  return tile;
}

TileScale two_level_scale(const QuantFormat& format, const TileRange& range, float tensor_scale) {
  // As ref_nvfp4_quant has it: multiply by 1/6, saturate in e4m3, and take the reciprocal of
  // scale * (1 / g); scale 0 has reciprocal 0.
  TileScale tile = stored_scale(format, tensor_scale * (range.amax * (1.0F / 6.0F)));
  tile.factor = tile.scale == 0.0F ? 0.0F : 1.0F / (tile.scale * (1.0F / tensor_scale));
  return tile;
}

TileScale scale_of(const QuantFormat& format, const TileRange& range, float tensor_scale) {
  switch (format.rule) {
    case ScaleRule::SignedMax:
      return signed_max_scale(format, range);
    case ScaleRule::MinMax:
      return min_max_scale(format, range);
    case ScaleRule::MxFloor:
      return mx_scale(format, range);
    case ScaleRule::TwoLevel:
      return two_level_scale(format, range, tensor_scale);
    case ScaleRule::MeanAbs:
      return stored_scale(
          format, static_cast<float>(range.sum_of_magnitudes / static_cast<double>(range.count)));
    case ScaleRule::AbsMax:
      break;
  }
  return stored_scale(format, range.amax / largest_value(format.code));
}

/// x / s, where a scale of 0 (or NaN) keeps nothing of x but the sign of its zero.
float divided(float x, float scale) {
  return scale > 0.0F ? x / scale : std::copysign(0.0F, x);
}

std::uint32_t code_of(const QuantFormat& format, const TileScale& tile, float x) {
  switch (format.rule) {
    case ScaleRule::SignedMax: {
      const auto q = static_cast<int>(x * tile.factor + 8.5F);  // >= 0: truncation is floor
      return static_cast<std::uint32_t>(std::min(q, 15) - 8) & 15U;
    }
    case ScaleRule::MinMax:
      return encode_code(format.code, divided(x - tile.zero, tile.scale));
    case ScaleRule::MeanAbs:
      return encode_code(format.code, x);
    case ScaleRule::TwoLevel:
      return encode_code(format.code, x * tile.factor);
    case ScaleRule::AbsMax:
    case ScaleRule::MxFloor:
      break;
  }
  return encode_code(format.code, divided(x, tile.scale));
}

/// g = 448 * 6 / amax, at most 2^112 so that 1 / (s / g) stays finite for every s; 1 for zeros.
float tensor_scale_of(float amax) {
  return amax == 0.0F ? 1.0F : std::min(448.0F * 6.0F / amax, 0x1p112F);
}

void check_input(const QuantFormat& format, std::span<const float> values, std::int64_t rows,
                 std::int64_t cols) {
  std::int64_t elements = 0;
  if (rows < 0 || cols < 0 || __builtin_mul_overflow(rows, cols, &elements) ||
      static_cast<std::uint64_t>(elements) != values.size()) {
    refuse(format, std::to_string(values.size()) + " values are no " + std::to_string(rows) +
                       " x " + std::to_string(cols) + " matrix");
  }
  if (format.whole_groups && cols % format.granularity.cols != 0) {
    refuse(format, "rows of " + std::to_string(cols) + " elements; the layout needs multiples of " +
                       std::to_string(format.granularity.cols));
  }
  if (format.scale == ScaleType::E8m0) {
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      refuse(format, "row " + std::to_string(static_cast<std::int64_t>(i) / cols) + ", column " +
                         std::to_string(static_cast<std::int64_t>(i) % cols) + " is not finite");
    }
  }
}

}  // namespace

QuantisedTensor quantise(std::span<const float> values, std::int64_t rows, std::int64_t cols,
                         const QuantFormat& format) {
  check_format(format);
  check_input(format, values, rows, cols);
  const int width = bits_of(format.code);
  const std::size_t row_bytes = packed_bytes(static_cast<std::size_t>(cols), width);
  QuantisedTensor::Parts parts;
  parts.codes.resize(static_cast<std::size_t>(rows) * row_bytes);
  if (format.has_tensor_scale()) {
    parts.tensor_scale = tensor_scale_of(range_of(values, cols, {0, rows, 0, cols}).amax);
  }
  const auto encode_tile = [&](const Tile& tile) {
    const TileScale scale = scale_of(format, range_of(values, cols, tile), parts.tensor_scale);
    append_scale(format.scale, scale.scale_bits, parts.scales);
    if (format.has_zero_point()) {
      append_scale(format.scale, scale.zero_bits, parts.zeros);
    }
    for (std::int64_t r = tile.row; r < tile.row_end; ++r) {
      const auto row =
          std::span(parts.codes).subspan(static_cast<std::size_t>(r) * row_bytes, row_bytes);
      for (std::int64_t c = tile.col; c < tile.col_end; ++c) {
        write_bits(row, static_cast<std::size_t>(c * width), width,
                   code_of(format, scale, values[static_cast<std::size_t>(r * cols + c)]));
      }
    }
  };
  const std::int64_t high = format.granularity.rows == 0 ? rows : format.granularity.rows;
  const std::int64_t wide = format.granularity.cols == 0 ? cols : format.granularity.cols;
  for (std::int64_t r = 0; cols > 0 && r < rows; r += high) {
    for (std::int64_t c = 0; c < cols; c += wide) {
      encode_tile({r, std::min(r + high, rows), c, std::min(c + wide, cols)});
    }
  }
  return {format, rows, cols, std::move(parts)};
}

}  // namespace tandem::formats
