// The floor of a pass by hand, and what the compiler says about its own schedules.
#include "models/lpu/stage_floor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;

Precision one_byte() {
  return precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
}

std::int64_t latency_of(const lpu::StageFloor& floor, const std::string& name) {
  for (const auto& part : floor.operators) {
    if (part.name == name) return part.latency;
  }
  return -1;
}

TEST(StageFloor, StreamsLoadEveryTileOnceAndInstallIt) {
  // 7 one-byte tiles on 4 planes: two rounds of 20 + 1 cycles. Two-byte tiles take a pair of
  // planes.
  EXPECT_EQ(lpu::padded_stream_cycles(lpu_v1_geometry(), 7, 1), 42);
  EXPECT_EQ(lpu::padded_stream_cycles(lpu_v1_geometry(), 7, 2), 84);
  EXPECT_EQ(lpu::padded_stream_cycles(lp30_geometry(), 7, 1), 10);
}

TEST(StageFloor, LatenciesOfLpuV1AreTheSumOfTheirWays) {
  const Stage stage = whole_model(small_network(1, 640, 4, 2, 64, 960, 320), one_byte());
  const auto floor = lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{}, stage, 1);
  // Four rounds through the switch unit at 23 hops (46 + 22), operations 2 + 2 + 2 + 3 of 2 cycles:
  // 290. Before: read 2 + 1 hop, square, sum; after: two operations, a root of 5, three operations,
  // store 1 + 2. 3 + 4 + 290 + 4 + 5 + 6 + 3.
  EXPECT_EQ(latency_of(floor, "norm"), 315);
  // Read 2 + 23 hops, 26 in the plane, 24 back; scale, sum, store.
  EXPECT_EQ(latency_of(floor, "down"), 25 + 26 + 24 + 2 + 2 + 3);
}

TEST(StageFloor, CountsPaddedTilesAndTheirLoss) {
  // 640 x 960 fills 2 x 3 tiles; q of 256 and k, v of 128 channels take one vector each: 2 tiles
  // for 640 inputs; o 2 x 1; head 1 x 2. Tiles: 6 x 3 + 3 x 2 + ... of 320 x 320.
  const Stage stage = whole_model(small_network(1, 640, 4, 2, 64, 960, 320), one_byte());
  const auto floor = lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{}, stage, 1);
  std::int64_t tiles = 0;
  for (const auto& part : floor.operators) tiles += part.tiles;
  // 2 kv heads of 64 share a vector: q has 2 vectors (one per member of a group), k and v one each.
  EXPECT_EQ(tiles, 4 * 2 + 2 * 2 + 2 * (3 * 2) + 2 * 3 + 1 * 2);
  const double weights = 640.0 * (256 + 128 + 128) + 256.0 * 640 + 3 * 640.0 * 960 + 320.0 * 640;
  EXPECT_DOUBLE_EQ(floor.padding_loss, 1 - weights / (32 * 320.0 * 320.0));
}

// Gemma 4: one projection makes keys and values, so its tiles are held and streamed once.
TEST(StageFloor, KeysThatAreValuesAreProjectedOnce) {
  NeuralNetwork network = network_of(small_network(1, 640, 4, 2, 64, 960, 320));
  const auto floor_of = [&] {
    return lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{},
                               tandem::whole_model(network, one_byte()), 1);
  };
  const auto qkv_of = [](const lpu::StageFloor& floor) {
    return *std::ranges::find(floor.operators, "qkv", &lpu::OperatorFloor::name);
  };
  // Two vectors of q, one of k and one of v, from 2 x 320 inputs.
  EXPECT_EQ(qkv_of(floor_of()).tiles, 4 * 2);
  std::get<GroupedAttention>(network.kinds.front().mixer).keys_are_values = true;
  const lpu::OperatorFloor shared = qkv_of(floor_of());
  EXPECT_EQ(shared.tiles, 3 * 2);
  EXPECT_DOUBLE_EQ(shared.useful_tiles, 640.0 * (256 + 128) / (320.0 * 320.0));
  EXPECT_EQ(shared.stream, 2 * 21);  // six tiles on four planes
  const auto compiled = lpu::compile_stage(lpu_v1_geometry(), LatencyTable{}, "chip",
                                           tandem::whole_model(network, one_byte()), 1, 320);
  // Either part is a bound; in so small a stage their sum is not.
  EXPECT_GE(compiled.cycles.base, floor_of().latency);
  EXPECT_GE(compiled.cycles.base, floor_of().throughput);
}

TEST(StageFloor, FurtherBlocksCostWhatTheBusiestUnitOfEachLoopNeeds) {
  // Two kv heads share a vector: one tile of keys and one of values per block, four q heads. On v1
  // either tile takes 20 + 1 cycles; four activations and four results on four planes take 2.
  const Stage stage = whole_model(small_network(1, 640, 4, 2, 64, 960, 320), one_byte());
  const auto one = lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{}, stage, 320);
  const auto three = lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{}, stage, 3 * 320);
  EXPECT_EQ(one.further_blocks, 0);
  EXPECT_EQ(three.further_blocks, 2 * (21 + 21));
  EXPECT_EQ(three.cycles() - one.cycles(), 84);
  // Llama-3.1-8B on LP30: 32 heads on 4 planes, 8 activations and 8 results each for scores; for
  // values 8 activations, and 32 exponentials on 4 ALUs.
  const Stage layer = whole_model(small_network(1, 4096, 32, 8, 128, 14336, 320), one_byte());
  const auto two = lpu::floor_of_stage(lp30_geometry(), LatencyTable{}, layer, 2 * 320);
  EXPECT_EQ(two.further_blocks, 16 + 8);
}

