// Plans of linear attention: the work of the closed forms, the launches and CTAs of the kernels
// that frameworks run, and how equal CTAs are cut short.
#include <gtest/gtest.h>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/l2_cache.hpp"
#include "models/gpu/machine.hpp"
#include "models/gpu/plan_even.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

std::vector<QuerySpan> drawn_spans(RandomStream& random, bool is_decode) {
  std::vector<QuerySpan> spans;
  for (std::int64_t n = random.integer(1, 4); n > 0; --n) {
    const std::int64_t q = is_decode ? 1 : random.integer(1, 700);
    spans.push_back({q, q + (is_decode ? 1 : random.integer(0, 1) * 50)});
  }
  return spans;
}

TEST(PlanDelta, LinearAttentionDoesTheWorkOfItsClosedForms) {
  RandomStream random(20261121, "linear attention plans");
  const GpuParams large = params_of(large_chip());
  const GpuParams small = params_of(round_chip());
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const GpuParams& params = i % 2 == 0 ? large : small;
    const bool is_decode = i % 3 == 0;
    const std::int64_t heads = random.integer(1, 3);
    expect_closed_forms(params, kernel_of(ShortConvolutionKernel{drawn_spans(random, is_decode),
                                                                 random.integer(1, 900), 4}));
    expect_closed_forms(params,
                        kernel_of(DeltaGateKernel{random.integer(1, 90), heads, 2 * heads, 64}));
    GatedDeltaKernel delta;
    delta.spans = drawn_spans(random, is_decode);
    delta.shape.key_heads = heads;
    delta.shape.value_heads = heads * random.integer(1, 3);
    delta.shape.key_dim = 64 * random.integer(1, 2);
    delta.shape.value_dim = 32 * random.integer(1, 5);
    delta.phase = is_decode ? DeltaPhase::Recurrent : DeltaPhase::Chunked;
    expect_closed_forms(params, kernel_of(delta));
    StateSpaceScanKernel scan{drawn_spans(random, false), 4 * heads, 64, heads, 128, 128};
    expect_closed_forms(params, kernel_of(scan));
  }
}

TEST(PlanDelta, ChunkedRuleIsSevenLaunches) {
  // 2 sequences of 130 tokens: 3 chunks of 64 each, 4 value heads: 24 chunks of heads. States: 2 x
  // 4 heads x 4 blocks of 32 columns; outputs: 24 x 2 blocks of 64 columns.
  GatedDeltaKernel shape;
  shape.spans = {{130, 130}, {130, 130}};
  shape.shape.key_heads = 2;
  shape.shape.value_heads = 4;
  shape.shape.key_dim = shape.shape.value_dim = 128;
  shape.phase = DeltaPhase::Chunked;
  const KernelPlan plan = plan_kernel(params_of(large_chip()), kernel_of(shape));
  std::vector<std::int64_t> ctas;
  for (const PlanPhase& phase : plan.phases) ctas.push_back(phase.program->ctas());
  EXPECT_EQ(ctas, (std::vector<std::int64_t>{24, 24, 24, 24, 24, 32, 48}));
  EXPECT_FALSE(plan.phases[0].is_launched);
  for (std::size_t i = 1; i < plan.phases.size(); ++i) EXPECT_TRUE(plan.phases[i].is_launched);
  // Two steps per chunk, one chunk after the other.
  EXPECT_EQ(plan.phases[5].program->steps(0), 6);
}

TEST(PlanDelta, ConvolutionWalksLongSequencesInChunks) {
  // Up to 512 tokens 64 threads of 8 elements take them at once; 128 threads take 1024.
  const GpuParams params = params_of(large_chip());
  const auto steps = [&](std::int64_t tokens) {
    const ShortConvolutionKernel shape{{{tokens, tokens}}, 32, 4};
    return plan_kernel(params, kernel_of(shape)).phases[0].program->steps(0);
  };
  EXPECT_EQ(steps(512), 1);
  EXPECT_EQ(steps(513), 1);
  EXPECT_EQ(steps(1025), 2);
  EXPECT_EQ(steps(4096), 4);
}

