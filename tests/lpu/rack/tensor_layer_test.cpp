// A layer of Llama-3.1-70B shared by the chips of a node and of a tray: sound on every chip, and
// close to its floor.
#include <gtest/gtest.h>

#include "models/lpu/rack/session.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/verifier.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

using lpu::testing::ShippedFabric;

/// One layer of Llama-3.1-70B with a head of one vector per rank, so that nothing enters or leaves
/// over links but what the ranks exchange.
Stage layer_of_70b(int ranks, ElementType type) {
  return whole_model(small_network(1, 8192, 64, 8, 128, 28672, 320 * ranks),
                     precision_of(type, type));
}

/// The ratio of a compiled layer to its floor; the programs of all ranks run timed, verified.
double ratio_to_floor(const ShippedFabric& fabric, ElementType type) {
  const int ranks = fabric.topology.chips();
  const lpu::Gang gang = lpu::first_chips(fabric.topology, ranks);
  const Stage stage = layer_of_70b(ranks, type);
  const auto compiled = lpu::compile_gang_stage(fabric.geometry, fabric.latencies, "chip", stage, 1,
                                                320, {&fabric.topology, &gang});
  std::vector<lpu::Program> programs;
  lpu::RackSession rack(fabric.topology, fabric.geometry, fabric.latencies, false);
  for (int rank = 0; rank < ranks; ++rank) {
    programs.push_back(compiled.program_of(rank));
    rack.machine(rank).load(programs.back(), {});
  }
  EXPECT_TRUE(lpu::verify(programs.back(), fabric.geometry, fabric.latencies).empty());
  EXPECT_TRUE(lpu::find_unmatched(fabric.topology, programs, fabric.latencies).empty());
  EXPECT_EQ(rack.run().cycles, compiled.cycles.base);
  const auto floor = lpu::floor_of_stage(fabric.geometry, fabric.latencies, stage, 320, ranks);
  testing::Test::RecordProperty("cycles", std::to_string(compiled.cycles.base));
  testing::Test::RecordProperty("floor", std::to_string(floor.cycles()));
  return double(compiled.cycles.base) / double(floor.cycles());
}

TEST(LpuTensorLayer, Of70bOnEightLpuV1IsWithinAQuarterOfItsFloor) {
  EXPECT_LE(ratio_to_floor(ShippedFabric("lpu_v1_quadfour", {1}), ElementType::Fp8E4m3), 1.25);
}

// Two-byte weights of a layer take 287 MB per chip with padding, more than its 230 MB of SRAM.
TEST(LpuTensorLayer, Of70bInFp16NeedsTwiceTheSramOfEightLpuV1) {
  ShippedFabric fabric("lpu_v1_quadfour", {1});
  EXPECT_THROW(static_cast<void>(ratio_to_floor(fabric, ElementType::Float16)), ModelError);
  fabric.geometry.rows_per_bank *= 2;
  EXPECT_LE(ratio_to_floor(fabric, ElementType::Float16), 1.25);
}

TEST(LpuTensorLayer, Of70bOnATrayOfLp30IsWithinAQuarterOfItsFloor) {
  EXPECT_LE(ratio_to_floor(ShippedFabric("lp30_lpx", {1, 1}), ElementType::Fp8E4m3), 1.25);
}

}  // namespace
}  // namespace tandem::test
