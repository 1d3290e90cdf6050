// How close schedules come to what the chip allows: products to the weight path and to the peak of
// the planes, a layer to its floor. Shares are of whole programs, barrier and last superlane
// included.
#include <gtest/gtest.h>

#include "models/lpu/compiler/gemm.hpp"
#include "models/lpu/stage_floor.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::CompiledGemm;
using lpu::GemmShape;
using lpu::LatencyTable;
using lpu::Type;

// Cycles of a product that only the weight path limits: LW of every tile of the busiest plane.
double share_of_stream_bound(const lpu::Geometry& geometry, const GemmShape& shape) {
  const CompiledGemm gemm = lpu::compile_gemm(geometry, LatencyTable{}, "chip", shape);
  EXPECT_GE(gemm.tile_steps(geometry), 200);
  const auto bound = double(gemm.tile_steps(geometry) * geometry.lw_issues());
  return bound / double(gemm.cycles);
}

// 8 rounds of 26 tiles: 208 steps. One install per tile caps v1 at 20/21 and LP30 at 4/5. A pair of
// planes with two-byte weights has no stream left for its activation while it loads: 20/22.
TEST(LpuGemv, KeepsTheWeightPathBusy) {
  const lpu::Geometry v1 = lpu_v1_geometry();
  const GemmShape one_byte{1, 26 * 320, 32 * 320, Type::Fp8E4m3};
  EXPECT_GE(share_of_stream_bound(v1, one_byte), 0.90);
  EXPECT_GE(share_of_stream_bound(lp30_geometry(), one_byte), 0.70);
  const GemmShape two_byte{1, 26 * 320, 16 * 320, Type::Float16};
  EXPECT_GE(share_of_stream_bound(v1, two_byte), 0.88);
  EXPECT_GE(share_of_stream_bound(lp30_geometry(), two_byte), 0.70);
}

// Useful products over those of all planes in every cycle.
double share_of_peak(const lpu::Geometry& geometry, const GemmShape& shape) {
  const CompiledGemm gemm = lpu::compile_gemm(geometry, LatencyTable{}, "chip", shape);
  const double products = double(shape.m) * double(shape.k) * double(shape.n);
  const double rate = double(geometry.planes) * geometry.plane_rows * geometry.plane_columns /
                      (lpu::streams_of(shape.type) == 2 ? 4 : 1);
  return products / rate / double(gemm.cycles);
}

TEST(LpuGemm, ReachesNineTenthsOfThePeak) {
  EXPECT_GE(share_of_peak(lpu_v1_geometry(), {1024, 4096, 1280, Type::Int8}), 0.90);
  EXPECT_GE(share_of_peak(lp30_geometry(), {1024, 4096, 1280, Type::Fp8E4m3}), 0.90);
  EXPECT_GE(share_of_peak(lpu_v1_geometry(), {1024, 4096, 1280, Type::Float16}), 0.90);
}

// Per block at most 1.5 times what the busiest unit works: the 8B layer on one LP30, and a slice of
// a 70B layer (one kv head with 8 or 4 q heads).
TEST(LpuLoops, ComeNearTheirBusiestUnit) {
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  for (const auto& [heads, kv_heads] : {std::pair{32, 8}, std::pair{8, 1}, std::pair{4, 1}}) {
    const Stage stage = whole_model(small_network(1, 1280, heads, kv_heads, 128, 1280, 320), byte);
    const auto compiled =
        lpu::compile_stage(lp30_geometry(), LatencyTable{}, "chip", stage, 1, 32 * 320);
    std::int64_t bound = 0;
    for (const auto& loop : compiled.loops) bound += loop.bound;
    EXPECT_LE(double(compiled.cycles.per_iteration), 1.5 * double(bound)) << heads;
  }
}

// A layer of Llama-3.1-8B in fp8 on one LP30: by itself (with a head of one vector, so that nothing
// crosses a link), and in the middle of a pipeline.
TEST(LpuLayer, OfLlama8bIsWithinAQuarterOfItsFloorOnLp30) {
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  const auto geometry = lp30_geometry();
  const auto ratio = [&](const Stage& stage, std::int64_t most, std::int64_t blocks) {
    const auto compiled =
        lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 1, most * 320);
    const auto floor = lpu::floor_of_stage(geometry, LatencyTable{}, stage, blocks * 320);
    return double(compiled.cycles.at(blocks)) / double(floor.cycles());
  };
  const Stage alone = whole_model(small_network(1, 4096, 32, 8, 128, 14336, 320), byte);
  EXPECT_LE(ratio(alone, 1, 1), 1.25);
  EXPECT_LE(ratio(alone, 32, 1), 1.25);
  EXPECT_LE(ratio(alone, 32, 32), 1.25);
  const auto pipeline =
      partition_pipeline(network_of(small_network(3, 4096, 32, 8, 128, 14336, 320)), byte, 3, 1);
  EXPECT_LE(ratio(pipeline.at(1), 1, 1), 1.25);
}

// Tiles that are installed for one token serve the others: measured 1.65.
TEST(LpuLayer, OfLlama8bTakesFourTokensInLessThanTwoAndAHalfTimesOne) {
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  const Stage stage = whole_model(small_network(1, 4096, 32, 8, 128, 14336, 320), byte);
  const auto cycles = [&](int tokens) {
    return lpu::compile_stage(lp30_geometry(), LatencyTable{}, "chip", stage, tokens, 320, {},
                              {tokens})
        .cycles.base;
  };
  EXPECT_LT(double(cycles(4)), 2.5 * double(cycles(1)));
}

}  // namespace
}  // namespace tandem::test
