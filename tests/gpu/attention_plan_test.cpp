// Do attention kernels compute the tiles, splits and overlaps that their sources describe?
#include <gtest/gtest.h>

#include <algorithm>

#include "models/gpu/attention_copies.hpp"
#include "models/gpu/attention_schedule.hpp"
#include "models/gpu/machine.hpp"
#include "models/gpu/plan_attention.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

AttentionKernel shape_of(QuerySpan span, std::int64_t heads, std::int64_t kv_heads) {
  AttentionKernel shape;
  shape.spans = {span};
  shape.heads = heads;
  shape.kv_heads = kv_heads;
  shape.head_dim = 128;
  return shape;
}

PlanTotals totals_for(const GpuParams& params, const AttentionKernel& shape) {
  return totals_of(plan_kernel(params, {"test", -1, ElementType::Bfloat16, shape, {}}));
}

TEST(AttentionPlan, PartialTilesAreComputedWhole) {
  // 20 queries of 3 heads over 20 keys: fmha_v2 computes a granule of 64 rows against a turn of 128
  // keys, 4 x 128 operations per pair.
  AttentionKernel shape = shape_of({20, 20}, 3, 3);
  shape.library = AttentionLibrary::TensorRt;
  const PlanTotals totals = totals_for(params_of(large_chip()), shape);
  EXPECT_EQ(totals.tensor_padded, Flops(3 * 64 * 128 * 4 * 128));
  EXPECT_EQ(totals.tensor, Flops(3 * 20 * 21 / 2 * 4 * 128));
}

TEST(AttentionPlan, KernelsAreThoseOfTheFramework) {
  // The software layer of a served model names the library; the kernels of its passes do not.
  GpuParams params = params_of(large_chip());
  AttentionKernel shape = shape_of({1, 4096}, 32, 8);
  shape.kv = ElementType::Fp8E4m3;
  const Flops flash = totals_for(params, shape).tensor_padded;
  params.launches_tensorrt_attention = true;
  const Flops launched = totals_for(params, shape).tensor_padded;
  shape.library = AttentionLibrary::TensorRt;
  EXPECT_EQ(launched, totals_for(params, shape).tensor_padded);
  EXPECT_NE(launched, flash);
}

TEST(AttentionPlan, BoxesBringTheirNeighboursRows) {
  // One query of 2 heads of 192 with values of 128 and fresh keys, fmha_v2 on Hopper: boxes of 128
  // queries and of 64 keys, of 2 bytes an element.
  AttentionKernel shape = shape_of({1, 1}, 2, 2);
  shape.head_dim = 192;
  shape.value_dim = 128;
  shape.cached = false;
  shape.library = AttentionLibrary::TensorRt;
  const PlanTotals totals = totals_for(params_of(large_chip()), shape);
  EXPECT_EQ(totals.requested, Bytes(2 * 2 * (128 * 192 + 64 * (192 + 128))));
}

TEST(AttentionPlan, FreshKeysTakeThePrefillKernelHoweverFew) {
  AttentionKernel shape = shape_of({1, 1}, 2, 2);
  const GpuParams params = params_of(large_chip());
  shape.library = AttentionLibrary::TensorRt;
  EXPECT_TRUE(is_packed_span(params, shape, shape.spans[0]));
  shape.cached = false;
  EXPECT_FALSE(is_packed_span(params, shape, shape.spans[0]));
}

TEST(AttentionPlan, TensorMemoryDecidesHowManyTilesTakeTurns) {
  // Tensor memory has 512 columns of 128 rows: scores (128) and outputs of two tiles fit for heads
  // of 128 (2 x 256 columns), not for heads of 256 (2 x 384). There one tile keeps two sets of
  // scores (256 + 2 x 128); for heads of 512 not even one fits.
  const GpuParams params = params_of(with(large_chip(), "matrix_issue", 2));
  AttentionKernel shape = shape_of({4096, 4096}, 1, 1);
  AttentionTiling tiling = attention_tiling(params, shape, false);
  EXPECT_EQ(tiling.rows, 256);
  EXPECT_EQ(tiling.vector_work, VectorWork::BesideTensor);
  shape.head_dim = 256;
  tiling = attention_tiling(params, shape, false);
  EXPECT_EQ(tiling.rows, 128);
  EXPECT_EQ(tiling.vector_work, VectorWork::BesideTensor);
  shape.head_dim = 512;
  tiling = attention_tiling(params, shape, false);
  EXPECT_EQ(tiling.vector_work, VectorWork::AfterTensor);
}

