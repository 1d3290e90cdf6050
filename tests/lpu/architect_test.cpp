// The architect's loop: chips with more SRAM, faster links, more planes or wider vectors compile
// unaided, and step and chip count move as closed forms say. The form is derived by hand: a layer
// of Llama-3.1-8B (hidden 4096, 32 heads, 8 KV heads of 128, inner 14336) in fp8, one block of KV.
//
// Tiles of 320 x 320, outputs x inputs: q 13 x 13, k and v 4 x 13 each, o 13 x 13, gate and up
// together 90 x 13, down 13 x 45. A plane takes every P-th row of tiles, so that with P planes the
// busiest loads
//   P = 4: 13 * (4 + 1 + 1 + 4 + 23) + 45 * 4 = 429 + 180 = 609 tiles
//   P = 8: 13 * (2 + 1 + 1 + 2 + 12) + 45 * 2 = 234 +  90 = 324 tiles
// and with tiles of 640 x 640 (q 7 x 7, k and v 2 x 7, o 7 x 7, gate and up 46 x 7, down 7 x 23)
//   P = 4: 7 * (2 + 1 + 1 + 2 + 12) + 23 * 2 = 126 + 46 = 172 tiles.
// A tile takes its LW issues and one install. Between chips 13 (7) vectors of fp32 travel as 52
// (28) one link interval apart, in and out.
#include <gtest/gtest.h>

#include "models/lpu/compiler/gemm.hpp"
#include "models/lpu/partition/partition.hpp"
#include "models/lpu/verifier.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

using lpu::Geometry;
using lpu::LatencyTable;

struct Design {
  const char* name;
  Geometry geometry;
  LatencyTable latencies;
  std::int64_t streams;  ///< by hand: cycles of the weight path
  std::int64_t links;    ///< by hand: between the first and the last vector, in and out
  std::int64_t latency;  ///< by hand: added to the base's
};

Geometry with(Geometry geometry, void (*change)(Geometry&)) {
  change(geometry);
  return geometry;
}

void double_rows(Geometry& geometry) {
  geometry.rows_per_bank *= 2;
}
void widen(Geometry& geometry) {
  geometry.superlanes = 40;
  geometry.plane_rows = geometry.plane_columns = 640;
}
// More planes on the same SRAM ports: each gets half as many weight streams.
void split_planes(Geometry& geometry) {
  geometry.planes = 8;
  geometry.weight_streams_per_plane /= 2;
}
// 40 superlanes: a switch across them takes 3 + 39 cycles, a plane 20 supercell columns more.
LatencyTable wide_latencies() {
  LatencyTable table;
  table.sxm_cross = 42;
  table.mxm_result = 46;
  return table;
}

// A layer takes 225 MB and an LPU v1 has 231 MB with its buffers in them: twice the rows for all.
Geometry v1_base() {
  return with(lpu_v1_geometry(), double_rows);
}

std::int64_t step_of(const Geometry& geometry, const LatencyTable& latencies) {
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  const auto pipeline =
      partition_pipeline(network_of(small_network(3, 4096, 32, 8, 128, 14336, 320)), byte, 3, 1);
  const auto stage =
      lpu::compile_stage(geometry, latencies, "chip", pipeline.at(1), 1, geometry.lanes());
  return stage.cycles.base;
}

// What the base spends beside streams and links the design spends too, and what its latencies add.
void expect_moves(const Design& base, const Design& design) {
  const std::int64_t before = step_of(base.geometry, base.latencies);
  const std::int64_t predicted =
      before - base.streams - base.links + design.streams + design.links + design.latency;
  const std::int64_t step = step_of(design.geometry, design.latencies);
  std::printf("%-26s %6lld cycles, closed form %6lld; %s %6lld\n", design.name,
              static_cast<long long>(step), static_cast<long long>(predicted), base.name,
              static_cast<long long>(before));
  EXPECT_LE(std::abs(double(step) / double(predicted) - 1), 0.06) << design.name;
}

// Rows cost no cycles.
TEST(LpuArchitect, TwiceTheRowsTakeAsManyCycles) {
  for (const Geometry& geometry : {v1_base(), lp30_geometry()}) {
    EXPECT_EQ(step_of(with(geometry, double_rows), {}), step_of(geometry, {}));
  }
}

// 51 intervals between the first vector and the last: all of the way in, and of the way out what is
// not hidden behind the last product.
TEST(LpuArchitect, FasterLinksSaveTheWayInAndUpToTheWayOut) {
  const auto saved = [](const Geometry& geometry, int interval) {
    Geometry faster = geometry;
    faster.links[0].cycles_per_vector = interval;
    return step_of(geometry, {}) - step_of(faster, {});
  };
  const std::int64_t v1 = saved(v1_base(), 14);
  EXPECT_GE(v1, 51 * (27 - 14));
  EXPECT_LE(v1, 2 * 51 * (27 - 14));
  const std::int64_t lp30 = saved(lp30_geometry(), 5);
  EXPECT_GE(lp30, 51 * (10 - 5));
  EXPECT_LE(lp30, 2 * 51 * (10 - 5));
}

