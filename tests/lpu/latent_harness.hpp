// Decoders with latent attention.
#pragma once

#include <cstdint>

#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {

inline ops::LatentShape latent_shape(std::int64_t heads, std::int64_t query_rank,
                                     std::int64_t kv_rank, std::int64_t nope, std::int64_t rope,
                                     std::int64_t value) {
  ops::LatentShape shape;
  shape.heads = heads;
  shape.query_rank = query_rank;
  shape.kv_rank = kv_rank;
  shape.nope_dim = nope;
  shape.rope_dim = rope;
  shape.value_dim = value;
  return shape;
}

inline NeuralNetwork latent_network(const ops::LatentShape& shape, std::int64_t layers,
                                    std::int64_t hidden, std::int64_t intermediate,
                                    std::int64_t vocabulary) {
  NeuralNetwork network =
      network_of(small_network(layers, hidden, 1, 1, 2, intermediate, vocabulary));
  LatentAttention latent;
  latent.shape = shape;
  latent.rope.rotated = shape.rope_dim;
  latent.rope.layout = ops::RopeLayout::Interleaved;
  network.kinds.front().mixer = latent;
  return network;
}

/// DeepSeek-V3 (workloads/models/deepseek-v3.yaml), one layer of it with a head of one vector:
/// of experts, or one of the first three.
inline NeuralNetwork deepseek_v3_layer(bool has_experts) {
  NeuralNetwork network =
      latent_network(latent_shape(128, 1536, 512, 128, 64, 128), 1, 7168, 18432, 320);
  if (!has_experts) return network;
  Experts mixture;
  mixture.router.experts = 256;
  mixture.router.top_k = 8;
  mixture.intermediate = 2048;
  network.kinds.front().ffn.intermediate = 0;
  network.kinds.front().ffn.experts = mixture;
  add_shared(network, 2048);
  set_groups(network, 8, 4);
  return network;
}

}  // namespace tandem::test