TEST(AttentionPlan, MasksCostInstructionsWhereTheyCutATile) {
  // 256 queries of one head of 128 on Hopper: two CTAs of 128 rows in granules of 64 against tiles
  // of 128 keys. The first CTA has one tile, cut for both granules. The second has two: the mask
  // cuts the second one for both granules.
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape = shape_of({256, 256}, 1, 1);
  shape.library = AttentionLibrary::TensorRt;
  const auto issued = [&] {
    const KernelPlan plan = plan_attention(params, Kernel{}, shape);
    const CtaProgram& program = *plan.phases.back().program;
    std::int64_t extra = 0;
    for (std::int64_t cta = 0; cta < program.ctas(); ++cta) {
      for (int i = 0; i < program.steps(cta); ++i) {
        Step step;
        program.step(cta, i, step);
        extra += step.issue.count() - step.vector_padded.count();
      }
    }
    return extra;
  };
  const std::int64_t granule = 64 * 128 * attention_tiling(params, shape, false).issue_per_masked;
  EXPECT_EQ(issued(), 4 * granule);
  // A window of 64 cuts the first tile for the third granule, and hides it from the fourth.
  shape.window = 64;
  EXPECT_EQ(issued(), 5 * granule);
}

TEST(AttentionPlan, SplitsFollowTheirLibraries) {
  const GpuParams hopper = params_of(large_chip());
  const GpuParams ampere = params_of(with(large_chip(), "matrix_issue", 0));
  AttentionKernel shape = shape_of({1, 8192}, 32, 8);
  AttentionTiling tiling = attention_tiling(ampere, shape, true);
  // FlashAttention-2: 64 blocks of 128 keys, 8 runs on 264 slots. Up to 33 splits fit one wave and
  // 32 are the most of those that change the blocks per split: 256 / 264 = 97 %. 64 splits fill
  // 512 of 528 slots, as well. The fewest that reach 85 % of it are 32: below, 22 splits fill 67 %.
  EXPECT_EQ(split_parts(ampere, shape, tiling, 8, 8192), 32);
  // It does not split where no heads share keys.
  shape.kv_heads = 32;
  EXPECT_EQ(split_parts(ampere, shape, tiling, 32, 8192), 1);
  // XQA: at most 8 waves of 132 CTAs, 1056 / 8 runs, and at least 128 keys each: 8192 / 128.
  shape.kv_heads = 8;
  shape.library = AttentionLibrary::TensorRt;
  tiling = attention_tiling(hopper, shape, true);
  EXPECT_EQ(split_parts(hopper, shape, tiling, 8, 8192), 64);
  EXPECT_EQ(split_parts(hopper, shape, tiling, 512, 8192), 2);
}

TEST(AttentionPlan, FlashAttention3CutsSpansToTheShareOfAnSm) {
  const GpuParams hopper = params_of(large_chip());
  ASSERT_EQ(hopper.sms, 132);
  // 64 blocks of 128 keys for 8 KV heads: 1.1 x 512 / 132, rounded up, are 5 blocks per SM, so 13
  // parts, the last of four blocks. By itself the span would have 15: the fewest within 85 % of a
  // full wave.
  AttentionKernel shape = shape_of({1, 8192}, 32, 8);
  EXPECT_EQ(share_of_sm(hopper, 8, 64), 5);
  EXPECT_EQ(most_splits(hopper, 8, 64), 15);
  AttentionSchedule schedule = attention_schedule(hopper, shape, true, 0);
  ASSERT_EQ(schedule.ctas.size(), 8U * 13U);
  EXPECT_EQ(schedule.ctas.front().k_end, 5 * 128);
  EXPECT_EQ(schedule.ctas.back().k_end - schedule.ctas.back().k_begin, 4 * 128);
  // Beside 15 spans of four blocks an SM's share is 9 of 124 x 8: the long span falls into eight
  // parts of eight blocks, the short ones stay whole.
  shape.spans.insert(shape.spans.end(), 15, {1, 512});
  schedule = attention_schedule(hopper, shape, true, 0);
  EXPECT_EQ(schedule.ctas.size(), 8U * 8U + 15U * 8U);
  EXPECT_EQ(schedule.ctas.front().parts, 8);
  EXPECT_EQ(schedule.ctas.back().parts, 1);
  // Spans of up to four blocks are not split even where an SM's share is less.
  shape.spans = {{1, 512}};
  EXPECT_EQ(attention_schedule(hopper, shape, true, 0).ctas.size(), 8U);
}

