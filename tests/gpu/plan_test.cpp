// Do plans do exactly the work of the closed forms?
#include <gtest/gtest.h>

#include <algorithm>

#include "models/gpu/machine.hpp"
#include "models/gpu/plan_attention.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "models/gpu/plan_stream_k.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

TEST(Plan, LoopTurnsCoverAllUnitsOnce) {
  // 1, 1, 2, 2, 4, 4, ... but at most 3 each: 0 1 2 4 6 9 10.
  EXPECT_EQ(loop_turns(10, 3), (std::vector<std::int64_t>{0, 1, 2, 4, 6, 9, 10}));
  EXPECT_EQ(loop_turns(1, 8), (std::vector<std::int64_t>{0, 1}));
}

TEST(Plan, RasterVisitsEveryTileOnce) {
  const GemmGrid grid{11, 7, 1, 1};
  std::vector<int> seen(11 * 7 * 2);
  for (std::int64_t cta = 0; cta < 11 * 7 * 2; ++cta) {
    const TileCoordinates c = raster(grid, raster_group, cta);
    ASSERT_LT(c.m, 11);
    ASSERT_LT(c.n, 7);
    ++seen[static_cast<std::size_t>((c.m * 7 + c.n) * 2 + c.split)];
  }
  for (const int count : seen) EXPECT_EQ(count, 1);
}

TEST(Plan, GemmRequestsEachOperandOncePerTileOfTheOther) {
  // 200 x 300 x 100 in 128 x 128 tiles: 2 x 3 tiles. A (200 x 100) is read by 3 columns, B
  // (300 x 100) by 2 rows, the residual (200 x 300) once: 2 (60000 + 60000 + 60000) bytes.
  const GpuParams params = params_of(large_chip());
  const GemmKernel gemm{200, 300, 100, ElementType::Bfloat16, ElementType::Bfloat16, true};
  GemmTiling tiling;
  const PlanTotals totals = totals_of(plan_gemm_with(params, gemm, tiling));
  EXPECT_EQ(totals.requested, Bytes(360000));
  EXPECT_EQ(totals.tensor, Flops(2 * 200 * 300 * 100));
  // Six tiles of 128 x 128 and two slices of 64.
  EXPECT_EQ(totals.tensor_padded, Flops(6 * 2 * 128 * 128 * 128));
  EXPECT_EQ(totals.store, Bytes(120000));
  EXPECT_EQ(totals.workspace, Bytes(0));
}

TEST(Plan, ACtaPairLoadsEachTileOfTheWeightsOnce) {
  // 384 x 256 x 100 in 128 x 128 tiles: 3 x 2. Pairs along M load half of B (128 x 100) each; the
  // third row has no partner and loads all of it: 2 tiles of B for each of 2 columns. A (128 x 100)
  // six times.
  const GpuParams params = params_of(with(large_chip(), "matrix_issue", 2));
  const GemmKernel gemm{384, 256, 100, ElementType::Bfloat16, ElementType::Bfloat16};
  const PlanTotals totals = totals_of(plan_gemm_with(params, gemm, GemmTiling{}));
  EXPECT_EQ(totals.requested, Bytes((6 + 2 * 2) * 128 * 100 * 2));
  EXPECT_EQ(totals.tensor, Flops(2 * 384 * 256 * 100));
}

TEST(Plan, SplitKWritesAndReadsPartialSums) {
  const GpuParams params = params_of(large_chip());
  const GemmKernel gemm{64, 128, 1024, ElementType::Bfloat16, ElementType::Bfloat16, true};
  GemmTiling tiling;
  tiling.tile_m = 64;
  tiling.split = 4;
  const PlanTotals totals = totals_of(plan_gemm_with(params, gemm, tiling));
  // Four partial tiles of 64 x 128 floats out and in again; the output once.
  EXPECT_EQ(totals.workspace, Bytes(2 * 4 * 64 * 128 * 4));
  EXPECT_EQ(totals.store, Bytes(64 * 128 * 2));
  EXPECT_EQ(totals.tensor, Flops(2 * 64 * 128 * 1024));
  EXPECT_EQ(totals.vector, Flops(64 * 128));
}

