// Small mixtures of experts and how they are compared with the independent reference.
#pragma once

#include "tests/lpu/compiler_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {

using ops::RouterRule;

/// A decoder whose one kind of layer has experts in place of its dense block.
inline NeuralNetwork with_experts(const DenseDecoder& decoder, std::int64_t experts,
                                  std::int64_t top_k, std::int64_t intermediate) {
  NeuralNetwork network = network_of(decoder);
  Experts mixture;
  mixture.router.experts = experts;
  mixture.router.top_k = top_k;
  mixture.intermediate = intermediate;
  network.kinds.front().ffn.intermediate = 0;
  network.kinds.front().ffn.experts = mixture;
  return network;
}

/// Grouped attention as in small_network(), experts in every layer.
inline NeuralNetwork small_mixture(std::int64_t layers, std::int64_t hidden, std::int64_t experts,
                                   std::int64_t top_k, std::int64_t intermediate) {
  return with_experts(small_network(layers, hidden, 4, 2, 8, 1, 60), experts, top_k, intermediate);
}

inline Experts& mixture_of(NeuralNetwork& network) {
  return *network.kinds.front().ffn.experts;
}

inline void add_shared(NeuralNetwork& network, std::int64_t width) {
  mixture_of(network).shared = 1;
  mixture_of(network).shared_intermediate = width;
}

inline void set_groups(NeuralNetwork& network, std::int64_t groups, std::int64_t top) {
  ops::Router& router = mixture_of(network).router;
  router.rule = RouterRule::SigmoidBias;
  router.bias = true;
  router.groups = groups;
  router.top_groups = top;
  router.group_score = ops::GroupScore::SumOfTop2;
  router.scale = 2.5;
}

/// Runs `positions` tokens on one chip and in the reference: logits, cycles and the verifier's
/// verdict.
inline void expect_equal_to_reference(const Weights& weights, const lpu::Geometry& geometry,
                                      ElementType type, ElementType kv, int positions) {
  const Stage stage = tandem::whole_model(weights.network, precision_of(type, kv));
  StageUnderTest chip(geometry, stage, weights, 1, positions);
  LpuReference reference(weights, type, kv, geometry.lanes());
  expect_verified(chip.compiled, geometry);
  const auto vocabulary = static_cast<std::int32_t>(weights.network.vocabulary);
  std::int32_t token = 1;
  for (int position = 0; position < positions; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    const auto expected = reference.forward(token);
    ASSERT_EQ(pass.logits, expected) << "position " << position;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(position / geometry.lanes() + 1));
    token = (greedy(expected) + 7 * position) % vocabulary;
  }
}

/// The same with weights drawn for a network, in one type.
inline void expect_equal_to_reference(const NeuralNetwork& network, const lpu::Geometry& geometry,
                                      ElementType type, int positions, std::uint64_t seed = 11) {
  expect_equal_to_reference(random_weights(network, seed), geometry, type, type, positions);
}

inline GroupedAttention& attention_of(NeuralNetwork& network) {
  return std::get<GroupedAttention>(network.kinds.front().mixer);
}

}  // namespace tandem::test
