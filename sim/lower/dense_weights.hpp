// The weights of a dense decoder under the names that its kernels use.
#pragma once

#include <string_view>
#include <vector>

#include "sim/describe/dense_decoder.hpp"
#include "sim/lower/weights.hpp"

namespace tandem {

/// Weights of one decoder layer. Matrices are [out, in], row-major: row = output channel.
struct DenseLayerWeights {
  const Tensor& attention_norm;  ///< [hidden]
  const Tensor& wq;              ///< [q_width, hidden]
  const Tensor& wk;              ///< [kv_width, hidden]
  const Tensor& wv;              ///< [kv_width, hidden]
  const Tensor& wo;              ///< [hidden, q_width]
  const Tensor& ffn_norm;        ///< [hidden]
  const Tensor& w_gate;          ///< [intermediate, hidden]
  const Tensor& w_up;            ///< [intermediate, hidden]
  const Tensor& w_down;          ///< [hidden, intermediate]
};

/// A view of a whole model's weights, which must outlive it. `head` is `embedding` where tied.
struct DenseWeights {
  DenseDecoder network;
  const Tensor& embedding;  ///< [vocabulary, hidden]
  std::vector<DenseLayerWeights> layers;
  const Tensor& final_norm;  ///< [hidden]
  const Tensor& head;        ///< [vocabulary, hidden]
};

/// Throws ModelError where the network is no dense decoder (`who` begins the message) or a tensor
/// is missing or of another shape.
[[nodiscard]] DenseWeights dense_weights_of(const Weights& weights, std::string_view who);

}  // namespace tandem
