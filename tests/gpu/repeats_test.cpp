// Parts of a grid that do the same again are left out without changing what the kernel did, and
// SMs that are given away take their work with them.
#include <gtest/gtest.h>

#include "models/gpu/machine.hpp"
#include "models/gpu/plan_grouped.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

GroupedGemmKernel experts_of(std::vector<std::int64_t> rows) {
  GroupedGemmKernel gemm;
  gemm.rows = std::move(rows);
  gemm.n = 4096;
  gemm.k = 512;
  return gemm;
}

double share(Bytes part, Bytes whole) {
  return static_cast<double>(part.count()) / static_cast<double>(whole.count());
}

TEST(RepeatedCtas, LeaveNoTraceInWhatAGroupedProductDid) {
  // Two experts with half the rows around seven equal ones, as copies make them.
  const GpuParams params = params_of(large_chip());
  const GroupedGemmKernel gemm =
      experts_of({8000, 16000, 15990, 16000, 16000, 16000, 16000, 16000, 8000});
  KernelPlan plan = plan_grouped(params, gemm);
  ASSERT_FALSE(plan.phases.front().repeats.empty());
  const KernelTiming some = Machine(params).run(plan, {});
  plan.phases.front().repeats.clear();
  const KernelTiming all = Machine(params).run(plan, {});
  EXPECT_LT(some.events * 3, all.events * 2);
  EXPECT_GT(some.skipped, some.time / 3);
  EXPECT_NEAR(some.time / all.time, 1, 0.01);
  EXPECT_NEAR(share(some.hbm_read, all.hbm_read), 1, 0.02);
  EXPECT_NEAR(share(some.l2_bytes, all.l2_bytes), 1, 0.01);
  const auto pipe = static_cast<std::size_t>(MatrixPipe::Bfloat16);
  EXPECT_NEAR(static_cast<double>(some.switched.tensor[pipe].count()) /
                  static_cast<double>(all.switched.tensor[pipe].count()),
              1, 0.01);
}

TEST(RepeatedCtas, AreNotLookedForInSmallGrids) {
  const KernelPlan plan = plan_grouped(params_of(large_chip()), experts_of({64, 64, 64, 64}));
  EXPECT_TRUE(plan.phases.front().repeats.empty());
}

TEST(GivenSms, TakeTheirRatesWithThem) {
  const GpuParams params = params_of(large_chip());
  const GpuParams half = with_fewer_sms(params, params.sms / 2);
  EXPECT_EQ(half.sms, params.sms - params.sms / 2);
  EXPECT_DOUBLE_EQ(half.peak_bfloat16.count() / static_cast<double>(half.sms),
                   params.peak_bfloat16.count() / static_cast<double>(params.sms));
  EXPECT_EQ(half.l2_bandwidth.count(), params.l2_bandwidth.count());
  // A product bound by arithmetic takes twice as long, but for rounds that are not full.
  const GroupedGemmKernel gemm = experts_of({16384, 16384});
  const KernelTiming whole = Machine(params).run(plan_grouped(params, gemm), {});
  const KernelTiming rest = Machine(half).run(plan_grouped(half, gemm), {});
  EXPECT_NEAR(rest.time / whole.time, 2, 0.15);
  EXPECT_THROW((void)with_fewer_sms(params, params.sms), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
