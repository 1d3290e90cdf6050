// Latent attention on the LPU: the bits of the reference over random shapes.
#include <gtest/gtest.h>

#include <array>

#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {
namespace {

NeuralNetwork latent_network(const ops::LatentShape& shape, std::int64_t layers,
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

ops::LatentShape shape_of(std::int64_t heads, std::int64_t query_rank, std::int64_t kv_rank,
                          std::int64_t nope, std::int64_t rope, std::int64_t value) {
  ops::LatentShape shape;
  shape.heads = heads;
  shape.query_rank = query_rank;
  shape.kv_rank = kv_rank;
  shape.nope_dim = nope;
  shape.rope_dim = rope;
  shape.value_dim = value;
  return shape;
}

// Runs `positions` tokens on one chip and in the reference; logits and cycles.
void expect_bits(const NeuralNetwork& network, const lpu::Geometry& geometry, ElementType weights,
                 ElementType kv, int positions, std::uint64_t seed) {
  const Weights values = random_weights(network, seed);
  const Stage stage = tandem::whole_model(network, precision_of(weights, kv));
  StageUnderTest chip(geometry, stage, values, 1, positions);
  LpuReference reference(values, weights, kv, geometry.lanes());
  for (const auto& fault : lpu::verify(chip.compiled.program, geometry, lpu::LatencyTable{})) {
    ADD_FAILURE() << lpu::format_violation(fault);
  }
  std::int32_t token = 1;
  for (int position = 0; position < positions; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(values, token));
    const auto expected = reference.forward(token);
    ASSERT_EQ(pass.logits, expected) << "position " << position;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(position / geometry.lanes() + 1));
    token = (greedy(expected) + 7 * position) % static_cast<std::int32_t>(network.vocabulary);
  }
}

TEST(LpuLatent, EqualsTheReferenceOnRandomShapesAndFormats) {
  constexpr std::array types{ElementType::Float16, ElementType::Fp8E4m3, ElementType::Bfloat16};
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(seed, "latent");
    const auto geometry = narrow_geometry(static_cast<int>(random.integer(1, 3)));
    const std::int64_t lanes = geometry.lanes();
    const auto shape =
        shape_of(random.integer(1, 6), random.integer(0, 1) * random.integer(3, 70),
                 random.integer(2, 4 * lanes), random.integer(1, lanes),
                 2 * random.integer(1, lanes / 2), random.integer(1, lanes));
    const NeuralNetwork network =
        latent_network(shape, random.integer(1, 2), random.integer(3, 70), 20, 30);
    expect_bits(network, geometry, types[seed % 3], types[seed / 2 % 2], 3, seed);
  }
}

TEST(LpuLatent, EqualsTheReferenceOverSeveralBlocks) {
  const NeuralNetwork network = latent_network(shape_of(5, 20, 26, 7, 6, 9), 1, 30, 20, 30);
  for (const ElementType kv : {ElementType::Float16, ElementType::Fp8E4m3}) {
    expect_bits(network, narrow_geometry(1), ElementType::Float16, kv, 150, 3);
  }
}

}  // namespace
}  // namespace tandem::test
