// Small decoders with random weights, chips to run them on, and one compiled stage with its host.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/core/random.hpp"
#include "sim/describe/dense_decoder.hpp"

namespace tandem::test {

inline lpu::Geometry lpu_v1_geometry() {
  lpu::Geometry geometry;
  geometry.clock = Hertz(900e6);
  geometry.links = {{"c2c", 11, 27, 216 + 27}};
  return geometry;
}

/// LPU v1 with vectors of 16 * superlanes bytes and planes to match.
inline lpu::Geometry narrow_geometry(int superlanes) {
  lpu::Geometry geometry = lpu_v1_geometry();
  geometry.superlanes = superlanes;
  geometry.plane_rows = geometry.plane_columns = geometry.lanes();
  return geometry;
}

/// The LP30 estimate: a wide weight path, 80 slices per hemisphere.
inline lpu::Geometry lp30_geometry() {
  lpu::Geometry geometry;
  geometry.clock = Hertz(1.5e9);
  geometry.mem_slices_per_hemisphere = 80;
  geometry.rows_per_bank = 4883;
  geometry.weight_streams_per_plane = 80;
  geometry.links = {{"intra_node", 15, 10, 525}};
  return geometry;
}

inline Tensor random_tensor(std::vector<std::int64_t> shape, double spread, RandomStream& random) {
  Tensor tensor(ElementType::Float32, std::move(shape));
  for (float& value : tensor.floats()) {
    value = static_cast<float>(spread * (2 * random.uniform() - 1));
  }
  return tensor;
}

/// Wider spreads than tandem::random_weights: roundings of every format show.
inline Weights spread_weights(const DenseDecoder& n, std::uint64_t seed) {
  RandomStream random(seed, "weights");
  Weights weights;
  weights.network = network_of(n);
  const auto add = [&](const std::string& name, std::vector<std::int64_t> shape, double width) {
    weights.tensors.emplace(name, random_tensor(std::move(shape), width, random));
  };
  const auto spread = [](std::int64_t in) { return 2.0 / std::sqrt(static_cast<double>(in)); };
  add("embedding", {n.vocabulary, n.hidden}, 1.0);
  for (std::int64_t l = 0; l < n.layers; ++l) {
    const std::string layer = "layers." + std::to_string(l) + ".";
    add(layer + "attention_norm", {n.hidden}, 1.5);
    add(layer + "ffn_norm", {n.hidden}, 1.5);
    add(layer + "attention.query", {n.q_width(), n.hidden}, spread(n.hidden));
    add(layer + "attention.key", {n.kv_width(), n.hidden}, spread(n.hidden));
    add(layer + "attention.value", {n.kv_width(), n.hidden}, spread(n.hidden));
    add(layer + "attention.output", {n.hidden, n.q_width()}, spread(n.q_width()));
    add(layer + "ffn.gate", {n.intermediate, n.hidden}, spread(n.hidden));
    add(layer + "ffn.up", {n.intermediate, n.hidden}, spread(n.hidden));
    add(layer + "ffn.down", {n.hidden, n.intermediate}, spread(n.intermediate));
  }
  add("final_norm", {n.hidden}, 1.5);
  add("head", {n.vocabulary, n.hidden}, spread(n.hidden));
  return weights;
}

inline DenseDecoder small_network(std::int64_t layers, std::int64_t hidden, std::int64_t heads,
                                  std::int64_t kv_heads, std::int64_t head_dim,
                                  std::int64_t intermediate, std::int64_t vocabulary) {
  DenseDecoder n;
  n.name = "small";
  n.layers = layers;
  n.hidden = hidden;
  n.heads = heads;
  n.kv_heads = kv_heads;
  n.head_dim = head_dim;
  n.intermediate = intermediate;
  n.vocabulary = vocabulary;
  n.max_context = 4096;
  return n;
}

inline Stage whole_model(const DenseDecoder& decoder, const Precision& precision) {
  return tandem::whole_model(network_of(decoder), precision);
}

inline Precision precision_of(ElementType weights, ElementType kv) {
  Precision precision;
  precision.weights = weights;
  precision.kv_cache = kv;
  precision.activations = weights;
  return precision;
}

/// A compiled stage with its chip.
struct StageUnderTest {
  lpu::Geometry geometry;
  lpu::CompiledStage compiled;
  std::unique_ptr<lpu::ChipHost> host;

  StageUnderTest(const lpu::Geometry& g, const Stage& stage, const Weights& weights, int slots,
                 std::int64_t max_context)
      : geometry(g),
        compiled(lpu::compile_stage(g, lpu::LatencyTable{}, "chip", stage, slots, max_context)),
        host(std::make_unique<lpu::ChipHost>(g, lpu::LatencyTable{}, compiled, weights)) {}
  StageUnderTest(const StageUnderTest&) = delete;
};

inline std::span<const float> embedding_row(const Weights& weights, std::int32_t token) {
  const auto width = static_cast<std::size_t>(weights.network.hidden);
  return weights.at("embedding").floats().subspan(static_cast<std::size_t>(token) * width, width);
}

/// The first of the largest logits.
inline std::int32_t greedy(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// The verifier finds nothing in a program; each thing that it finds is a failure.
inline void expect_verified(const lpu::CompiledStage& compiled, const lpu::Geometry& geometry,
                            const lpu::LatencyTable& latencies = {}) {
  for (const auto& fault : lpu::verify(compiled.program, geometry, latencies)) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
}

}  // namespace tandem::test
