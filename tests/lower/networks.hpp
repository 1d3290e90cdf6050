// Networks that several tests share.
#pragma once

#include "sim/describe/dense_decoder.hpp"

namespace tandem::test {

/// Small enough for paper: q_width 8, kv_width 4, 496 parameters per layer.
inline NeuralNetwork tiny_network() {
  DenseDecoder net;
  net.name = "tiny";
  net.layers = 2;
  net.hidden = 8;
  net.heads = 4;
  net.kv_heads = 2;
  net.head_dim = 2;
  net.intermediate = 12;
  net.vocabulary = 10;
  net.max_context = 64;
  return network_of(net);
}

/// Llama-3.1-8B. Source: meta-llama/Llama-3.1-8B config.json.
inline NeuralNetwork llama_8b() {
  DenseDecoder net;
  net.name = "llama-3.1-8b";
  net.layers = 32;
  net.hidden = 4096;
  net.heads = 32;
  net.kv_heads = 8;
  net.head_dim = 128;
  net.intermediate = 14336;
  net.vocabulary = 128256;
  net.max_context = 131072;
  net.rope.theta = 500000;
  return network_of(net);
}

}  // namespace tandem::test
