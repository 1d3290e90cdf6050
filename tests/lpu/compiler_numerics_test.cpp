// Compiled programs on the machine give, bit for bit, what the independent reference gives, in
// exactly the cycles that the compiler predicts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "tests/lpu/compiler_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

struct NumericsCase {
  const char* name;
  DenseDecoder network;
  lpu::Geometry geometry;
  ElementType weights;
  ElementType kv;
  int positions;
};

// Runs `positions` tokens and compares logits, the token that the chip picked, and cycles.
void expect_equal_to_reference(const NumericsCase& c) {
  SCOPED_TRACE(c.name);
  const Weights weights = spread_weights(c.network, 7);
  const Stage stage = whole_model(c.network, precision_of(c.weights, c.kv));
  StageUnderTest chip(c.geometry, stage, weights, 1, c.positions);
  LpuReference reference(weights, c.weights, c.kv, c.geometry.lanes());
  std::int32_t token = 1;
  for (int position = 0; position < c.positions; ++position) {
    const auto pass = chip.host->run_token(0, position, embedding_row(weights, token));
    const auto expected = reference.forward(token);
    ASSERT_EQ(pass.logits.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(pass.logits[i], expected[i]) << "position " << position << " token " << i;
    }
    ASSERT_EQ(pass.best_token, greedy(expected)) << "position " << position;
    const std::int64_t blocks = position / c.geometry.lanes() + 1;
    ASSERT_EQ(pass.run.cycles, chip.compiled.cycles.at(blocks)) << "position " << position;
    token = greedy(expected);
  }
}

TEST(CompiledDecoder, OneVectorOfHiddenStateOnLpuV1) {
  expect_equal_to_reference({"v1", small_network(1, 64, 8, 4, 8, 172, 512), lpu_v1_geometry(),
                             ElementType::Float16, ElementType::Float16, 3});
}

TEST(CompiledDecoder, SeveralKvBlocksOnNarrowVectors) {
  // 32 lanes: 67 positions are three blocks.
  expect_equal_to_reference({"narrow", small_network(2, 50, 6, 3, 10, 75, 70), narrow_geometry(2),
                             ElementType::Float16, ElementType::Float16, 67});
}

TEST(CompiledDecoder, SeveralPacksOfKvHeads) {
  // Heads of 24 channels: two to a vector of 64 lanes, so 5 kv heads make three packs.
  DenseDecoder network = small_network(1, 130, 20, 5, 24, 200, 70);
  network.rope.layout = RopeLayout::HalfSplit;
  expect_equal_to_reference(
      {"packs", network, narrow_geometry(4), ElementType::Float16, ElementType::Float16, 5});
}

TEST(CompiledDecoder, OneByteWeightsAndKv) {
  expect_equal_to_reference({"fp8", small_network(2, 50, 8, 4, 6, 75, 70), narrow_geometry(2),
                             ElementType::Fp8E4m3, ElementType::Fp8E4m3, 34});
}

TEST(CompiledDecoder, OneByteWeightsOnTheWideWeightPath) {
  expect_equal_to_reference({"lp30", small_network(1, 330, 8, 2, 64, 400, 330), lp30_geometry(),
                             ElementType::Fp8E4m3, ElementType::Fp8E4m3, 2});
}

TEST(CompiledDecoder, TwoByteOperandsOnTheWideWeightPath) {
  expect_equal_to_reference({"lp30 fp16", small_network(1, 330, 4, 2, 64, 330, 330),
                             lp30_geometry(), ElementType::Float16, ElementType::Float16, 2});
}

TEST(CompiledDecoder, BfloatWeightsWithOneByteKv) {
  expect_equal_to_reference({"mixed", small_network(1, 64, 4, 1, 16, 96, 100), narrow_geometry(5),
                             ElementType::Bfloat16, ElementType::Fp8E4m3, 3});
}

// Odd shapes: head_dim 2..24, hidden sizes that fill no vector, 1..6 kv heads, groups of 1..8.
TEST(CompiledDecoder, AnyShapeEqualsTheReference) {
  const char* wanted = std::getenv("TANDEM_LPU_CASES");
  const int cases = wanted != nullptr ? std::atoi(wanted) : 12;
  for (int seed = 0; seed < cases; ++seed) {
    RandomStream random(static_cast<std::uint64_t>(seed), "shapes");
    const std::int64_t kv_heads = random.integer(1, 6);
    const std::int64_t heads = kv_heads * random.integer(1, 8);
    DenseDecoder network =
        small_network(random.integer(1, 2), random.integer(3, 90), heads, kv_heads,
                      2 * random.integer(1, 12), random.integer(1, 100), random.integer(2, 80));
    network.rope.layout =
        random.integer(0, 1) == 0 ? RopeLayout::Interleaved : RopeLayout::HalfSplit;
    const auto type = [&] {
      constexpr ElementType types[] = {ElementType::Float16, ElementType::Bfloat16,
                                       ElementType::Fp8E4m3};
      return types[random.integer(0, 2)];
    };
    const ElementType weights = type();
    const ElementType kv = type();
    const int superlanes = static_cast<int>(random.integer(2, 5));
    const std::string name = "seed " + std::to_string(seed);
    expect_equal_to_reference({name.c_str(), network, narrow_geometry(superlanes), weights, kv, 2});
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace tandem::test
