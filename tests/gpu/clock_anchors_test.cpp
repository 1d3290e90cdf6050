// Kernels between two simulated clocks.
#include "models/gpu/clock_anchors.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "models/gpu/chip_model.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

constexpr Hertz nominal(1.8e9);

TEST(ClockBracket, IsOfSixthsAndWeighsByThePeriod) {
  const ClockBracket whole = bracket_clock(nominal, nominal);
  EXPECT_EQ(whole.high, nominal);
  EXPECT_EQ(whole.upper_weight, 1);
  // 1.6 GHz lies between 1.5 and 1.8: periods 1/1.5, 1/1.6, 1/1.8.
  const ClockBracket held = bracket_clock(Hertz(1.6e9), nominal);
  EXPECT_DOUBLE_EQ(held.low.count(), 1.5e9);
  EXPECT_DOUBLE_EQ(held.high.count(), 1.8e9);
  EXPECT_NEAR(held.upper_weight, (1 / 1.5 - 1 / 1.6) / (1 / 1.5 - 1 / 1.8), 1e-12);
  EXPECT_NEAR(bracket_clock(Hertz(1.5e9), nominal).upper_weight, 0, 1e-12);
}

TEST(KernelTiming, GoesIntoNumbersAndBack) {
  TimingNumbers numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::int64_t>(i + 1);
  const KernelTiming timing = timing_of(numbers);
  EXPECT_EQ(numbers_of(timing), numbers);
  EXPECT_EQ(timing.time, Picoseconds(1));
}

TEST(BetweenClocks, EveryNumberIsInterpolated) {
  KernelTiming slow, fast;
  slow.time = Picoseconds(200);
  fast.time = Picoseconds(100);
  slow.switched.sm_active = Picoseconds(1000);
  fast.switched.sm_active = Picoseconds(600);
  slow.hbm_read = fast.hbm_read = Bytes(7);
  const KernelTiming mixed = between(slow, fast, 0.75);
  EXPECT_EQ(mixed.time, Picoseconds(125));
  EXPECT_EQ(mixed.switched.sm_active, Picoseconds(700));
  EXPECT_EQ(mixed.hbm_read, Bytes(7));
}

// Attention has its own clock, products mostly lie between two: within 5 %, 1 % in the mean.
TEST(BetweenClocks, KernelsAreWhereTheMachineHasThem) {
  const GpuChip chip(large_chip(), Software{});
  const Hertz top = chip.params().clock;
  const KernelShape shapes[] = {GemmKernel{4096, 4096, 4096}, GemmKernel{64, 8192, 8192},
                                AttentionKernel{std::vector<QuerySpan>(32, {1, 3000}), 32, 8, 128},
                                AttentionKernel{{{2048, 2048}}, 32, 8, 128}};
  double errors = 0;
  int count = 0;
  for (const KernelShape& shape : shapes) {
    const Kernel kernel{"test", -1, ElementType::Bfloat16, shape, {}};
    const KernelKind kind = kind_of(kernel, {});
    for (const double share : {0.62, 0.75, 0.93}) {
      const Hertz clock = top * share;
      const KernelPlan plan = plan_kernel(chip.params(), kernel);
      const KernelTiming exact = Machine(at_clock(chip.params(), clock)).run(plan, {});
      const double error = chip.simulated(kind, clock).timing.time / exact.time - 1;
      const bool has_own = std::holds_alternative<AttentionKernel>(shape);
      EXPECT_LT(std::abs(error), has_own ? 1e-12 : 0.05) << share;
      errors += std::abs(error);
      ++count;
    }
  }
  EXPECT_LT(errors / count, 0.01);
}

TEST(GpuChip, RemembersKernelsForOthersOfItsShelfAlone) {
  const auto memory = std::make_shared<KernelMemory>();
  GpuChip one(large_chip(), Software{}), same(large_chip(), Software{});
  GpuChip other(with(large_chip(), "hbm_latency", 1e-6), Software{});
  one.share_kernels(memory, {1});
  same.share_kernels(memory, {1});
  other.share_kernels(memory, {2});
  const Kernel kernel{"test", -1, ElementType::Bfloat16, GemmKernel{2048, 4096, 4096}, {}};
  const Picoseconds time = one.simulate_kernel(kernel, false).time;
  EXPECT_EQ(same.simulate_kernel(kernel, false).time, time);
  EXPECT_NE(other.simulate_kernel(kernel, false).time, time);
  // Without some of its SMs it is another chip.
  const auto smaller = one.without_units(one.params().sms / 2);
  EXPECT_GT(smaller->simulate_kernel(kernel, false).time, time);
}

}  // namespace
}  // namespace tandem::gpu
