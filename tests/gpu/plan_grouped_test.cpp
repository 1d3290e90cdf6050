// Grouped products and the small kernels of mixtures of experts: plans do the work of the closed
// forms, experts without rows cost nothing, weights stream once.
#include "models/gpu/plan_grouped.hpp"

#include <gtest/gtest.h>

#include "models/gpu/machine.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

GroupedGemmKernel grouped(std::vector<std::int64_t> rows, std::int64_t n, std::int64_t k) {
  GroupedGemmKernel gemm;
  gemm.rows = std::move(rows);
  gemm.n = n;
  gemm.k = k;
  return gemm;
}

TEST(PlanGrouped, RequestsEachOperandOncePerTileOfTheOther) {
  // Experts of 100 and 20 rows, 300 columns, k = 96, tiles of 64 x 128: 2 x 3 and 1 x 3 tiles.
  // Rows are read by 3 columns: 3 x 120 x 96 x 2 bytes; weights by 2 + 1 rows of tiles:
  // 3 x 300 x 96 x 2 bytes.
  const GpuParams params = params_of(large_chip());
  GroupedTiling tiling;
  const PlanTotals totals =
      totals_of(plan_grouped_with(params, grouped({100, 0, 20}, 300, 96), tiling));
  EXPECT_EQ(totals.ctas, 9);
  EXPECT_EQ(totals.requested, Bytes(3 * 120 * 96 * 2 + 3 * 300 * 96 * 2));
  // Two slices of 64 along k.
  EXPECT_EQ(totals.tensor_padded, Flops(9 * 2 * 64 * 128 * 128));
  EXPECT_EQ(totals.tensor, Flops(2 * 120 * 300 * 96));
}

TEST(PlanGrouped, DoesTheWorkOfItsClosedForm) {
  RandomStream random(20261121, "grouped plans");
  const GpuParams large = params_of(large_chip());
  const GpuParams small = params_of(round_chip());
  for (int i = 0; i < 40; ++i) {
    SCOPED_TRACE(i);
    std::vector<std::int64_t> rows(static_cast<std::size_t>(random.integer(1, 9)));
    for (std::int64_t& of_expert : rows) of_expert = random.integer(0, 300);
    GroupedGemmKernel gemm = grouped(rows, random.integer(1, 700), random.integer(1, 900));
    gemm.bias = i % 3 == 0;
    gemm.tuned_rows = i % 4 == 0 ? 32 : 0;
    expect_closed_forms(i % 2 == 0 ? large : small, kernel_of(gemm));
  }
}

TEST(PlanGrouped, HelpersDoTheWorkOfTheirClosedForms) {
  RandomStream random(7, "expert helpers");
  const GpuParams params = params_of(large_chip());
  for (int i = 0; i < 20; ++i) {
    SCOPED_TRACE(i);
    const std::int64_t tokens = random.integer(1, 400);
    const std::int64_t hidden = random.integer(1, 3000);
    const std::int64_t copies = random.integer(0, tokens * 4);
    RouterKernel router;
    router.tokens = tokens;
    router.router.experts = random.integer(4, 200);
    router.router.top_k = 4;
    expect_closed_forms(params, kernel_of(router));
    expect_closed_forms(params, kernel_of(ExpertSortKernel{tokens, 4, random.integer(1, 200)}));
    expect_closed_forms(params, kernel_of(DispatchKernel{tokens, 4, hidden, copies}));
    expect_closed_forms(params, kernel_of(CombineKernel{tokens, 4, hidden, true, true, copies}));
  }
}

TEST(PlanGrouped, ChoosesTheTileOnTheRowsItWasTunedOn) {
  const GpuParams params = params_of(large_chip());
  GroupedGemmKernel gemm = grouped({4000, 4000, 4000, 4000}, 4096, 4096);
  EXPECT_GE(choose_grouped(params, gemm).tile_m, 128);
  gemm.tuned_rows = 8;
  EXPECT_EQ(choose_grouped(params, gemm).tile_m, 16);
}

