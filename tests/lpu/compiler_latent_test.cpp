// Latent attention on one LPU: the bits of the reference over random shapes, lanes that follow by
// hand, and what is refused.
#include <gtest/gtest.h>

#include <array>

#include "tests/lpu/latent_harness.hpp"

namespace tandem::test {
namespace {

// DeepSeek-V3 on vectors of 320 lanes, a rank of 16: 512 = 320 + 192 channels of the latent, 64
// rotated ones behind them; 2 x 128 of 320 lanes hold parts of heads, 5 x 64 those that rotate.
TEST(LpuLatentPlan, FillsLanesAsCountedByHand) {
  const lpu::LatentPlan plan(latent_shape(8, 1536, 512, 128, 64, 128), 320);
  EXPECT_EQ(plan.query_vectors, 5);
  EXPECT_EQ(plan.latent_vectors, 2);
  EXPECT_EQ(plan.key_vectors, 2);
  EXPECT_EQ(plan.value_vectors, 2);
  EXPECT_TRUE(plan.shares_vector());
  EXPECT_EQ(plan.rope_lane, 192);
  EXPECT_EQ(plan.key_lanes(1), 256);
  EXPECT_EQ(plan.ones_vector(), 1);
  EXPECT_EQ(plan.ones_lane(), 192);
  EXPECT_EQ(plan.nope_vectors, 4);
  EXPECT_EQ(plan.rope_vectors, 2);
  EXPECT_EQ(plan.heads_of_nope(3), 2);
  EXPECT_EQ(plan.output_vectors, 4);
}

// Where the latent fills its vectors the rotated part and the column of ones need one more each.
TEST(LpuLatentPlan, TakesAFurtherVectorWhereThePartThatRotatesFindsNoRoom) {
  const lpu::LatentPlan full(latent_shape(3, 0, 32, 16, 8, 16), 16);
  EXPECT_EQ(full.latent_vectors, 2);
  EXPECT_EQ(full.key_vectors, 3);
  EXPECT_EQ(full.rope_lane, 0);
  EXPECT_EQ(full.value_vectors, 3);
  EXPECT_EQ(full.ones_lane(), 0);
  const lpu::LatentPlan straddling(latent_shape(3, 0, 26, 16, 8, 16), 16);
  EXPECT_EQ(straddling.latent_vectors, 2);
  EXPECT_EQ(straddling.key_vectors, 3);
  EXPECT_EQ(straddling.value_vectors, 2);
  EXPECT_THROW(lpu::LatentPlan(latent_shape(3, 0, 26, 17, 8, 16), 16), ModelError);
}

TEST(LpuLatent, EqualsTheReferenceOnRandomShapesAndFormats) {
  constexpr std::array types{ElementType::Float16, ElementType::Fp8E4m3, ElementType::Bfloat16};
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    RandomStream random(seed, "latent");
    const auto geometry = narrow_geometry(static_cast<int>(random.integer(1, 3)));
    const std::int64_t lanes = geometry.lanes();
    const auto shape =
        latent_shape(random.integer(1, 6), random.integer(0, 1) * random.integer(3, 70),
                     random.integer(2, 3 * lanes), random.integer(1, lanes),
                     2 * random.integer(1, lanes / 2), random.integer(1, lanes));
    NeuralNetwork network =
        latent_network(shape, random.integer(1, 2), random.integer(3, 70), 20, 30);
    auto& latent = std::get<LatentAttention>(network.kinds.front().mixer);
    if (seed % 4 == 1) latent.rope.layout = ops::RopeLayout::HalfSplit;
    if (seed % 4 == 2) latent.shape.scale_factor = 1.3;
    expect_equal_to_reference(random_weights(network, seed), geometry, types[seed % 3],
                              types[seed / 2 % 2], 3);
  }
}

TEST(LpuLatent, IsRefusedByNameWithAnIndexerOrBesideOtherLayers) {
  const auto compile = [](const NeuralNetwork& network) {
    const Stage stage =
        tandem::whole_model(network, precision_of(ElementType::Float16, ElementType::Float16));
    static_cast<void>(
        lpu::compile_stage(narrow_geometry(2), lpu::LatencyTable{}, "chip", stage, 1, 8));
  };
  NeuralNetwork sparse = latent_network(latent_shape(2, 0, 16, 8, 4, 8), 1, 20, 20, 30);
  EXPECT_NO_THROW(compile(sparse));
  NeuralNetwork mixed = sparse;
  std::get<LatentAttention>(sparse.kinds.front().mixer).indexer = ops::IndexerShape{2, 8, 4};
  EXPECT_THROW(compile(sparse), ModelError);
  mixed.kinds.push_back(network_of(small_network(1, 20, 2, 1, 8, 20, 30)).kinds.front());
  mixed.pattern = {0, 1};
  EXPECT_THROW(compile(mixed), ModelError);
}

}  // namespace
}  // namespace tandem::test
