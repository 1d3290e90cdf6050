#include "sim/numerics/formats/quantised_tensor.hpp"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"
#include "sim/numerics/formats/scale.hpp"

namespace tandem::formats {
namespace {

std::int64_t tile_extent(std::int64_t tile, std::int64_t extent) {
  return tile == 0 ? std::max<std::int64_t>(extent, 1) : tile;
}

std::int64_t tiles_across(std::int64_t extent, std::int64_t tile) {
  const std::int64_t size = tile_extent(tile, extent);
  return extent / size + (extent % size != 0 ? 1 : 0);
}

void check_size(const QuantFormat& format, const char* part, std::size_t found,
                std::int64_t wanted) {
  if (found != static_cast<std::size_t>(wanted)) {
    throw ModelError("format " + std::string(format.name) + ": " + std::to_string(found) +
                     " bytes of " + part + ", the shape needs " + std::to_string(wanted));
  }
}

}  // namespace

QuantisedTensor::QuantisedTensor(const QuantFormat& format, std::int64_t rows, std::int64_t cols,
                                 Parts parts)
    : format_(format), rows_(rows), cols_(cols), parts_(std::move(parts)) {
  if (rows < 0 || cols < 0) {
    throw ModelError("format " + std::string(format.name) + ": negative extent");
  }
  const std::int64_t row_bytes = (cols * bits_of(format.code) + 7) / 8;
  const std::int64_t scales = tiles_across(rows, format.granularity.rows) *
                              tiles_across(cols, format.granularity.cols) * bytes_of(format.scale);
  check_size(format, "codes", parts_.codes.size(), rows * row_bytes);
  check_size(format, "scales", parts_.scales.size(), scales);
  check_size(format, "zero points", parts_.zeros.size(), format.has_zero_point() ? scales : 0);
}

std::int64_t QuantisedTensor::bytes() const {
  const std::size_t stored = parts_.codes.size() + parts_.scales.size() + parts_.zeros.size();
  return static_cast<std::int64_t>(stored) +
         (format_.has_tensor_scale() ? static_cast<std::int64_t>(sizeof parts_.tensor_scale) : 0);
}

std::uint32_t QuantisedTensor::code(std::int64_t row, std::int64_t col) const {
  const int width = bits_of(format_.code);
  return read_bits(row_codes(row), static_cast<std::size_t>(col * width), width);
}

std::size_t QuantisedTensor::tile(std::int64_t row, std::int64_t col) const {
  const std::int64_t across = tiles_across(cols_, format_.granularity.cols);
  return static_cast<std::size_t>(row / tile_extent(format_.granularity.rows, rows_) * across +
                                  col / tile_extent(format_.granularity.cols, cols_));
}

float QuantisedTensor::scale(std::int64_t row, std::int64_t col) const {
  const float stored = load_scale(format_.scale, parts_.scales, tile(row, col));
  return format_.has_tensor_scale() ? stored * (1.0F / parts_.tensor_scale) : stored;
}

float QuantisedTensor::zero_point(std::int64_t row, std::int64_t col) const {
  return format_.has_zero_point() ? load_scale(format_.scale, parts_.zeros, tile(row, col)) : 0.0F;
}

std::int64_t QuantisedTensor::scale_cols() const {
  return tile_extent(format_.granularity.cols, cols_);
}

std::span<const std::uint8_t> QuantisedTensor::row_codes(std::int64_t row) const {
  const std::size_t width = packed_bytes(static_cast<std::size_t>(cols_), bits_of(format_.code));
  return std::span(parts_.codes).subspan(static_cast<std::size_t>(row) * width, width);
}

void QuantisedTensor::unscaled(std::int64_t row, std::int64_t first, std::span<float> out) const {
  const std::span<const std::uint8_t> codes = row_codes(row);
  const int width = bits_of(format_.code);
  auto position = static_cast<std::size_t>(first * width);
  for (float& value : out) {
    value = decode_code(format_.code, read_bits(codes, position, width));
    position += static_cast<std::size_t>(width);
  }
}

void QuantisedTensor::row(std::int64_t row, std::span<float> out) const {
  assert(out.size() == static_cast<std::size_t>(cols_));
  const std::int64_t step = scale_cols();
  for (std::int64_t first = 0; first < cols_; first += step) {
    const std::int64_t count = std::min(step, cols_ - first);
    const std::span<float> part =
        out.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    unscaled(row, first, part);
    const float by = scale(row, first);
    const float zero = zero_point(row, first);
    for (float& value : part) {
      value *= by;
      if (format_.has_zero_point()) {  // adding 0 elsewhere would turn -0 into +0
        value += zero;
      }
    }
  }
}

std::vector<float> QuantisedTensor::dequantise() const {
  std::vector<float> values(static_cast<std::size_t>(rows_ * cols_));
  const auto width = static_cast<std::size_t>(cols_);
  for (std::int64_t r = 0; r < rows_; ++r) {
    row(r, std::span(values).subspan(static_cast<std::size_t>(r) * width, width));
  }
  return values;
}

}  // namespace tandem::formats