TEST(PlanGrouped, FewRowsCostTheStreamOfTheTouchedWeights) {
  // 16 of 64 experts with one row each: 16 x 1024 x 1024 x 2 bytes = 33.6 MB at 100 bytes per ns
  // are 336 us; fill, launch and tail add a few.
  const GpuParams params = params_of(round_chip());
  std::vector<std::int64_t> rows(64);
  for (std::size_t e = 0; e < rows.size(); e += 4) rows[e] = 1;
  const KernelPlan plan = plan_kernel(params, kernel_of(grouped(rows, 1024, 1024)));
  const KernelTiming timing = Machine(params).run(plan, {});
  EXPECT_GE(timing.hbm_read, Bytes(16 * 1024 * 1024 * 2));
  EXPECT_LE(timing.hbm_read, Bytes(16 * 1024 * 1024 * 2 + 16 * 1024 * 2));
  EXPECT_GT(timing.time, Picoseconds(335'544'000));
  EXPECT_LT(timing.time, Picoseconds(345'000'000));
}

TEST(PlanGrouped, GridsForAnyRoutingLaunchEmptyTiles) {
  // 40 choices of 16 experts: 16 + (40 - 16) / 16 = 17 row tiles, of which the rank's two experts
  // with 20 and 1 rows need 2 + 1; 14 are empty, in 2 columns of 128.
  const GpuParams params = params_of(large_chip());
  GroupedGemmKernel gemm = grouped({20, 1}, 256, 64);
  GroupedTiling tiling;
  tiling.tile_m = 16;
  const KernelPlan alone = plan_grouped_with(params, gemm, tiling);
  EXPECT_EQ(totals_of(alone).ctas, 3 * 2);
  gemm.launched_choices = 40;
  gemm.launched_experts = 16;
  EXPECT_EQ(totals_of(plan_grouped_with(params, gemm, tiling)).ctas, (3 + 14) * 2);
}

TEST(PlanGrouped, RewritingDescriptorsDelaysEveryFurtherTile) {
  // 4 SMs, 40 experts of one row and one tile: 10 tiles per SM. With L2 at 1000 ns a descriptor
  // takes five trips, 5000 ns, so the 9 further tiles of an SM take at least 45 us; without, loads
  // of four tiles are under way together.
  GpuParams params = params_of(round_chip());
  params.persistent_kernels = true;
  params.l2_latency = params.hbm_latency = Picoseconds(1'000'000);
  GroupedGemmKernel gemm = grouped(std::vector<std::int64_t>(40, 1), 128, 64);
  GroupedTiling tiling;
  tiling.tile_m = 16;
  const Residency warm{1, 1, 1, 1};
  const auto time = [&] {
    return Machine(params).run(plan_grouped_with(params, gemm, tiling), warm).time;
  };
  EXPECT_LT(time(), Picoseconds(15'000'000));
  gemm.writes_descriptors = true;
  EXPECT_GT(time(), Picoseconds(45'000'000));
  EXPECT_LT(time(), Picoseconds(51'000'000));
}

TEST(PlanGrouped, WidensWeightsWithTheInstructionsOfTheFrameworksKernel) {
  // One expert, one tile of 64 columns, 96 elements of K in two slices of 64: 64 x 128 weights.
  GpuParams params = params_of(large_chip());
  GroupedGemmKernel gemm = grouped({4}, 64, 96);
  gemm.precision = &formats::find_precision("w4a16_mxfp4");
  GroupedTiling tiling;
  tiling.tile_m = 16;
  tiling.tile_n = 64;
  const auto instructions = [&](double each) {
    params.expert_widening = each;
    const KernelPlan plan = plan_grouped_with(params, gemm, tiling);
    Flops sum;
    for (int index = 0; index < plan.phases.front().program->steps(0); ++index) {
      Step step;
      plan.phases.front().program->step(0, index, step);
      sum += step.issue;
    }
    return sum.count();
  };
  EXPECT_EQ(instructions(8), 8 * 64 * 128);
  EXPECT_EQ(instructions(2.5), 20480);
}

}  // namespace
}  // namespace tandem::gpu
