// How published checkpoints name what tensors_of(network) lists.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/describe/neural_network.hpp"

namespace tandem {

/// Names that a tensor of a layer may have below "model.layers.N.", the likeliest first; none where
/// the tensor is put together from others (routed experts) or has no published name. Names of all
/// architectures stand side by side: no two of them mean different things by the same name but for
/// the norms of Gemma, which `kind.post_norms` tells apart, and of latent attention.
/// Source: huggingface/transformers src/transformers/models/ llama, mistral, mixtral, qwen3,
/// qwen3_moe, qwen3_next, qwen3_5, deepseek_v2, deepseek_v3, deepseek_v32, minimax_m2, gpt_oss,
/// gemma2, gemma3, gemma4.
[[nodiscard]] std::vector<std::string> huggingface_names(const LayerKind& kind,
                                                         std::string_view tensor);

}  // namespace tandem
