#include "models/lpu/compiler/memory_map.hpp"

#include <gtest/gtest.h>

#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::Hemisphere;

// Two layers, the head, two slots of two blocks, on vectors of 320.
lpu::StageLayout two_layers() {
  DenseDecoder network;
  network.layers = 2;
  network.hidden = 640;
  network.heads = 8;
  network.kv_heads = 4;
  network.head_dim = 64;
  network.intermediate = 960;
  network.vocabulary = 1000;
  network.max_context = 640;
  Stage stage;
  stage.network = network_of(network);
  stage.layers = 2;
  stage.has_embedding = true;
  stage.head_end = 1000;
  stage.precision.weights = stage.precision.kv_cache = ElementType::Fp8E4m3;
  return lpu::make_layout(lpu_v1_geometry(), stage, 2, 640);
}

constexpr std::int64_t rows_of_factors = 4;  // of a one-byte matrix, fp32

std::int64_t rows_of(const lpu::MemoryMap& map, const std::string& name) {
  std::int64_t rows = 0;
  for (const auto& region : map.regions) {
    if (region.name.find(name) != std::string::npos) rows += region.rows;
  }
  return rows;
}

// A tile of 320 x 320 bytes is 320 rows. q, k, v: 8 and 4 heads of 64, four per vector: 2 vectors
// of q, 1 of k and v, from 2 vectors of the hidden state. One fp32 factor per output vector set:
// four rows per matrix.
TEST(LpuMemoryMap, WeightsTakeTheirTilesAndFactors) {
  const lpu::MemoryMap map = lpu::memory_map(lpu_v1_geometry(), two_layers());
  EXPECT_EQ(rows_of(map, "layer 0: q"), 2 * 2 * 320 + 4);
  EXPECT_EQ(rows_of(map, "layer 1: k"), 1 * 2 * 320 + 4);
  EXPECT_EQ(rows_of(map, "layer 1: gate"), 3 * 2 * 320 + 4);
  EXPECT_EQ(rows_of(map, "layer 0: down"), 2 * 3 * 320 + 4);
  EXPECT_EQ(rows_of(map, "head"), 4 * 2 * 320 + 4 + rows_of(map, "masks of heads") +
                                      rows_of(map, "q by head") + rows_of(map, "best of the head"));
}

TEST(LpuMemoryMap, TilesAndCacheAreWhatTheLayoutCounts) {
  const lpu::StageLayout layout = two_layers();
  const lpu::MemoryMap map = lpu::memory_map(lpu_v1_geometry(), layout);
  EXPECT_EQ(rows_of(map, "KV "), layout.kv_rows);
  std::int64_t tiles = -15 * rows_of_factors;  // seven matrices in two layers, the head
  for (const char* matrix : {": q", ": k", ": v", ": o", ": gate", ": up", ": down"}) {
    tiles += rows_of(map, matrix);
  }
  for (const auto& region : map.regions) tiles += region.name == "head" ? region.rows : 0;
  EXPECT_EQ(tiles, layout.weight_rows);
  std::int64_t all = 0;
  for (const auto& region : map.regions) all += region.rows;
  EXPECT_LE(all, map.rows_used);
  EXPECT_LE(map.rows_used, map.rows_there);
}

// Nothing lies outside of what is handed out, and the runs of slices cover the chip once.
TEST(LpuMemoryMap, RegionsLieWithinTheFilledRows) {
  const lpu::Geometry geometry = lpu_v1_geometry();
  const lpu::MemoryMap map = lpu::memory_map(geometry, two_layers());
  int slices = 0;
  for (const auto& fill : map.fill) slices += fill.last_slice - fill.first_slice + 1;
  EXPECT_EQ(slices, geometry.mem_slices());
  for (const auto& region : map.regions) {
    int deepest = 0;
    for (const auto& fill : map.fill) {
      const bool meets = fill.side == region.side && fill.first_slice <= region.last_slice &&
                         fill.last_slice >= region.first_slice;
      if (meets) deepest = std::max(deepest, fill.rows);
    }
    EXPECT_LT(region.last_row, deepest) << region.name;
  }
}

}  // namespace
}  // namespace tandem::test
