// Small decoders with random weights, chips to run them on, and one compiled stage with its host.
#pragma once

#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/lpu/chip_host.hpp"
#include "sim/core/random.hpp"

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

inline LlamaWeights random_weights(const NeuralNetwork& n, std::uint64_t seed) {
  RandomStream random(seed, "weights");
  LlamaWeights weights;
  weights.network = n;
  const auto spread = [](std::int64_t in) { return 2.0 / std::sqrt(static_cast<double>(in)); };
  weights.embedding = random_tensor({n.vocabulary, n.hidden}, 1.0, random);
  for (std::int64_t l = 0; l < n.layers; ++l) {
    LlamaLayerWeights w;
    w.attention_norm = random_tensor({n.hidden}, 1.5, random);
    w.ffn_norm = random_tensor({n.hidden}, 1.5, random);
    w.wq = random_tensor({n.q_width(), n.hidden}, spread(n.hidden), random);
    w.wk = random_tensor({n.kv_width(), n.hidden}, spread(n.hidden), random);
    w.wv = random_tensor({n.kv_width(), n.hidden}, spread(n.hidden), random);
    w.wo = random_tensor({n.hidden, n.q_width()}, spread(n.q_width()), random);
    w.w_gate = random_tensor({n.intermediate, n.hidden}, spread(n.hidden), random);
    w.w_up = random_tensor({n.intermediate, n.hidden}, spread(n.hidden), random);
    w.w_down = random_tensor({n.hidden, n.intermediate}, spread(n.intermediate), random);
    weights.layers.push_back(std::move(w));
  }
  weights.final_norm = random_tensor({n.hidden}, 1.5, random);
  weights.head = random_tensor({n.vocabulary, n.hidden}, spread(n.hidden), random);
  return weights;
}

inline NeuralNetwork small_network(std::int64_t layers, std::int64_t hidden, std::int64_t heads,
                                   std::int64_t kv_heads, std::int64_t head_dim,
                                   std::int64_t intermediate, std::int64_t vocabulary) {
  NeuralNetwork n;
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

  StageUnderTest(const lpu::Geometry& g, const Stage& stage, const LlamaWeights& weights, int slots,
                 std::int64_t max_context)
      : geometry(g),
        compiled(lpu::compile_stage(g, lpu::LatencyTable{}, "chip", stage, slots, max_context)),
        host(std::make_unique<lpu::ChipHost>(g, lpu::LatencyTable{}, compiled, weights)) {}
  StageUnderTest(const StageUnderTest&) = delete;
};

inline std::span<const float> embedding_row(const LlamaWeights& weights, std::int32_t token) {
  const auto width = static_cast<std::size_t>(weights.network.hidden);
  return weights.embedding.floats().subspan(static_cast<std::size_t>(token) * width, width);
}

}  // namespace tandem::test