TEST(AttentionPlan, FlashAttention3PacksHeadsBesidePromptsToo) {
  // A prompt of 64 queries and a decode, four heads per KV head: tiles of 128 rows are 32 queries
  // of four heads. FlashAttention-2 takes tiles of 64 rows of one head each.
  AttentionKernel shape = shape_of({64, 64}, 32, 8);
  shape.spans.push_back({1, 4096});
  const AttentionSchedule hopper = attention_schedule(params_of(large_chip()), shape, false, 0);
  ASSERT_EQ(hopper.ctas.size(), 8U * (2U + 1U));
  EXPECT_EQ(hopper.ctas.front().heads, 4);
  const GpuParams ampere = params_of(with(large_chip(), "matrix_issue", 0));
  EXPECT_EQ(attention_schedule(ampere, shape, false, 0).ctas.size(), 32U * (1U + 1U));
}

TEST(AttentionPlan, FlashAttention2GoesByHeadsAndGivesShortSpansTilesWithoutRows) {
  // A prompt of 200 queries (four tiles of 64 rows) and two decodes, eight heads over two: the keys
  // of a decode come again after those of all others, and three of its four tiles have no rows.
  const GpuParams ampere = params_of(with(large_chip(), "matrix_issue", 0));
  AttentionKernel shape = shape_of({200, 200}, 8, 2);
  shape.spans.insert(shape.spans.end(), 2, {1, 512});
  const AttentionSchedule schedule = attention_schedule(ampere, shape, false, 0);
  ASSERT_EQ(schedule.ctas.size(), 8U * 3U * 4U);
  for (std::size_t i = 0; i < schedule.ctas.size(); ++i) {
    const AttentionCta& cta = schedule.ctas[i];
    EXPECT_EQ(cta.first_head, static_cast<std::int64_t>(i / 12));
    EXPECT_EQ(cta.span, static_cast<std::int64_t>(i / 4 % 3));
    const bool has_rows = i / 4 % 3 == 0 || i % 4 == 0;
    EXPECT_EQ(cta.without_rows, has_rows ? 0 : 1) << i;
  }
  // 40 tiles and ten decodes: 8 x 10 x 39 tiles without rows, two such runs for each of 132 SMs are
  // 11 tiles long, of a span 11, 11, 11 and 6.
  shape.spans = {{2560, 2560}};
  shape.spans.insert(shape.spans.end(), 10, {1, 512});
  const AttentionSchedule many = attention_schedule(ampere, shape, false, 0);
  EXPECT_EQ(many.ctas.size(), 8U * (40U + 10U * (1U + 4U)));
  EXPECT_EQ(many.ctas.back().without_rows, 6);
}

TEST(AttentionPlan, WindowsDoNotShrinkTheGridOfXqa) {
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape = shape_of({1, 8192}, 8, 4);
  shape.library = AttentionLibrary::TensorRt;
  shape.window = 128;
  const AttentionSchedule schedule = attention_schedule(params, shape, true, 0);
  // Four runs of 64 parts; the window of 128 keys lies in the last of 32 turns of 256.
  EXPECT_EQ(schedule.ctas.size(), 4U * 64U);
  const auto is_busy = [](const AttentionCta& cta) { return !cta.is_idle(); };
  EXPECT_EQ(std::count_if(schedule.ctas.begin(), schedule.ctas.end(), is_busy), 4);
}

TEST(AttentionPlan, GroupedHeadsAreCopiedWhereTheyAreTransposed) {
  GpuParams params = params_of(with(large_chip(), "matrix_issue", 0));
  AttentionKernel shape = shape_of({1, 100}, 8, 2);
  EXPECT_EQ(attention_copies(params, shape).after, Bytes(0));
  params.copies_grouped_heads = true;
  // One request: its transposed queries are a view, the result of 8 x 128 elements is copied.
  EXPECT_EQ(attention_copies(params, shape).before, Bytes(0));
  EXPECT_EQ(attention_copies(params, shape).after, Bytes(8 * 128 * 2));
  shape.spans.push_back({1, 100});
  EXPECT_EQ(attention_copies(params, shape).before, Bytes(2 * 8 * 128 * 2));
  EXPECT_TRUE(attention_copies(params, shape).strided);
  // Three launches instead of one.
  EXPECT_EQ(plan_attention(params, Kernel{}, shape).phases.size(), 3U);
  shape.heads = 2;
  EXPECT_EQ(plan_attention(params, Kernel{}, shape).phases.size(), 1U);
}

