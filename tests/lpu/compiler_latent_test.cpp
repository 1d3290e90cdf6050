// Latent attention on the LPU: the bits of the reference over random shapes.
#include <gtest/gtest.h>

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

TEST(LpuLatent, EqualsTheReferenceWhereAKeyFillsOneVector) {
  const NeuralNetwork network = latent_network(shape_of(4, 32, 16, 16, 8, 16), 2, 50, 40, 30);
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Float16, 4);
}

}  // namespace
}  // namespace tandem::test
