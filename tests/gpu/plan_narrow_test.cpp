// Products of narrow types and their quantisation: do plans do exactly the work of the closed
// forms, in the tiles that the libraries run?
#include <gtest/gtest.h>

#include "models/gpu/gemm_tiling.hpp"
#include "models/gpu/library_tiles.hpp"
#include "models/gpu/machine.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/formats/quant_format.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {
using namespace literals;

/// Data-centre Blackwell's kind of tensor units on 148 SMs.
GpuParams tensor_memory(ProductLibrary library) {
  Chip chip = with(with(with(large_chip(), "matrix_issue", 2), "peak_fp4", 9e15), "sms", 148);
  GpuParams params = params_of(chip);
  params.product_library = library;
  return params;
}

GpuParams warpgroups(ProductLibrary library) {
  GpuParams params = params_of(large_chip());
  params.product_library = library;
  return params;
}

GemmKernel product(std::int64_t m, std::int64_t n, std::int64_t k, const char* precision) {
  GemmKernel gemm{m, n, k, ElementType::Bfloat16, ElementType::Bfloat16};
  gemm.precision = &formats::find_precision(precision);
  return gemm;
}

struct Tile {
  std::int64_t m, n, k;
};

void expect_tile(const GpuParams& params, const GemmKernel& gemm, const Tile& tile) {
  const GemmTiling chosen = choose_tiling(params, gemm);
  EXPECT_EQ(chosen.tile_m, tile.m);
  EXPECT_EQ(chosen.tile_n, tile.n);
  EXPECT_EQ(chosen.slice_k, tile.k);
  EXPECT_EQ(chosen.split, 1);
}

TEST(LibraryTiles, VllmTakesTheTileOfFp8ProductsFromTheNumberOfRows) {
  const GpuParams params = warpgroups(ProductLibrary::Vllm);
  expect_tile(params, product(16, 4096, 4096, "fp8"), {16, 64, 256});
  expect_tile(params, product(17, 1280, 4096, "fp8"), {16, 64, 256});
  expect_tile(params, product(17, 1536, 4096, "fp8"), {64, 64, 256});
  expect_tile(params, product(65, 4096, 4096, "fp8"), {64, 128, 128});
  expect_tile(params, product(129, 4096, 65536, "fp8"), {128, 128, 128});
  expect_tile(params, product(4, 4096, 4096, "fp8_block"), {128, 128, 128});
}

TEST(LibraryTiles, TensorRtRunsFourBitProductsInOneTile) {
  const GpuParams params = tensor_memory(ProductLibrary::TensorRtLlm);
  expect_tile(params, product(1, 128, 65536, "nvfp4"), {128, 256, 256});
  // A cluster of one CTA: no pair that shares the weights.
  const GemmKernel gemm = product(512, 512, 4096, "nvfp4");
  const GemmTiling tiling = choose_tiling(params, gemm);
  EXPECT_EQ(sharers_of_b(params, grid_of(gemm, tiling), tiling), 1);
}

TEST(LibraryTiles, FlashInferTakesSmallTilesUntilTheWavesAreFull) {
  const GpuParams params = tensor_memory(ProductLibrary::Vllm);
  // 64 rows x 512 columns, one wave with any tile: the score falls with the area of the tile and
  // with its imbalance, so 128 x 64 is best: balance (1/2)^(1/4) / sqrt(8192) = 0.0093 against
  // 1 / 128 = 0.0078 of 128 x 128.
  expect_tile(params, product(64, 512, 4096, "nvfp4"), {128, 64, 256});
  // 8192 rows count as 4096: 128 x 256 make 1024 tiles in seven waves of 148, throughput 0.595,
  // score 4096 x 1024 x 0.595 / (128 x 1036) = 18.8; 128 x 192: 16.3; 128 x 128: 15.8; 256 x 256:
  // 13.8. Tiles of 128 rows are those of a single CTA.
  expect_tile(params, product(8192, 8192, 8192, "nvfp4"), {128, 256, 256});
  EXPECT_FALSE(choose_tiling(params, product(8192, 8192, 8192, "nvfp4")).clusters);
  // Eight rows become the columns of tiles along the outputs.
  expect_tile(params, product(8, 4096, 4096, "nvfp4"), {64, 128, 256});
}

TEST(LowPrecision, FewRowsAreMultipliedAsVectors) {
  // Four rows of int8 and fifteen of weight-only formats: threads share a column, so K is divided
  // and the tile is no higher than a tensor instruction. One row more: a plain tile without split.
  GpuParams params = params_of(with(large_chip(), "matrix_issue", 0));
  params.product_library = ProductLibrary::TensorRtLlm;
  for (const auto& [name, rows] : {std::pair{"int8", 4}, std::pair{"int4_wo", 15}}) {
    const GemmKernel few = product(rows, 256, 65536, name);
    EXPECT_EQ(choose_tiling(params, few).tile_m, 16) << name;
    EXPECT_GT(choose_tiling(params, few).split, 1) << name;
    expect_closed_forms(params, kernel_of(few));
    const GemmKernel more = product(rows + 1, 256, 65536, name);
    EXPECT_GT(choose_tiling(params, more).tile_m, 16) << name;
    EXPECT_EQ(choose_tiling(params, more).split, 1) << name;
    expect_closed_forms(params, kernel_of(more));
  }
}

