// Small networks with the layers of published families.
#pragma once

#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {

// All that Gemma 2 and 3 change, windows apart.
inline NeuralNetwork like_gemma() {
  NeuralNetwork network = network_of(small_network(2, 100, 6, 2, 12, 75, 60));
  network.norm.one_plus_weight = true;
  network.embedding_scale = 10;
  network.final_softcap = 3;
  LayerKind& kind = network.kinds.front();
  kind.post_norms = true;
  kind.ffn.activation = ActivationKind::GeluTanh;
  GroupedAttention& attention = attention_of(network);
  attention.qk_norm = QkNorm::PerHead;
  attention.shape.scale = 0.25;
  attention.shape.softcap = 2;
  attention.rope->layout = RopeLayout::HalfSplit;
  attention.rope->scaling = ops::LinearScaling{8};
  return network;
}

// GPT-2: LayerNorm, learned positions, biases everywhere, a block without a gate, no rotation.
inline NeuralNetwork like_gpt2(std::int64_t hidden) {
  NeuralNetwork network = network_of(small_network(2, hidden, 4, 4, 12, 75, 60));
  network.norm.kind = NormKind::Layer;
  network.learned_positions = true;
  LayerKind& kind = network.kinds.front();
  kind.ffn.gated = false;
  kind.ffn.bias = true;
  kind.ffn.activation = ActivationKind::GeluTanh;
  GroupedAttention& attention = attention_of(network);
  attention.qkv_bias = attention.output_bias = true;
  attention.rope.reset();
  return network;
}

inline void make_like_gpt_oss(NeuralNetwork& network) {
  GroupedAttention& attention = attention_of(network);
  attention.qkv_bias = attention.output_bias = attention.sinks = true;
  attention.rope->layout = RopeLayout::HalfSplit;
  attention.rope->theta = 150000;
  attention.rope->scaling = ops::YarnScaling{32, 4096, 32, 1, false, 1, 0};
  network.kinds.front().ffn.activation = ActivationKind::ClampedSwiglu;
  Experts& experts = mixture_of(network);
  experts.bias = experts.router.bias = true;
  experts.router.rule = RouterRule::TopkSoftmax;
}

// MiniMax M2: norms over all heads, partial rotation, sigmoid router.
inline NeuralNetwork like_minimax() {
  NeuralNetwork network = with_experts(small_network(2, 100, 8, 4, 16, 1, 60), 9, 3, 40);
  GroupedAttention& attention = attention_of(network);
  attention.qk_norm = QkNorm::AllHeads;
  attention.rope->rotated = 8;
  attention.rope->layout = RopeLayout::HalfSplit;
  mixture_of(network).router.rule = RouterRule::SigmoidBias;
  mixture_of(network).router.bias = true;
  return network;
}

// Qwen3-Next's layers of attention: gated outputs, gated shared experts.
inline NeuralNetwork like_qwen_next() {
  NeuralNetwork network = small_mixture(2, 100, 12, 3, 40);
  network.norm.one_plus_weight = true;
  attention_of(network).output_gate = true;
  attention_of(network).qk_norm = QkNorm::PerHead;
  add_shared(network, 70);
  mixture_of(network).shared_gate = true;
  return network;
}

}  // namespace tandem::test