/// Time of a plan with the repetitions of its grid skipped, over the time with all of them run.
double skipped_over_full(const GpuParams& params, KernelPlan plan) {
  const KernelTiming skipped = Machine(params).run(plan, {});
  EXPECT_GT(skipped.skipped, Picoseconds(0));
  for (PlanPhase& phase : plan.phases) phase.period = 0;
  const KernelTiming full = Machine(params).run(plan, {});
  EXPECT_EQ(full.skipped, Picoseconds(0));
  EXPECT_NEAR(to_seconds(skipped.tensor_busy) / to_seconds(full.tensor_busy), 1, 0.01);
  return to_seconds(skipped.time) / to_seconds(full.time);
}

TEST(Plan, SkippedRoundsOfALargeProductTakeTheTimeOfRunOnes) {
  const GpuParams params = params_of(large_chip());
  const GemmKernel gemm{8192, 12288, 5120, ElementType::Bfloat16, ElementType::Bfloat16};
  EXPECT_NEAR(skipped_over_full(params, plan_kernel(params, kernel_of(gemm))), 1, 0.02);
}

TEST(Plan, SkippedRequestsAndHeadsOfAttentionTakeTheTimeOfRunOnes) {
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape;
  shape.heads = 64;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  shape.spans.assign(8, {2048, 2048});
  EXPECT_NEAR(skipped_over_full(params, plan_kernel(params, kernel_of(shape))), 1, 0.02);
}

TEST(Plan, AttentionTimeGrowsWithTheRequestsWhereRepetitionsAreSkipped) {
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape;
  shape.heads = 64;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  const auto per_request = [&](std::size_t requests) {
    shape.spans.assign(requests, {2048, 2048});
    return to_seconds(Machine(params).run(plan_kernel(params, kernel_of(shape)), {}).time) /
           static_cast<double>(requests);
  };
  // The budget of simulated turns lies between 4 and 8 requests.
  EXPECT_NEAR(per_request(8) / per_request(4), 1, 0.02);
  EXPECT_NEAR(per_request(64) / per_request(8), 1, 0.02);
}

TEST(Plan, StreamKDealsEveryChunkOutOnceAndEvenly) {
  // 10 tiles of 6 chunks on 4 CTAs: one wave of whole tiles, then 36 chunks in shares of 9.
  const auto segments = stream_k_segments(10, 6, 4);
  std::vector<int> seen(60);
  std::int64_t divided = 0;
  for (const StreamKSegment& s : segments) {
    for (std::int64_t chunk = s.begin; chunk < s.end; ++chunk) {
      ++seen[static_cast<std::size_t>(s.tile * 6 + chunk)];
    }
    divided += s.parts > 1;
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), 60);
  // Shares of 9 end inside the second and the fifth of the six tiles: two tiles in two parts.
  EXPECT_EQ(divided, 4);
  EXPECT_EQ(stream_k_segments(8, 6, 4).size(), 8U);  // full waves stay whole
  EXPECT_EQ(stream_k_segments(1, 3, 4).size(), 3U);  // fewer chunks than CTAs
}

