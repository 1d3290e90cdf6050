// Collectives on nodes, trays and 64 chips: predicted cycles are simulated cycles, sums have the
// bits of the stated order, and latencies and bandwidths are what the links allow.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/lpu/rack/collective_harness.hpp"

namespace tandem::lpu {
namespace {

using testing::CollectiveRun;
using testing::Contents;
using testing::expect_sound;
using testing::Lanes;
using testing::random_contents;
using testing::ShippedFabric;
using testing::sum_of;
using testing::sum_over;

CollectiveChip chip_of(const ShippedFabric& fabric) {
  return {fabric.geometry, fabric.latencies};
}

std::vector<int> counting(int first, int count) {
  std::vector<int> chips(static_cast<std::size_t>(count));
  std::iota(chips.begin(), chips.end(), first);
  return chips;
}

// Runs functional and timed; both take the predicted cycles.
CollectiveRun run_checked(const ShippedFabric& fabric, const CollectiveProgram& program,
                          const Contents& contents) {
  expect_sound(fabric, program);
  CollectiveRun timed(fabric, program, false);
  EXPECT_EQ(timed.run().cycles, program.cycles);
  CollectiveRun run(fabric, program, true);
  run.fill(contents);
  EXPECT_EQ(run.run().cycles, program.cycles);
  return run;
}

void expect_all_reduce(const ShippedFabric& fabric, ReducePlan plan, int vectors) {
  SCOPED_TRACE(std::to_string(fabric.topology.chips()) + " chips, plan " +
               std::to_string(static_cast<int>(plan)) + ", " + std::to_string(vectors));
  const int chips = fabric.topology.chips();
  const Gang gang = first_chips(fabric.topology, chips);
  const auto program = compile_all_reduce(fabric.topology, gang, chip_of(fabric), plan, vectors);
  const Contents contents = random_contents(chips, vectors, 7);
  CollectiveRun run = run_checked(fabric, program, contents);
  for (int v = 0; v < vectors; ++v) {
    const Lanes expected = sum_over(contents, counting(0, chips), static_cast<std::size_t>(v));
    for (int chip = 0; chip < chips; ++chip) ASSERT_EQ(run.output(chip, v), expected) << chip;
  }
}

TEST(Collective, AllReduceAddsByRankOnNodesAndTrays) {
  for (const ReducePlan plan : {ReducePlan::Direct, ReducePlan::TwoPhase}) {
    // 9 vectors are two shards of 8 chips and one of 16, with padding.
    for (const int vectors : {1, 9}) {
      expect_all_reduce(ShippedFabric("lpu_v1_quadfour", {1}), plan, vectors);
      expect_all_reduce(ShippedFabric("lp30_lpx", {1, 1}), plan, vectors);
    }
  }
}

TEST(Collective, HierarchicalAllReduceAddsTraysInOrder) {
  // 64 LP30: within a tray by rank, then tray 0 + 1 + 2 + 3; all chips agree.
  const ShippedFabric fabric("lp30_lpx", {4, 1});
  const Gang gang = first_chips(fabric.topology, 64);
  const auto program =
      compile_all_reduce(fabric.topology, gang, chip_of(fabric), ReducePlan::Hierarchical, 3);
  const Contents contents = random_contents(64, 3, 8);
  CollectiveRun run = run_checked(fabric, program, contents);
  for (std::size_t v = 0; v < 3; ++v) {
    Lanes expected = sum_over(contents, counting(0, 16), v);
    for (int tray = 1; tray < 4; ++tray) {
      expected = sum_of(expected, sum_over(contents, counting(16 * tray, 16), v));
    }
    for (int chip = 0; chip < 64; ++chip) {
      ASSERT_EQ(run.output(chip, static_cast<int>(v)), expected) << chip;
    }
  }
}

// Node u adds its own sum and those of the nodes ahead, apart those of the nodes behind.
Lanes ring_sum(const Contents& contents, int nodes, int node, std::size_t v) {
  const auto node_sum = [&](int step) {
    return sum_over(contents, counting((node + step + nodes) % nodes * 8, 8), v);
  };
  const int ahead = std::min(4, nodes - 1);
  Lanes front = node_sum(0);
  for (int step = 1; step <= ahead; ++step) front = sum_of(front, node_sum(step));
  Lanes back(320, 0.0F);
  for (int step = 1; step <= nodes - 1 - ahead; ++step) back = sum_of(back, node_sum(-step));
  return sum_of(front, back);
}

TEST(Collective, RingAllReduceAddsNodesAheadAndBehind) {
  for (const int nodes : {3, 8, 9}) {
    const ShippedFabric fabric("lpu_v1_quadfour", {nodes});
    const int chips = 8 * nodes;
    const Gang gang = first_chips(fabric.topology, chips);
    const auto program =
        compile_all_reduce(fabric.topology, gang, chip_of(fabric), ReducePlan::RingParts, 5);
    const Contents contents = random_contents(chips, 5, 9);
    CollectiveRun run = run_checked(fabric, program, contents);
    for (int chip = 0; chip < chips; ++chip) {
      for (int v = 0; v < 5; ++v) {
        ASSERT_EQ(run.output(chip, v),
                  ring_sum(contents, nodes, chip / 8, static_cast<std::size_t>(v)))
            << nodes << " nodes, chip " << chip << ", vector " << v;
      }
    }
  }
}

TEST(Collective, ReduceScatterLeavesShardsAndAllGatherCollectsThem) {
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  const Gang gang = first_chips(fabric.topology, 8);
  const Contents contents = random_contents(8, 16, 10);
  CollectiveRun reduced = run_checked(
      fabric, compile_reduce_scatter(fabric.topology, gang, chip_of(fabric), 16), contents);
  const Contents shards = random_contents(8, 2, 11);
  CollectiveRun gathered =
      run_checked(fabric, compile_all_gather(fabric.topology, gang, chip_of(fabric), 16), shards);
  for (int chip = 0; chip < 8; ++chip) {
    for (int v = 0; v < 2; ++v) {
      const auto whole = static_cast<std::size_t>(2 * chip + v);
      ASSERT_EQ(reduced.output(chip, v), sum_over(contents, counting(0, 8), whole));
    }
    for (int v = 0; v < 16; ++v) {
      ASSERT_EQ(gathered.output(chip, v),
                shards[static_cast<std::size_t>(v / 2)][static_cast<std::size_t>(v % 2)]);
    }
  }
}

TEST(Collective, BroadcastReachesEveryChip) {
  for (const auto& fabric :
       {ShippedFabric("lpu_v1_quadfour", {1}), ShippedFabric("lp30_lpx", {1, 1}),
        ShippedFabric("lpu_v1_quadfour", {8}), ShippedFabric("lp30_lpx", {4, 1})}) {
    const int root = 5;
    const auto program = compile_broadcast(fabric.topology, chip_of(fabric), root, 3);
    Contents contents(static_cast<std::size_t>(fabric.topology.chips()));
    contents[root] = random_contents(1, 3, 12).front();
    CollectiveRun run = run_checked(fabric, program, contents);
    for (int chip = 0; chip < fabric.topology.chips(); ++chip) {
      if (chip == root) continue;
      for (int v = 0; v < 3; ++v) {
        ASSERT_EQ(run.output(chip, v), contents[root][static_cast<std::size_t>(v)]) << chip;
      }
    }
  }
}

TEST(Collective, AProgramForOneChipIsRefusedOnWrongLinks) {
  // Two nodes of the dragonfly do not meet chip to chip of the same index.
  const ShippedFabric fabric("lpu_v1_single_dragonfly", {2});
  const Gang gang = first_chips(fabric.topology, 16);
  EXPECT_FALSE(allows(gang, fabric.topology, ReducePlan::TwoPhase));
  EXPECT_THROW(compile_all_reduce(fabric.topology, gang, chip_of(fabric), ReducePlan::TwoPhase, 1),
               ModelError);
}

}  // namespace
}  // namespace tandem::lpu
