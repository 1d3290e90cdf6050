// A dense Llama-family decoder as flat numbers: the networks that chips execute today.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/describe/neural_network.hpp"

namespace tandem {

/// A decoder whose layers are all alike: grouped-query attention over all tokens, RMSNorm, SwiGLU.
struct DenseDecoder {
  std::string name;
  std::string source;
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t intermediate = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_context = 0;
  bool tied_embeddings = false;
  double norm_epsilon = 1e-5;
  ops::Rope rope;  ///< rotates whole heads

  [[nodiscard]] std::int64_t q_width() const { return heads * head_dim; }
  [[nodiscard]] std::int64_t kv_width() const { return kv_heads * head_dim; }
};

/// The network that a dense decoder is.
[[nodiscard]] NeuralNetwork network_of(const DenseDecoder& decoder);

/// What keeps a network from being a dense decoder ("MoE layers", "QK norm", ...); empty: nothing.
[[nodiscard]] std::string beyond_dense(const NeuralNetwork& network);

/// A network as a dense decoder. Throws ModelError "<who>: <network> has <what>, which ..." where
/// it is none.
[[nodiscard]] DenseDecoder dense_decoder_of(const NeuralNetwork& network, std::string_view who);

}  // namespace tandem
