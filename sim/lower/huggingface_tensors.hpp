// Turns stored tensors into plain float32 matrices: block scales, MXFP4, transposes, choices of
// rows. Used by the reader of Hugging Face checkpoints only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/lower/safetensors.hpp"

namespace tandem::huggingface {

/// A tensor as float32, times its "<name>_scale_inv" where there is one: a scale per 128x128 block
/// of the matrix, blocks at the edge smaller. Throws ConfigError for scales of another shape.
[[nodiscard]] Tensor read_scaled(const SafetensorsReader& reader, const std::string& name);

/// "<name>_packed" [rows, columns / 8], eight codes of 4 bits per int32, the lowest bits first,
/// code 8 for zero; "<name>_scale" [rows, groups]; "<name>_shape" [2]: as float32 [rows, columns].
/// Source: vllm-project/compressed-tensors pack_quantized, pack_to_int32() (Kimi K2.5, groups of
/// 32). Throws ConfigError.
[[nodiscard]] Tensor read_packed_int4(const SafetensorsReader& reader, const std::string& name);

/// "<name>_blocks" [..., groups, 16] of two E2M1 codes per byte, low nibble first, and
/// "<name>_scales" [..., groups] of E8M0, as float32 [..., 32 groups]. Throws ConfigError.
[[nodiscard]] Tensor read_mxfp4(const SafetensorsReader& reader, const std::string& name);

/// The same values under another shape of as many elements.
[[nodiscard]] Tensor reshaped(const Tensor& tensor, std::vector<std::int64_t> shape);
/// [n, a, b] to [n, b, a].
[[nodiscard]] Tensor transposed_matrices(const Tensor& tensor);
/// Rows of a tensor [rows, ...] in the order given.
[[nodiscard]] Tensor rows_of(const Tensor& tensor, std::span<const std::int64_t> rows);
/// Of every matrix [n, rows, ...] the rows first, first + step, ..., `count` of them.
[[nodiscard]] Tensor strided_rows(const Tensor& tensor, std::int64_t first, std::int64_t step,
                                  std::int64_t count);

}  // namespace tandem::huggingface