TEST(Plan, StreamKDoesTheWorkOfTheProductAndFillsTheLastWave) {
  GpuParams params = params_of(large_chip());
  // 1 x 141 tiles of 128 x 256 on 132 SMs: 9 tiles alone in a second wave.
  const GemmKernel gemm{128, 141 * 256, 4096, ElementType::Bfloat16, ElementType::Bfloat16, true};
  GemmTiling tiling;
  tiling.tile_n = 256;
  const KernelPlan plan = plan_stream_k(params, gemm, tiling);
  const PlanTotals totals = totals_of(plan);
  const KernelWork work = work_of(kernel_of(gemm));
  EXPECT_EQ(totals.tensor, work.matrix);
  EXPECT_EQ(totals.vector, work.vector);
  EXPECT_EQ(totals.store, work.write_bytes);
  const Picoseconds waves = Machine(params).run(plan_gemm_with(params, gemm, tiling), {}).time;
  const Picoseconds even = Machine(params).run(plan, {}).time;
  EXPECT_LT(even, waves);
  // Not below the whole work at the rate of all SMs.
  const double peak = params.matrix_peak(MatrixPipe::Bfloat16).count() * params.matrix_efficiency;
  EXPECT_GT(to_seconds(even), static_cast<double>(work.matrix.count()) / peak);
}

TEST(Plan, ClampedSums) {
  // 3 + 3 + 4 + 5 + 6 + 6 for clamp(2..7, 3, 6).
  EXPECT_EQ(sum_clamped(2, 6, 3, 6), 27);
  EXPECT_EQ(sum_clamped(10, 3, 0, 5), 15);
  EXPECT_EQ(sum_clamped(-9, 3, 2, 5), 6);
}

TEST(Plan, CausalPairsOfATile) {
  AttentionKernel shape;
  // 4 queries over 6 keys: query i stands at 2 + i and sees 3, 4, 5, 6 keys; of keys 4 and 5 they
  // see 0, 0, 1, 2.
  EXPECT_EQ(visible_pairs(shape, {4, 6}, 0, 4, 0, 6), 18);
  EXPECT_EQ(visible_pairs(shape, {4, 6}, 0, 4, 4, 6), 3);
  shape.window = 2;
  EXPECT_EQ(visible_pairs(shape, {4, 6}, 0, 4, 0, 6), 8);
}

TEST(Plan, DecodeAttentionReadsTheCacheOnce) {
  // 3 requests of 1000 keys, 8 KV heads of 128: 2 x 3 x 1000 x 1024 values; queries of 32 heads are
  // read once per split.
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape;
  shape.spans = {{1, 1000}, {1, 1000}, {1, 1000}};
  shape.heads = 32;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  const PlanTotals totals = totals_of(plan_kernel(params, kernel_of(shape)));
  const std::int64_t cache = 2 * 3 * 1000 * 1024 * 2;
  const std::int64_t queries = 3 * 32 * 128 * 2;
  EXPECT_GE(totals.requested, Bytes(cache + queries));
  EXPECT_EQ((totals.requested.count() - cache) % queries, 0);
  EXPECT_GT(totals.workspace, Bytes(0));
}

TEST(Plan, EveryOperatorDoesTheWorkOfItsClosedForm) {
  RandomStream random(20261121, "gpu plans");
  const GpuParams large = params_of(large_chip());
  const GpuParams small = params_of(round_chip());
  for (int i = 0; i < 120; ++i) {
    SCOPED_TRACE(i);
    const GpuParams& params = i % 2 == 0 ? large : small;
    const std::int64_t tokens = random.integer(1, 300);
    expect_closed_forms(params, kernel_of(EmbeddingKernel{tokens, random.integer(1, 5000)}));
    expect_closed_forms(params, kernel_of(NormKernel{tokens, random.integer(1, 9000)}));
    expect_closed_forms(params, kernel_of(ActivationKernel{tokens, random.integer(1, 9000)}));
    expect_closed_forms(params, kernel_of(SampleKernel{tokens, random.integer(1, 99999)}));
    expect_closed_forms(params, kernel_of(RopeKernel{tokens, 8, 2, 64}));
    expect_closed_forms(
        params, kernel_of(GemmKernel{tokens, random.integer(1, 3000), random.integer(1, 3000),
                                     ElementType::Bfloat16, ElementType::Bfloat16, i % 3 == 0}));
    AttentionKernel attention;
    attention.kv_heads = random.integer(1, 4);
    attention.heads = attention.kv_heads * random.integer(1, 4);
    attention.head_dim = 16 * random.integer(1, 16);
    attention.causal = i % 5 != 0;
    attention.window = i % 4 == 0 ? random.integer(1, 200) : 0;
    attention.library = i % 3 == 0 ? AttentionLibrary::TensorRt : AttentionLibrary::Flash;
    attention.sinks = i % 6 == 1;
    attention.softcap = i % 7 == 1;
    attention.value_dim = i % 8 == 1 ? 16 * random.integer(1, 16) : 0;
    for (std::int64_t n = random.integer(1, 5); n > 0; --n) {
      const std::int64_t q = random.integer(1, 2) == 1 ? random.integer(1, 300) : 1;
      attention.spans.push_back({q, q + random.integer(0, 1000)});
    }
    expect_closed_forms(params, kernel_of(attention));
  }
}

