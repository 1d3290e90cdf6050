// Do the plans of latent attention and its indexer do the work of their closed forms, and are
// requests dealt out as the published kernels do it?
#include <gtest/gtest.h>

#include "models/gpu/plan_indexer.hpp"
#include "models/gpu/plan_latent.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

GpuParams with_tensor_memory() {
  GpuParams params = params_of(large_chip());
  params.matrix_issue = MatrixIssue::TensorMemory;
  return params;
}

LatentAttentionKernel decode(std::int64_t requests, std::int64_t keys, std::int64_t heads) {
  LatentAttentionKernel shape;
  shape.spans.assign(static_cast<std::size_t>(requests), {1, keys});
  shape.heads = heads;
  shape.kv_rank = 512;
  shape.rope_dim = 64;
  return shape;
}

TEST(Latent, PlansDoTheWorkOfTheirClosedForms) {
  RandomStream random(20261121, "latent plans");
  const GpuParams chips[] = {params_of(large_chip()), params_of(round_chip()),
                             with_tensor_memory()};
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const GpuParams& params = chips[i % 3];
    LatentAttentionKernel latent = decode(0, 0, random.integer(1, 130));
    IndexerKernel indexer{{}, random.integer(1, 70), 128, 64};
    for (std::int64_t n = random.integer(1, 5); n > 0; --n) {
      const std::int64_t queries = i % 4 == 0 ? random.integer(1, 5) : 1;
      latent.spans.push_back({queries, queries + random.integer(0, 3000)});
    }
    indexer.spans = latent.spans;
    if (i % 5 == 0) latent.selected = random.integer(1, 600);
    if (i % 2 == 0) latent.kv = ElementType::Fp8E4m3;
    if (i % 6 == 0) latent.queries = ElementType::Fp8E4m3;
    latent.deal_kernel = i % 7 == 0;
    expect_closed_forms(params, kernel_of(latent));
    expect_closed_forms(params, kernel_of(indexer));
  }
}

TEST(Latent, DealtPartsCoverEveryKeyOnce) {
  // Three requests of 1000 keys, 16 turns of 64 each; 4 SMs: 3 (16 + 5) turns are 63, a share is
  // ceil(63 / 4) + 5 = 21. The first three parts take a request each, the fourth has nothing.
  const GpuParams params = params_of(round_chip());
  LatentTiling tiling;
  tiling.dealt = true;
  const auto segments = latent_segments(params, decode(3, 1000, 16), tiling);
  ASSERT_EQ(segments.size(), 3U);
  for (const LatentSegment& segment : segments) {
    EXPECT_EQ(segment.parts, 1);
    EXPECT_EQ(segment.key_end - segment.key_begin, 1000);
  }
}

TEST(Latent, LongRequestsAreCutAtTheSharesOfTheSms) {
  // One request of 2560 keys, 40 turns; share ceil(45 / 4) + 5 = 17, of which 5 are overhead: runs
  // of 12, 12, 12 and 4 turns.
  const GpuParams params = params_of(round_chip());
  LatentTiling tiling;
  tiling.dealt = true;
  const auto segments = latent_segments(params, decode(1, 2560, 16), tiling);
  ASSERT_EQ(segments.size(), 4U);
  EXPECT_EQ(segments[0].key_end, 12 * 64);
  EXPECT_EQ(segments[3].key_begin, 36 * 64);
  EXPECT_EQ(segments[3].key_end, 2560);
  EXPECT_EQ(segments[3].parts, 4);
}

TEST(Latent, HeadsArePaddedToSixtyFourRowsWithoutTensorMemory) {
  // 16 heads in tiles of 64 rows: a quarter of the products is useful, of 640 keys in whole tiles.
  const GpuParams params = params_of(round_chip());
  const PlanTotals totals = totals_of(plan_latent(params, decode(2, 640, 16)));
  EXPECT_EQ(totals.tensor, Flops(2 * 2 * 640 * 16 * 1088));
  EXPECT_EQ(totals.tensor_padded, 4 * totals.tensor);
}

TEST(Latent, TensorMemoryTakesFewHeadsInNarrowTiles) {
  // Up to 8 heads pad to 8, up to 32 to tiles of 16; 64 over many long requests to one of 64.
  const GpuParams params = with_tensor_memory();
  EXPECT_EQ(latent_tiling(params, decode(4, 4096, 6)).rows, 8);
  EXPECT_EQ(latent_tiling(params, decode(4, 4096, 32)).rows, 16);
  EXPECT_EQ(latent_tiling(params, decode(200, 4096, 64)).rows, 64);
  EXPECT_EQ(latent_tiling(params, decode(200, 4096, 128)).sharers, 2);
}

TEST(Latent, ValuesAreReadWithTheirKeys) {
  // Every latent is requested once per tile of heads: 2 requests of 640 keys of 576 elements, and
  // the queries once.
  const GpuParams params = params_of(round_chip());
  const PlanTotals totals = totals_of(plan_latent(params, decode(2, 640, 64)));
  const std::int64_t row = 576 * 2;
  const std::int64_t parts = (totals.requested.count() - 2 * 640 * row) / (64 * row);
  EXPECT_EQ(totals.requested, Bytes(2 * 640 * row + parts * 64 * row));
  EXPECT_GE(parts, 2);
}

}  // namespace
}  // namespace tandem::gpu
