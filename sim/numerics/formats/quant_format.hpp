// Quantised storage formats as values: which code, which scale, shared by which elements, and how
// the scale is chosen. docs/formats.md has the same as a table.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sim/numerics/element.hpp"
#include "sim/numerics/formats/code.hpp"

namespace tandem::formats {

/// How a scale is stored. Fp8E4m3 comes with one fp32 scale per tensor above it (NVFP4).
enum class ScaleType : std::uint8_t { Float32, Bfloat16, Float16, E8m0, Fp8E4m3 };

[[nodiscard]] constexpr int bytes_of(ScaleType type) {
  switch (type) {
    case ScaleType::Float32:
      return 4;
    case ScaleType::Bfloat16:
    case ScaleType::Float16:
      return 2;
    case ScaleType::E8m0:
    case ScaleType::Fp8E4m3:
      return 1;
  }
  return 0;
}

/// How the scale s of a group follows from its elements x, and which number is then coded. All in
/// float; s means the scale as stored, so the codes fit what is read back. amax = max |x|.
enum class ScaleRule : std::uint8_t {
  /// s = amax / largest_value; code(x / s).
  AbsMax,
  /// d = (the x of largest magnitude) / -8, kept in float; code = min(15, floor(x / d + 8.5)) - 8;
  /// s = d. ggml quantize_row_q4_0_ref.
  SignedMax,
  /// zero = min x; s = (max x - zero) / 3; code((x - zero) / s). KIVI, jy-yuan/KIVI
  /// quant/new_pack.py (arXiv 2402.02750).
  MinMax,
  /// s = mean |x|; code = sign of x. XNOR-Net, arXiv 1603.05279 eq. 6; BitNet, arXiv 2310.11453.
  MeanAbs,
  /// s = 2^(floor(log2 amax) - e), e = 2 for E2M1 and 8 for E4M3; code(x / s). OCP Microscaling
  /// Formats 1.0 section 6.3; microsoft/microxcaling mx/mx_ops.py _quantize_mx.
  MxFloor,
  /// g = 448 * 6 / amax of the tensor; s = e4m3(g * (amax / 6)); code(x / (s / g)). vLLM
  /// tests/kernels/quantization/nvfp4_utils.py ref_nvfp4_quant.
  TwoLevel
};

/// Which elements share a scale: tiles of `rows` x `cols`, where 0 means the whole extent. Tiles at
/// the right and lower edge may be smaller.
struct Granularity {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  bool operator==(const Granularity&) const = default;
};
inline constexpr Granularity per_tensor{0, 0};
inline constexpr Granularity per_channel{1, 0};  ///< one scale per row (output channel or token)
[[nodiscard]] constexpr Granularity per_group(std::int64_t size) {
  return {1, size};
}
[[nodiscard]] constexpr Granularity per_block(std::int64_t rows, std::int64_t cols) {
  return {rows, cols};
}

/// A quantised storage format.
struct QuantFormat {
  std::string_view name;  ///< a string literal
  CodeType code = CodeType::Fp8E4m3;
  ScaleType scale = ScaleType::Float32;
  Granularity granularity;
  ScaleRule rule = ScaleRule::AbsMax;
  bool whole_groups = false;  ///< the layout has no shorter last group (ggml blocks)

  /// True where a group stores a zero point (in the scale's type) beside its scale.
  [[nodiscard]] constexpr bool has_zero_point() const { return rule == ScaleRule::MinMax; }
  /// True where the tensor stores one fp32 scale above the groups' scales.
  [[nodiscard]] constexpr bool has_tensor_scale() const { return rule == ScaleRule::TwoLevel; }
  /// Code bits plus the share of scale and zero point in a full tile. Scales per tensor or channel
  /// have no fixed share and count 0: storage_bytes() has them.
  [[nodiscard]] double bits_per_element() const;
  bool operator==(const QuantFormat&) const = default;
};

/// Bytes of a rows x cols tensor in `format`: rows of codes padded to whole bytes, one scale (and
/// zero point) per tile, and the tensor's scale. Throws ModelError for an extent below 0.
[[nodiscard]] std::int64_t storage_bytes(const QuantFormat& format, std::int64_t rows,
                                         std::int64_t cols);

/// Every named storage format.
[[nodiscard]] std::span<const QuantFormat> quant_formats();
/// The storage format of that name; throws ConfigError that suggests the nearest name.
[[nodiscard]] const QuantFormat& find_quant_format(std::string_view name);

/// What the name of a precision means for a linear layer: how weights are stored and what its input
/// is turned into before the product. Without a format the side is kept as `element`.
struct Precision {
  std::string_view name;
  ElementType element = ElementType::Bfloat16;
  std::optional<QuantFormat> weight;
  std::optional<QuantFormat> activation;
};

/// Every named precision: float32 bfloat16 float16 fp8 fp8_block int8 int8_wo int4_wo nvfp4 mxfp4
/// w4a16_mxfp4 w4a8_mxfp4_mxfp8.
[[nodiscard]] std::span<const Precision> precisions();
/// The precision of that name; throws ConfigError that suggests the nearest name.
[[nodiscard]] const Precision& find_precision(std::string_view name);
/// The precision of weights in one of quant_formats() with inputs in another (null: kept): the
/// named one where there is such, else one called "<weights>" or "<weights> x <inputs>". Throws
/// ModelError for a format that is not of the list.
[[nodiscard]] const Precision& precision_of(const QuantFormat& weight,
                                            const QuantFormat* activation);
/// Bytes of a rows x cols weight under `precision`.
[[nodiscard]] std::int64_t weight_bytes(const Precision& precision, std::int64_t rows,
                                        std::int64_t cols);

}  // namespace tandem::formats