TEST(Plan, RotationIsOneWaveThatStridesOverTheTokens) {
  const GpuParams params = params_of(large_chip());
  const KernelPlan plan = plan_kernel(params, kernel_of(RopeKernel{65536, 8, 8, 128}));
  const CtaProgram& program = *plan.phases[0].program;
  EXPECT_LE(program.ctas(), params.sms * 4);
  Step step;
  program.step(0, 0, step);
  // The token's request, its lengths, the row, the page; larger turns take as many more.
  EXPECT_EQ(step.rounds % 4, 0);
  EXPECT_EQ(plan.phases[0].stages, 1);
}

TEST(Plan, BiasIsAddedOnceToEveryElement) {
  // 200 x 300 outputs: 60,000 additions for the bias, as many for the residual.
  const GpuParams params = params_of(large_chip());
  GemmKernel gemm{200, 300, 100, ElementType::Bfloat16, ElementType::Bfloat16, true, true};
  expect_closed_forms(params, kernel_of(gemm));
  EXPECT_EQ(totals_of(plan_kernel(params, kernel_of(gemm))).vector, Flops(120000));
  gemm.m = 1;
  gemm.k = 9000;  // split along k: the reduction adds it
  expect_closed_forms(params, kernel_of(gemm));
}

TEST(Plan, NarrowNormsWalkTheirRowsTwice) {
  // Rows of 8192 bytes, 1024 threads of 2 bytes: four turns, each waited for; twice.
  GpuParams params = params_of(large_chip());
  params.norm_access = 2;
  const Kernel kernel = kernel_of(NormKernel{7, 4096});
  expect_closed_forms(params, kernel);
  const KernelPlan plan = plan_kernel(params, kernel);
  const CtaProgram& program = *plan.phases.front().program;
  EXPECT_EQ(program.ctas(), 7);
  ASSERT_EQ(program.steps(3), 2);
  for (const int walk : {0, 1}) {
    Step step;
    program.step(3, walk, step);
    EXPECT_EQ(step.rounds, 4);
    EXPECT_EQ(step.loads[0].tile, 3);
    EXPECT_EQ(step.loads[0].bytes.count(), 8192);
  }
}

TEST(Plan, NormsGatesAndPartialRotationsStreamTheirClosedForms) {
  const GpuParams params = params_of(large_chip());
  NormKernel norm{300 * 8, 128};  // QK norm: a row per token and head
  expect_closed_forms(params, kernel_of(norm));
  norm.gated = norm.adds_residual = true;
  expect_closed_forms(params, kernel_of(norm));
  expect_closed_forms(params, kernel_of(NormKernel{7, 999, NormKind::Layer}));
  RopeKernel rope{33, 8, 2, 128};
  rope.rotated = 64;
  expect_closed_forms(params, kernel_of(rope));
  for (const auto kind : {ElementwiseKind::SigmoidGate, ElementwiseKind::TokenGate,
                          ElementwiseKind::Scale, ElementwiseKind::Softcap, ElementwiseKind::Add}) {
    expect_closed_forms(params, kernel_of(ElementwiseKernel{kind, 17, 2000}));
  }
}

}  // namespace
}  // namespace tandem::gpu