TEST(PlanEven, SharesSumToTheTotal) {
  EXPECT_EQ(share_of(10, 4, 0, 4), 10);
  EXPECT_EQ(share_of(10, 4, 0, 1) + share_of(10, 4, 1, 4), 10);
  // 7 in the ratio 1 : 2 : 4.
  EXPECT_EQ(split_by(7, {1, 2, 4}), (std::vector<std::int64_t>{1, 2, 4}));
}

TEST(L2Cache, DirtyTilesAreWrittenBackWhenTheyLeave) {
  L2Cache cache(Bytes(100), 3);
  cache.insert(0, Bytes(60), Picoseconds(0), true);
  cache.insert(1, Bytes(40), Picoseconds(0));
  EXPECT_EQ(cache.take_written_back(), Bytes(0));
  cache.insert(2, Bytes(50), Picoseconds(0));  // tile 0 leaves
  EXPECT_EQ(cache.take_written_back(), Bytes(60));
  cache.insert(0, Bytes(60), Picoseconds(0));  // tiles 1 and 2 leave, both clean
  EXPECT_EQ(cache.take_written_back(), Bytes(0));
}

/// `ctas` CTAs of 128 thousand issue slots: 1 us each on an SM at 1 GHz that issues 128 per clock.
KernelPlan equal_ctas(std::int64_t ctas) {
  EvenGrid grid;
  grid.ctas = ctas;
  grid.issue = Flops(128'000);
  PlanPhase phase;
  phase.program = even_program(grid);
  phase.stages = 1;
  phase.has_equal_ctas = true;
  KernelPlan plan;
  plan.phases.push_back(phase);
  return plan;
}

TEST(GpuChip, CostsCarryTheSkippedPartOfTheirTime) {
  // 64 prompts of 1024 tokens with 32 value heads are far more rounds of CTAs than are simulated;
  // one product is simulated whole.
  GatedDeltaKernel delta;
  delta.spans.assign(64, {1024, 1024});
  delta.shape = {16, 32, 128, 128};
  delta.phase = DeltaPhase::Chunked;
  const auto chip = make_gpu_chip(large_chip(), Software{});
  const Kernel scan{"gated_delta", -1, ElementType::Bfloat16, delta, {}};
  const Kernel product{"gemm", -1, ElementType::Bfloat16, GemmKernel{128, 128, 128}, {}};
  const KernelCost alone = chip->simulate_run({{scan}});
  EXPECT_GT(alone.skipped.count(), 0);
  EXPECT_LT(alone.skipped, alone.time);
  EXPECT_EQ(chip->simulate_run({{product}}).skipped.count(), 0);
  const KernelCost both = chip->simulate_run({{product, scan}});
  EXPECT_EQ(both.skipped, alone.skipped);
  EXPECT_DOUBLE_EQ(both.skipped_share(), both.skipped / both.time);
}

TEST(Machine, EqualCtasLastAsLongAsThoseSimulated) {
  // Launch 1 us, tail 0.2 us; each round takes 1 us and, before the next CTA starts, 50 ns.
  Machine machine(params_of(round_chip()));
  const KernelTiming few = machine.run(equal_ctas(4 * 5), {});
  EXPECT_EQ(few.time, Picoseconds(1'200'000 + 5 * 1'050'000));
  EXPECT_EQ(few.skipped, Picoseconds(0));
  const KernelTiming many = machine.run(equal_ctas(4 * 1000), {});
  EXPECT_NEAR(static_cast<double>(many.time.count()), 1.2e6 + 1000 * 1.05e6, 1e6);
  EXPECT_GT(many.skipped, many.time * 9 / 10);
  EXPECT_EQ(many.vector_busy, Picoseconds(1'000'000'000));
}

}  // namespace
}  // namespace tandem::gpu
