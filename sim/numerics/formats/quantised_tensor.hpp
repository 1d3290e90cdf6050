// A matrix stored in a quantised format, bit for bit as the format's bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::formats {

/// A rows x cols matrix of packed codes with its scales. Each row starts on a byte; code i of a row
/// takes bits [i*w, (i+1)*w) of a little endian bit string (low nibble first). Scales lie row-major
/// over the tiles, little endian. ggml packs the same codes in another order within a block
/// (elements j and j + 16 share a byte); sizes are equal.
class QuantisedTensor {
 public:
  /// The stored parts of a tensor, as quantise() makes them or a checkpoint brings them.
  struct Parts {
    std::vector<std::uint8_t> codes;   ///< rows x ceil(cols * bits / 8) bytes
    std::vector<std::uint8_t> scales;  ///< one per tile, in the scale's type
    std::vector<std::uint8_t> zeros;  ///< one per tile where the format has zero points, else empty
    /// The fp32 tensor scale g that divides the tiles' scales (vLLM's global scale; a checkpoint's
    /// weight_scale_2 is 1 / g). 1 where the format has none.
    float tensor_scale = 1.0F;
  };

  QuantisedTensor() = default;
  /// Throws ModelError when a part has not the size that the format and shape ask for.
  QuantisedTensor(const QuantFormat& format, std::int64_t rows, std::int64_t cols, Parts parts);

  [[nodiscard]] const QuantFormat& format() const { return format_; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t cols() const { return cols_; }
  [[nodiscard]] const Parts& parts() const { return parts_; }
  /// What the tensor occupies: codes, scales, zero points and the tensor scale. Equals
  /// storage_bytes(format(), rows(), cols()).
  [[nodiscard]] std::int64_t bytes() const;

  /// The bits of one code.
  [[nodiscard]] std::uint32_t code(std::int64_t row, std::int64_t col) const;
  /// The number that multiplies a decoded code here (the tensor scale included).
  [[nodiscard]] float scale(std::int64_t row, std::int64_t col) const;
  /// The number added to the scaled code here: 0 without zero points.
  [[nodiscard]] float zero_point(std::int64_t row, std::int64_t col) const;
  /// Columns that share a scale with the one before them: the tile width clipped to the matrix.
  [[nodiscard]] std::int64_t scale_cols() const;

  /// The packed codes of one row.
  [[nodiscard]] std::span<const std::uint8_t> row_codes(std::int64_t row) const;
  /// Decoded codes of columns [first, first + out.size()) of a row, without scale or zero point.
  void unscaled(std::int64_t row, std::int64_t first, std::span<float> out) const;
  /// Row `row` as code * scale (+ zero point), each product and sum rounded to float;
  /// out.size() == cols().
  void row(std::int64_t row, std::span<float> out) const;
  /// All rows, row-major.
  [[nodiscard]] std::vector<float> dequantise() const;

 private:
  [[nodiscard]] std::size_t tile(std::int64_t row, std::int64_t col) const;

  QuantFormat format_;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
  Parts parts_;
};

/// Stores row-major `values` (rows x cols) in `format` by its rule (see ScaleRule).
///
/// A group of zeros gets scale 0 and zero codes; signed zeros keep their sign where the code has
/// one. In MX formats (E8M0 scale) a group that holds NaN or infinity becomes NaN as a whole.
/// Throws ModelError: values.size() != rows * cols; a NaN or infinity in any other format; a scale
/// beyond what its type holds (fp16 above 65504); a last group that is not whole where the format's
/// layout has none (q4_0: cols must be a multiple of 32); a rule that its code type does not fit.
[[nodiscard]] QuantisedTensor quantise(std::span<const float> values, std::int64_t rows,
                                       std::int64_t cols, const QuantFormat& format);

}  // namespace tandem::formats
