// The weights of a network by name and shape: the one list from which parameter counts, weight
// bytes, random weights and checkpoint readers come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/describe/neural_network.hpp"

namespace tandem {

/// What a tensor is for; formats of checkpoints differ by it.
enum class TensorRole : std::uint8_t {
  Embedding,  ///< token and position tables
  Head,
  Norm,    ///< weights and biases of norms
  Mixing,  ///< matrices, biases and gates of attention and gated delta layers
  Ffn,     ///< dense blocks and shared experts
  Router,
  Expert,   ///< routed experts, all of a layer in one tensor
  Indexer,  ///< sparse attention's choice of keys
};

/// One weight tensor, row-major. Matrices are [out, in]; routed experts [experts, out, in].
struct TensorSpec {
  std::string name;  ///< "attention.query"; of a network "layers.3.attention.query"
  std::vector<std::int64_t> shape;
  TensorRole role = TensorRole::Mixing;
  [[nodiscard]] std::int64_t elements() const;
  bool operator==(const TensorSpec&) const = default;
};

/// Tensors of one layer of a kind, in the order in which they are used.
[[nodiscard]] std::vector<TensorSpec> tensors_of(const NeuralNetwork& network,
                                                 const LayerKind& kind);
/// Tensors of the whole network: embedding, layers ("layers.N."), final_norm, head (none where
/// tied), then the modules of multi-token prediction ("mtp.M."). A module by itself starts with
/// what it joins tokens and hidden states with.
[[nodiscard]] std::vector<TensorSpec> tensors_of(const NeuralNetwork& network);
/// Tensors of one module of multi-token prediction; embedding and head are the network's own.
[[nodiscard]] std::vector<TensorSpec> tensors_of_mtp_module(const NeuralNetwork& network);

/// Parameters of one layer of a kind.
[[nodiscard]] std::int64_t parameters_of(const NeuralNetwork& network, const LayerKind& kind);
/// Parameters of one layer that a token touches: top_k of the routed experts.
[[nodiscard]] std::int64_t active_parameters_of(const NeuralNetwork& network,
                                                const LayerKind& kind);

/// Parameters of the token and position tables, and of one norm over hidden states.
[[nodiscard]] std::int64_t embedding_parameters(const NeuralNetwork& network);
[[nodiscard]] std::int64_t norm_parameters(const NeuralNetwork& network);

/// Sizes of a network in parameters.
struct ParameterCount {
  std::int64_t total = 0;      ///< without the modules of multi-token prediction
  std::int64_t active = 0;     ///< touched per token, both embeddings whole
  std::int64_t embedding = 0;  ///< token and position tables
  std::int64_t mtp = 0;        ///< modules of multi-token prediction
  /// Touched per token, without the input tables where the head is not tied to them.
  std::int64_t active_without_embedding = 0;
};
[[nodiscard]] ParameterCount count_parameters(const NeuralNetwork& network);

/// K and V elements per token over the layers whose cache grows with the context.
[[nodiscard]] std::int64_t kv_elements_per_token(const NeuralNetwork& network);
[[nodiscard]] std::int64_t index_elements_per_token(const NeuralNetwork& network);
/// Recurrent and convolution state elements per sequence over all gated delta layers.
[[nodiscard]] std::int64_t recurrent_state_elements(const NeuralNetwork& network);
[[nodiscard]] std::int64_t conv_state_elements(const NeuralNetwork& network);

}  // namespace tandem