TEST(LibraryTiles, ClustersReachBeyondTheOutput) {
  // 257 rows in tiles of 128: three rows of tiles, launched as four. The fourth multiplies zeros.
  const GpuParams params = warpgroups(ProductLibrary::Vllm);
  const GemmKernel gemm = product(257, 256, 256, "fp8");
  const PlanTotals totals = totals_of(plan_kernel(params, kernel_of(gemm)));
  EXPECT_EQ(totals.ctas, 4 * 2);
  EXPECT_EQ(totals.tensor, Flops(2 * 257 * 256 * 256));
  EXPECT_EQ(totals.tensor_padded, Flops(2 * 512 * 256 * 256));
  EXPECT_EQ(totals.store, Bytes(257 * 256 * 2));
}

TEST(LowPrecision, ScalesOfABlockGoToTensorMemoryBetweenItsInstructions) {
  // A tile of 128 x 256 and 256 elements: 16 scales of 128 + 256 rows, 6144 bytes in four copies of
  // 128 bytes per clock: 192 clocks. A tile of 64 columns takes the lanes of 128: 128 clocks.
  const GpuParams params = tensor_memory(ProductLibrary::TensorRtLlm);
  const ProductFormat format = product_format(product(1, 1, 256, "nvfp4"));
  GemmTiling tiling;
  tiling.tile_n = 256;
  EXPECT_EQ(scale_copies(params, format, tiling, 256), 6144);
  tiling.tile_n = 64;
  EXPECT_EQ(scale_copies(params, format, tiling, 256), 4096);
  EXPECT_EQ(scale_copies(warpgroups(ProductLibrary::Chosen), format, tiling, 256), 0);
}

TEST(LowPrecision, CopiesOfScalesHoldTensorWorkUp) {
  // 128 x 256 tiles of K = 64 and 128 slices: the 64 more take 192 clocks of copies each beyond
  // their products. The same products without copies: no fp4 block scales known to the plan.
  GpuParams params = tensor_memory(ProductLibrary::TensorRtLlm);
  const auto time = [&](std::int64_t slices) {
    const GemmKernel gemm = product(1, 16, slices * 256, "nvfp4");
    return Machine(params).run(plan_kernel(params, kernel_of(gemm)), {}).time;
  };
  const double product_ns = 2.0 * 128 * 256 * 256 / (9e15 / 148 * params.matrix_efficiency) * 1e9;
  const double copies_ns = 192 / 1.83;
  const double handoff_ns = to_seconds(params.stage_handoff) * 1e9;
  const double measured = to_seconds(time(128) - time(64)) * 1e9 / 64;
  EXPECT_NEAR(measured, product_ns + copies_ns + handoff_ns, 0.02 * measured);
}

TEST(PlanNarrow, ProductsMatchTheClosedForms) {
  RandomStream random(11, "narrow products");
  for (int i = 0; i < 40; ++i) {
    const std::int64_t m = random.integer(1, 700);
    const std::int64_t n = 128 * random.integer(1, 6);
    const std::int64_t k = 128 * random.integer(1, 12);
    for (const char* name : {"fp8", "fp8_block", "int8", "int8_wo"}) {
      for (const auto library : {ProductLibrary::Chosen, ProductLibrary::Vllm}) {
        expect_closed_forms(warpgroups(library), kernel_of(product(m, n, k, name)));
      }
    }
    for (const char* name : {"fp8", "nvfp4"}) {
      for (const auto library : {ProductLibrary::TensorRtLlm, ProductLibrary::Vllm}) {
        expect_closed_forms(tensor_memory(library), kernel_of(product(m, n, k, name)));
      }
    }
  }
}

TEST(PlanNarrow, BatchesRepeatOneProduct) {
  // 16 heads of 5 x 192 x 512: 16 x 2 x 5 x 192 x 512 operations; weights of each head once.
  BatchedGemmKernel batched;
  batched.batch = 16;
  batched.m = 5;
  batched.n = 192;
  batched.k = 512;
  const GpuParams params = warpgroups(ProductLibrary::Chosen);
  const PlanTotals totals = totals_of(plan_kernel(params, kernel_of(batched)));
  EXPECT_EQ(totals.tensor, Flops(16LL * 2 * 5 * 192 * 512));
  EXPECT_EQ(totals.store, Bytes(16 * 5 * 192 * 2));
  expect_closed_forms(params, kernel_of(batched));
}

TEST(PlanNarrow, QuantisationReadsItsRowsOncePerSearchAndOnce) {
  const GpuParams params = warpgroups(ProductLibrary::Chosen);
  QuantiseKernel rows{300, 1024, &formats::find_precision("fp8")};
  expect_closed_forms(params, kernel_of(rows));
  EXPECT_EQ(totals_of(plan_kernel(params, kernel_of(rows))).requested, Bytes(300 * 1024 * 2));
  rows.scales = ScaleOrigin::Tensor;
  expect_closed_forms(params, kernel_of(rows));
  EXPECT_EQ(totals_of(plan_kernel(params, kernel_of(rows))).requested, Bytes(2 * 300 * 1024 * 2));
  QuantiseKernel blocks{7, 1024, &formats::find_precision("fp8_block")};
  expect_closed_forms(params, kernel_of(blocks));
}

}  // namespace
}  // namespace tandem::gpu
