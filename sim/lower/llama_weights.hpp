// The weights of a dense decoder as float tensors.
#pragma once

#include <string>
#include <vector>

#include "sim/describe/neural_network.hpp"
#include "sim/numerics/tensor.hpp"

namespace tandem {

/// Weights of one decoder layer. Matrices are [out, in], row-major: row = output channel.
struct LlamaLayerWeights {
  Tensor attention_norm;  ///< [hidden]
  Tensor wq, wk, wv;      ///< [q_width, hidden], [kv_width, hidden] twice
  Tensor wo;              ///< [hidden, q_width]
  Tensor ffn_norm;        ///< [hidden]
  Tensor w_gate, w_up;    ///< [intermediate, hidden]
  Tensor w_down;          ///< [hidden, intermediate]
};

/// A whole model. `head` equals `embedding` where embeddings are tied.
struct LlamaWeights {
  NeuralNetwork network;
  Tensor embedding;  ///< [vocabulary, hidden]
  std::vector<LlamaLayerWeights> layers;
  Tensor final_norm;  ///< [hidden]
  Tensor head;        ///< [vocabulary, hidden]
};

/// Reads a llama2.c v0 checkpoint (fp32, interleaved RoPE, theta 10000). Throws ConfigError that
/// names the file and what is wrong: too short, too long, impossible shape.
[[nodiscard]] LlamaWeights read_llama2c_checkpoint(const std::string& path);

}  // namespace tandem
