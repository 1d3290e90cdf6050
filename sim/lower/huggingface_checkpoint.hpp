// Weights from published checkpoints in safetensors files.
#pragma once

#include <string>

#include "sim/lower/weights.hpp"

namespace tandem {

/// Reads the weights of `network` from a .safetensors file, an index of several, or a folder with
/// either, all as float32. Tensors may have our own names (tensors_of(network); what
/// write_safetensors() makes of Weights) or those of Hugging Face: see huggingface_names().
///
/// What is stored differently is turned into our form:
///  - experts one by one are stacked; fused gate and up are parted (halves; even and odd rows of
///    gpt-oss, whose unquantised matrices are also transposed);
///  - MXFP4 `_blocks` and `_scales` (openai/gpt-oss gpt_oss/torch/weights.py: low nibble first,
///    value 2^(scale - 127)) and fp8 with `weight_scale_inv` per 128x128 block (deepseek-ai/
///    DeepSeek-V3@9b4e978 inference/kernel.py, weight_dequant) are multiplied out, and so are
///    four-bit integers of compressed-tensors (Kimi K2.5);
///  - Qwen3-Next's in_proj_qkvz and in_proj_ba, interleaved per key head, are put in order
///    (huggingface/transformers modular_qwen3_next.py, fix_query_key_value_ordering).
///
/// Throws one ConfigError that names every tensor that is missing, of another shape, or without a
/// place in the network (of published layouts: in its layers), the first 20 of them in full; and
/// ModelError for a network that rotates neighbours in grouped attention, which these checkpoints
/// store for rotation by halves, or has learned positions, whose checkpoints have other layouts.
[[nodiscard]] Weights read_huggingface_checkpoint(const std::string& path,
                                                  const NeuralNetwork& network);

}  // namespace tandem
