// A layer of Llama-3.1-70B shared by the chips of a node and of a tray: sound on every chip, and
// close to its floor.
#include <gtest/gtest.h>

#include <ctime>
#include <set>

#include "models/lpu/rack/session.hpp"
#include "models/lpu/stage_floor.hpp"
#include "models/lpu/stage_gang.hpp"
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

/// A gang by the chip's own links, of which one machine runs and gets back what it sends.
void expect_one_rank_stands_for_all(const ShippedFabric& fabric, Stage stage,
                                    const lpu::RunResult& rank) {
  stage.tensor = fabric.topology.chips();
  lpu::Geometry geometry = fabric.geometry;
  geometry.links = lpu::geometry_of(fabric.chip).links;
  const auto compiled = lpu::compile_share(geometry, fabric.latencies, "chip", stage, 1, 320);
  lpu::Machine machine(geometry, fabric.latencies, false);
  machine.load(compiled.program_of(0), {});
  const auto run = lpu::run_share(machine, geometry, compiled, compiled.cycles.base, {});
  EXPECT_EQ(run.cycles, rank.cycles);
  EXPECT_EQ(run.counts, rank.counts);
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
  const lpu::RackResult run = rack.run();
  EXPECT_EQ(run.cycles, compiled.cycles.base);
  expect_one_rank_stands_for_all(fabric, stage, run.chips.front());
  const auto floor = lpu::floor_of_stage(fabric.geometry, fabric.latencies, stage, 320, {ranks});
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

// Sanitizers slow everything down by several times.
#ifdef __SANITIZE_ADDRESS__
constexpr double most_seconds = 50;
#else
constexpr double most_seconds = 5;
#endif

double cpu_seconds() {
  return double(std::clock()) / CLOCKS_PER_SEC;
}

// Every stage kind of Llama-3.1-70B, from nothing: first, middle and last gangs of one LPX rack,
// and of nine racks of LPU v1 with a node for the head.
TEST(LpuTensorPrograms, Of70bCompileInFiveSeconds) {
  const auto network = network_of(small_network(80, 8192, 64, 8, 128, 28672, 128256));
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  const auto compile_all = [&](const char* name, const std::vector<Stage>& stages) {
    const Chip chip = lpu::testing::shipped().chip(name);
    const double begin = cpu_seconds();
    std::set<std::uint64_t> kinds;
    for (const Stage& stage : stages) {
      if (!kinds.insert(stage.key()).second) continue;
      static_cast<void>(
          lpu::compile_share(lpu::geometry_of(chip), lpu::latencies_of(chip), name, stage, 1, 256));
    }
    EXPECT_EQ(kinds.size(), 3U);
    return cpu_seconds() - begin;
  };
  const double lp30 = compile_all("lp30", partition_pipeline(network, byte, 16, 0, 16));
  const double v1 = compile_all("lpu_v1", partition_pipeline(network, byte, 80, 1, 8));
  testing::Test::RecordProperty("lp30_seconds", std::to_string(lp30));
  testing::Test::RecordProperty("lpu_v1_seconds", std::to_string(v1));
  EXPECT_LE(lp30, most_seconds);
  EXPECT_LE(v1, most_seconds);
}

}  // namespace
}  // namespace tandem::test
