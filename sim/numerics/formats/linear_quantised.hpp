// Reference products of a quantised weight and a vector, in the format's own arithmetic.
#pragma once

#include <span>

#include "sim/numerics/formats/quant_format.hpp"
#include "sim/numerics/formats/quantised_tensor.hpp"

namespace tandem::formats {

/// out[r] = sum over c of W[r][c] * x[c], where x (length weight.cols()) is one token's
/// activations.
///
/// x is quantised in `activation` as a 1 x cols matrix, so a scale per channel is a scale per token
/// and the tensor scale of NVFP4 is that of this token. Then, from left to right, for every run of
/// columns over which neither scale changes: the codes are multiplied and added exactly and rounded
/// once to float (int8 x int8 in int32, e4m3 x e4m3 by dot_fp8_e4m3, other pairs by dot_wide, where
/// only E5M2 pairs span more digits than double has), and `sum += (dot * x scale) * weight scale`
/// in float: the order of deepseek-ai/DeepSeek-V3 inference/kernel.py fp8_gemm_kernel.
///
/// Throws ModelError for sizes that do not fit, a side with zero points, an int8 pair of rows
/// longer than 131,072 (int32 could overflow), and what quantise() refuses of x.
void linear_quantised(const QuantisedTensor& weight, std::span<const float> x,
                      const QuantFormat& activation, std::span<float> out);

/// Weight-only formats: out[r] = dot_wide(row r dequantised to float, x rounded to `element`).
void linear_weight_only(const QuantisedTensor& weight, std::span<const float> x,
                        ElementType element, std::span<float> out);

/// The product that `precision` names; `weight` must be stored in precision.weight.
void linear_in_precision(const QuantisedTensor& weight, std::span<const float> x,
                         const Precision& precision, std::span<float> out);

}  // namespace tandem::formats
