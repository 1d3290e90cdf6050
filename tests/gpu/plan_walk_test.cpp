// Rows sorted by expert, visited one at a time: the work of the closed forms, two trips per row,
// one per row of padding.
#include "models/gpu/plan_walk.hpp"

#include <gtest/gtest.h>

#include "models/gpu/machine.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

void expect_closed_forms(const GpuParams& params, const Kernel& kernel, Bytes workspace) {
  const KernelWork work = work_of(kernel);
  const PlanTotals totals = totals_of(plan_kernel(params, kernel));
  EXPECT_EQ(totals.vector, work.vector);
  EXPECT_EQ(totals.special, work.special);
  EXPECT_EQ(totals.store, work.write_bytes);
  EXPECT_EQ(totals.workspace, workspace);
  EXPECT_GE(totals.requested, work.read_bytes);
}

TEST(PlanWalk, DoesTheWorkOfItsClosedForm) {
  RandomStream random(20261121, "walked rows");
  const GpuParams params = params_of(large_chip());
  for (int i = 0; i < 20; ++i) {
    SCOPED_TRACE(i);
    RowWalk walk;
    walk.ctas_per_sm = random.integer(1, 8);
    walk.searches_expert = i % 2 == 0;
    walk.padding_rows = i % 3 == 0 ? random.integer(1, 5000) : 0;
    walk.padding_bytes = 40;
    const std::int64_t tokens = random.integer(1, 3000);
    DispatchKernel dispatch{tokens, 4, random.integer(1, 3000), random.integer(1, tokens * 4),
                            walk};
    expect_closed_forms(params, kernel_of(dispatch), Bytes(walk.padding_rows * 40));
    ActivationKernel activation{tokens, random.integer(1, 3000), ActivationKind::Silu, true, walk};
    expect_closed_forms(params, kernel_of(activation), Bytes(walk.padding_rows * 40));
  }
}

Picoseconds time_of(const GpuParams& params, const RowWalk& walk, std::int64_t rows) {
  const ActivationKernel activation{rows, 64, ActivationKind::Silu, true, walk};
  return Machine(params)
      .run(plan_kernel(params, kernel_of(activation)), Residency{1, 1, 1, 1})
      .time;
}

TEST(PlanWalk, EachRowWaitsForItsPlaceAndItsData) {
  // 4 SMs with 8 CTAs: 32 rows more are one more per CTA. Trips of 1000 ns: 2 us; a row of 256
  // threads takes 80 x 256 / 128 lanes = 160 clocks of 1 ns, eight CTAs share them: 1.28 us.
  GpuParams params = params_of(round_chip());
  params.l2_latency = params.hbm_latency = Picoseconds(1'000'000);
  RowWalk walk;
  walk.ctas_per_sm = 8;
  const Picoseconds more = time_of(params, walk, 64) - time_of(params, walk, 32);
  EXPECT_GE(more, Picoseconds(2'000'000));
  EXPECT_LE(more, Picoseconds(2'000'000 + 1'280'000 + 200'000));
}

TEST(PlanWalk, RowsOfPaddingAreVisitedToo) {
  // 320 rows of padding are 10 per CTA: 10 us; 32 bytes each: 80 x 32 / 128 = 20 clocks, of 80 rows
  // per SM 1.6 us.
  GpuParams params = params_of(round_chip());
  params.l2_latency = params.hbm_latency = Picoseconds(1'000'000);
  RowWalk walk;
  walk.ctas_per_sm = 8;
  const Picoseconds without = time_of(params, walk, 32);
  walk.padding_rows = 320;
  walk.padding_bytes = 32;
  const Picoseconds more = time_of(params, walk, 32) - without;
  EXPECT_GE(more, Picoseconds(10'000'000));
  EXPECT_LE(more, Picoseconds(12'000'000));
}

TEST(PlanWalk, CtasOfAbsentRowsTakeTheirTurn) {
  // 4 SMs hold 8 CTAs of 256 threads each: 3200 absent rows are 100 rounds of at least a trip.
  GpuParams params = params_of(round_chip());
  RowWalk walk;
  const Picoseconds without = time_of(params, walk, 32);
  walk.idle_ctas = 3200;
  EXPECT_GE(time_of(params, walk, 32) - without, params.l2_latency * 100);
}

}  // namespace
}  // namespace tandem::gpu