TEST(StageFloor, NoScheduleIsBelowEitherPart) {
  for (const auto& geometry : {lpu_v1_geometry(), lp30_geometry()}) {
    const Stage stage = whole_model(small_network(2, 640, 4, 2, 64, 960, 320), one_byte());
    const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, 320);
    const auto floor = lpu::floor_of_stage(geometry, LatencyTable{}, stage, 1);
    EXPECT_GE(compiled.cycles.base, floor.latency);
    EXPECT_GE(compiled.cycles.base, floor.throughput);
  }
}

// Qwen3.5-27B's layer on LPU v1: 16 key and 48 value heads of 128 channels, two of either in a
// vector of 320: 8 vectors each of queries and keys, 24 of values, one of gates.
TEST(StageFloor, EveryRowOfAStatePassesTheVectorUnit) {
  NeuralNetwork network = network_of(small_network(1, 5120, 8, 2, 64, 960, 320));
  GatedDelta delta;
  delta.shape = {16, 48, 128, 128, 4, 64};
  network.kinds.front().mixer = delta;
  const Stage stage = tandem::whole_model(network, one_byte());
  const auto floor = lpu::floor_of_stage(lpu_v1_geometry(), LatencyTable{}, stage, 1);
  const auto part = [&](const std::string& name) {
    for (const auto& found : floor.operators) {
      if (found.name == name) return found;
    }
    return lpu::OperatorFloor{};
  };
  // Queries, keys, values, output gates and gates: 8 + 8 + 24 + 24 + 1 vectors of 16 tiles each.
  EXPECT_EQ(part("delta projections").tiles, 65 * 16);
  // 24 states of 128 rows: four operations for each on 16 ALUs, then three.
  EXPECT_EQ(part("delta states asked").vxm, 24 * 128 * 4 / 16);
  EXPECT_EQ(part("delta states updated").vxm, 24 * 128 * 3 / 16);
  EXPECT_EQ(part("delta states updated").latency, 0);
  // Read, 22 hops to the switch unit, 22 in it and 23 back: 69. Seven operations and the square's
  // way of 24 hops to the planes, 26 in them, 24 back, with two operations before; two to the mean,
  // a root, two products, a store.
  EXPECT_EQ(part("delta states asked").latency,
            2 + 22 + 22 + 23 + 14 + 4 + 24 + 26 + 24 + 4 + 5 + 4 + 3);
  EXPECT_EQ(floor.further_blocks, 0);
}

// One layer of Gated DeltaNet, one of attention.
TEST(StageFloor, NoScheduleWithStatesIsBelowEitherPart) {
  NeuralNetwork network = network_of(small_network(2, 640, 4, 2, 64, 960, 320));
  LayerKind delta = network.kinds.front();
  delta.mixer = GatedDelta{{2, 4, 128, 128, 4, 64}};
  network.kinds.push_back(delta);
  network.pattern = {1, 0};
  const Stage stage = tandem::whole_model(network, one_byte());
  for (const auto& geometry : {lpu_v1_geometry(), lp30_geometry()}) {
    const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, 320);
    const auto floor = lpu::floor_of_stage(geometry, LatencyTable{}, stage, 1);
    EXPECT_GE(compiled.cycles.base, floor.latency);
    EXPECT_GE(compiled.cycles.base, floor.throughput);
  }
}

TEST(StageFloor, SeveralTokensShareWeightTiles) {
  lpu::StageFloor floor;
  // A matrix: 100 cycles of streams, 30 of the planes per token. Keys: 10 of streams per token.
  lpu::OperatorFloor matrix;
  matrix.tiles = 20;
  matrix.stream = 100;
  matrix.mxm = 30;
  lpu::OperatorFloor keys;
  keys.stream = 10;
  keys.mxm = 5;
  floor.operators = {matrix, keys};
  floor.latency = 1000;
  EXPECT_EQ(floor.cycles_of(1), 1000 + 110);
  EXPECT_EQ(floor.cycles_of(2), 1000 + 120);
  EXPECT_EQ(floor.cycles_of(4), 1000 + 4 * 35);
}

TEST(StageFloor, NoScheduleOfSeveralTokensIsBelowIt) {
  const Stage stage = whole_model(small_network(1, 640, 4, 2, 64, 960, 320), one_byte());
  for (const auto& geometry : {lpu_v1_geometry(), lp30_geometry()}) {
    const auto floor = lpu::floor_of_stage(geometry, LatencyTable{}, stage, 1);
    EXPECT_EQ(floor.cycles_of(1), floor.cycles());
    for (const int tokens : {2, 4}) {
      const auto compiled =
          lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, tokens, 320, {}, {tokens});
      EXPECT_GE(compiled.cycles.base, floor.cycles_of(tokens));
    }
  }
}

TEST(OperatorUse, CyclesAddUpToTheProgram) {
  const Stage stage = whole_model(small_network(2, 640, 4, 2, 64, 960, 320), one_byte());
  const auto compiled = lpu::compile_stage(lp30_geometry(), LatencyTable{}, "chip", stage, 1, 320);
  const std::int64_t sum = std::accumulate(
      compiled.operators.begin(), compiled.operators.end(), std::int64_t{0},
      [](std::int64_t total, const lpu::OperatorUse& use) { return total + use.adds; });
  // The barrier comes before all operators, the last superlane after them.
  EXPECT_EQ(sum + LatencyTable{}.barrier + 20, compiled.cycles.base);
  for (const auto& use : compiled.operators) EXPECT_LE(use.first, use.last) << use.name;
}

}  // namespace
}  // namespace tandem::test