TEST(AttentionPlan, HeadsWithoutAGroupRunOnCudaCores) {
  const GpuParams params = params_of(large_chip());
  AttentionKernel shape = shape_of({1, 1000}, 8, 8);
  shape.library = AttentionLibrary::TensorRt;
  EXPECT_TRUE(attention_tiling(params, shape, true).per_query_head);
  shape.kv_heads = 2;
  EXPECT_FALSE(attention_tiling(params, shape, true).per_query_head);
  // Each of the 64 heads of a group reads the keys for itself.
  shape.heads = 128;
  const PlanTotals totals = totals_for(params, shape);
  EXPECT_GE(totals.requested, Bytes(128 * 1000 * 2 * 128 * 2));
}

TEST(AttentionPlan, DecodeKernelsOfTensorRtAppendAndPrepareAsTheirSourcesSay) {
  const GpuParams hopper = params_of(large_chip());
  const GpuParams blackwell = params_of(with(large_chip(), "matrix_issue", 2));
  AttentionKernel shape = shape_of({1, 1000}, 32, 8);
  shape.library = AttentionLibrary::TensorRt;
  // XQA in BF16 and trtllm-gen follow a kernel that rotates; FP8 XQA rotates itself.
  EXPECT_FALSE(appends_to_cache(hopper, shape));
  EXPECT_FALSE(appends_to_cache(blackwell, shape));
  EXPECT_EQ(preparing_launches(hopper, shape, true), 0);
  EXPECT_EQ(preparing_launches(blackwell, shape, true), 1);
  shape.kv = ElementType::Fp8E4m3;
  EXPECT_TRUE(appends_to_cache(hopper, shape));
  EXPECT_FALSE(appends_to_cache(blackwell, shape));
  // Groups above 32 heads go to masked multi-head attention on both.
  shape.heads = 320;
  EXPECT_TRUE(appends_to_cache(blackwell, shape));
  EXPECT_EQ(preparing_launches(blackwell, shape, true), 0);
}

TEST(AttentionPlan, FlashAttentionTakesMixedSpansInOneLaunch) {
  const GpuParams ampere = params_of(with(large_chip(), "matrix_issue", 0));
  AttentionKernel shape = shape_of({100, 100}, 4, 1);
  shape.spans.push_back({1, 50});
  Kernel kernel{"test", -1, ElementType::Bfloat16, shape, {}};
  EXPECT_EQ(plan_kernel(ampere, kernel).phases.size(), 1U);
  shape.library = AttentionLibrary::TensorRt;
  kernel.shape = shape;
  EXPECT_EQ(plan_kernel(ampere, kernel).phases.size(), 2U);
}

/// One CTA of `steps` steps: 1000 ns of tensor work, 100 ns of vector work, 640 ns of special.
class SoftmaxProgram final : public CtaProgram {
 public:
  [[nodiscard]] std::int64_t ctas() const override { return 1; }
  [[nodiscard]] std::int64_t tiles() const override { return 0; }
  [[nodiscard]] int steps(std::int64_t) const override { return 10; }
  void step(std::int64_t, int, Step& out) const override {
    out.tensor = out.tensor_padded = Flops(1'000'000);
    out.vector = Flops(12'500);
    out.special = Flops(5'120);
    out.special_padded = Flops(10'240);
  }
  void epilogue(std::int64_t, Epilogue&) const override {}
};

Picoseconds time_of(VectorWork kind) {
  KernelPlan plan;
  PlanPhase phase;
  phase.program = std::make_shared<SoftmaxProgram>();
  phase.vector_work = kind;
  plan.phases.push_back(phase);
  return Machine(params_of(round_chip())).run(plan, {}).time;
}

TEST(AttentionPlan, SoftmaxHidesAsFarAsTheKernelLetsIt) {
  using namespace literals;
  // The round chip does 1000 tensor operations, 125 vector operations and 16 exponentials per ns
  // and SM; launch, CTA start and tail take 1250 ns. Per step: tensor 1000, vector 100, special
  // 640.
  EXPECT_EQ(time_of(VectorWork::AfterTensor), 1250_ns + 10 * 1740_ns);
  EXPECT_EQ(time_of(VectorWork::Lockstep), 1250_ns + 10 * 1640_ns);
  // 500 ns of the exponentials run beside the second product.
  EXPECT_EQ(time_of(VectorWork::BesideValues), 1250_ns + 10 * 1240_ns);
  // Only the last step's softmax shows.
  EXPECT_EQ(time_of(VectorWork::BesideTensor), 1250_ns + 10 * 1000_ns + 740_ns);
}

}  // namespace
}  // namespace tandem::gpu