TEST(LpuArchitect, MorePlanesMoveTheStreamsOfWeights) {
  const Design v1{"v1", v1_base(), {}, 609 * 21, 0, 0};
  const auto planes = [](Geometry& g) {
    g.planes = 8;
    g.streams_per_direction = 64;
  };
  expect_moves(v1, {"planes and streams x2", with(v1.geometry, planes), {}, 324 * 21, 0, 0});
  expect_moves(v1, {"planes x2", with(v1.geometry, split_planes), {}, 324 * 41, 0, 0});
  const Design lp30{"LP30", lp30_geometry(), {}, 609 * 5, 0, 0};
  expect_moves(lp30, {"planes x2", with(lp30.geometry, split_planes), {}, 324 * 9, 0, 0});
}

// Latencies of twice as many lanes, which add up along the layer's path:
// - two norms and the maximum over lanes: five rounds (4, 4, 4, 5, 2) of 42 and the way to the
// switch
//   unit and back instead of four of 22. LP30 (41 hops): 5 * 124 + 20 - (4 * 104 + 18) = 206 each;
//   v1 (23 hops): 5 * 88 + 20 - (4 * 68 + 18) = 170 each
// - seven products, 20 longer; two more permutations, 20 longer; the last superlane, 20 later
// - values of four heads instead of two in a pack: 256 more channels turned on the busiest plane
// - the first tile of five phases: 4 more LW issues on LP30, 20 on v1
TEST(LpuArchitect, WiderVectorsMoveStreamsLinksAndLatencies) {
  const std::int64_t both = 7 * 20 + 2 * 20 + 20 + 256;
  const Design v1{"v1", v1_base(), {}, 609 * 21, 2 * 51 * 27, 0};
  expect_moves(v1, {"640 lanes", with(v1.geometry, widen), wide_latencies(), 172 * 41, 2 * 27 * 27,
                    3 * 170 + both + 5 * 20});
  const Design lp30{"LP30", lp30_geometry(), {}, 609 * 5, 2 * 51 * 10, 0};
  expect_moves(lp30, {"640 lanes", with(lp30.geometry, widen), wide_latencies(), 172 * 9,
                      2 * 27 * 10, 3 * 206 + both + 5 * 4});
}

// Tiles of a layer: 13 * 13 + 2 * 4 * 13 + 13 * 13 + 90 * 13 + 13 * 45 = 2,197 of 102,400 B; KV of
// 8,192 tokens: ceil(2048 / 320) = 7 vectors each, 18,350,080 B; 32 layers and a head of 401 * 13
// tiles: 8,320,143,360 B. Nine tenths of an LP30 are 450,017,280 B, of a v1 207,618,048 B:
// 18.5 and 40.1 chips, half of that with twice the rows. Tiles of 640: 609 of 409,600 B, KV 4
// vectors each, head 201 * 7 tiles: 9,229,680,640 B in twice the SRAM: 10.3 and 22.2 chips.
TEST(LpuArchitect, ChipsFollowFromCapacity) {
  const auto chips = [](const char* fabric, void (*change)(Geometry&)) {
    const lpu::testing::ShippedFabric racks(fabric, {1});
    const NeuralNetwork network = lpu::testing::shipped().network("llama-3.1-8b");
    return lpu::partitions_of(network, racks.topology, with(racks.geometry, change),
                              racks.latencies, {})
        .front()
        .chips;
  };
  const auto as_is = [](Geometry&) {};
  EXPECT_EQ(chips("lp30_lpx", as_is), 19);
  EXPECT_EQ(chips("lp30_lpx", double_rows), 10);
  EXPECT_EQ(chips("lp30_lpx", widen), 11);
  EXPECT_EQ(chips("lp30_lpx", split_planes), 19);
  EXPECT_EQ(chips("lpu_v1_quadfour", as_is), 41);
  EXPECT_EQ(chips("lpu_v1_quadfour", double_rows), 21);
  EXPECT_EQ(chips("lpu_v1_quadfour", widen), 23);
}

// Programs for such chips are sound: the verifier knows their geometry too.
TEST(LpuArchitect, ProgramsOfOtherDesignsAreFreeOfHazards) {
  for (const Geometry& geometry :
       {with(lp30_geometry(), split_planes), with(lpu_v1_geometry(), widen)}) {
    const auto gemm = lpu::compile_gemm(geometry, {}, "chip", {2, 1300, 3000, lpu::Type::Fp8E4m3});
    for (const auto& fault : lpu::verify(gemm.program, geometry, {})) {
      ADD_FAILURE() << lpu::format_violation(fault);
    }
  }
}

}  // namespace
}  // namespace tandem::test
