// Does the governor draw what a sum by hand gives, and stop where the limit is?
#include "models/gpu/governor.hpp"

#include <gtest/gtest.h>

#include "models/gpu/chip_model.hpp"
#include "models/gpu/machine.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {
using namespace literals;

/// Round numbers: idle 100 W, active 50 W, limit 700 W, clock 1 GHz; voltage falls half as fast as
/// the clock and not below 0.6.
GpuParams governed_params() {
  Chip chip = round_chip();
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, double>>{
           {"active_power", 50}, {"voltage_slope", 0.5}, {"lowest_voltage", 0.6}}) {
    chip.parameters.set(key, plain(value));
  }
  return params_of(chip);
}

RunEnergy run_of(Picoseconds time, double core, double memory) {
  return {time, Joules(core), Joules(memory)};
}

TEST(Governor, EnergyIsCountsTimesEnergyPerEvent) {
  // 1e9 16-bit operations at 1 pJ + 2e9 8-bit ones at (1.1 / 4 + 0.9) / 2 of it = 2.175 mJ; 1e6
  // vector operations at 2 pJ + 1e6 special ones at 5 pJ + 1e6 L2 bytes at 8 pJ = 15 uJ; 1e6 HBM
  // bytes at 36 pJ.
  SwitchingCounts counts;
  counts.tensor_of(MatrixPipe::Bfloat16) = Flops(1'000'000'000);
  counts.tensor_of(MatrixPipe::Fp8) = Flops(2'000'000'000);
  counts.vector = Flops(1'000'000);
  counts.special = Flops(1'000'000);
  counts.l2 = Bytes(1'000'000);
  counts.hbm = Bytes(1'000'000);
  counts.launches = 3;
  counts.sm_active = 2_us;  // two of four SMs
  const RunEnergy energy = energy_of(governed_params(), counts, 1_us);
  EXPECT_NEAR(energy.core.count(), 2.19e-3, 1e-12);
  EXPECT_NEAR(energy.memory.count(), 36e-6, 1e-12);
  EXPECT_EQ(energy.time, 1_us);
  EXPECT_DOUBLE_EQ(energy.active, 0.5);
}

TEST(Governor, NarrowProductsKeepTheirSums) {
  // Product 1.1 and sum 0.9 of 16-bit operands; a sixteenth of the product for 4 bits; integers of
  // 8 bits take 0.2 and 0.1.
  const EnergyParams energy = governed_params().energy;
  EXPECT_NEAR(energy.per_tensor_flop(MatrixPipe::Bfloat16).count(), 1e-12, 1e-18);
  EXPECT_NEAR(energy.per_tensor_flop(MatrixPipe::Fp8).count(), 0.5875e-12, 1e-18);
  EXPECT_NEAR(energy.per_tensor_flop(MatrixPipe::Fp4).count(), 0.484375e-12, 1e-18);
  EXPECT_NEAR(energy.per_tensor_flop(MatrixPipe::Int8).count(), 0.15e-12, 1e-18);
}

TEST(Governor, PowerIsRestPlusSwitchingOverTime) {
  // 1 ms: 0.3 J of core and 0.1 J of memory are 400 W, with idle and active 550 W. At half the
  // clock v = 0.75: the same work in 2 ms draws 100 + 50 x 0.5 x 0.5625 + (0.3 x 0.5625 + 0.1) / 2
  // ms.
  const GpuParams params = governed_params();
  EXPECT_NEAR(mean_power(params, run_of(1_ms, 0.3, 0.1), Hertz(1e9)).count(), 550, 1e-6);
  EXPECT_NEAR(mean_power(params, run_of(2_ms, 0.3, 0.1), Hertz(0.5e9)).count(), 248.4375, 1e-6);
}

TEST(Governor, VoltageStopsFalling) {
  const EnergyParams energy = governed_params().energy;
  EXPECT_DOUBLE_EQ(relative_voltage(energy, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(relative_voltage(energy, 0.8), 0.9);
  EXPECT_DOUBLE_EQ(relative_voltage(energy, 0.2), 0.6);
  EXPECT_DOUBLE_EQ(relative_voltage(energy, 0.1), 0.6);
}

TEST(Governor, WorkWithinTheLimitKeepsItsClock) {
  int calls = 0;
  const Hertz clock = governed_clock(governed_params(), [&](Hertz) {
    ++calls;
    return run_of(1_ms, 0.3, 0.1);
  });
  EXPECT_EQ(clock.count(), 1e9);
  EXPECT_EQ(calls, 1);
}

TEST(Governor, CoreBoundWorkSlowsDownToTheLimit) {
  // Core work of 1 J in 1 ms / f: 100 + f v^2 (50 + 1000) = 700 W, f v^2 = 0.5714 with
  // v = 1 - (1 - f) / 2: f = 0.750 gives 0.5742, f = 0.735 0.5531. The highest multiple of 15 MHz
  // within the limit is 735 MHz.
  const auto run_at = [](Hertz clock) {
    return run_of(from_seconds(1e-3 / (clock.count() / 1e9)), 1.0, 0);
  };
  EXPECT_EQ(governed_clock(governed_params(), run_at).count(), 735e6);
}

TEST(Governor, MemoryBoundWorkGainsOnlyFromTheVoltage) {
  // Time does not change with the clock: 100 + 50 f v^2 + (0.4 v^2 + 0.3) / 1 ms = 700 W, that is
  // v^2 (400 + 50 f) = 300. f = 0.660: v = 0.83, v^2 = 0.6889, 298.3 W; f = 0.675: v = 0.8375,
  // v^2 = 0.7014, 304.2 W.
  const auto run_at = [](Hertz) { return run_of(1_ms, 0.4, 0.3); };
  EXPECT_EQ(governed_clock(governed_params(), run_at).count(), 660e6);
}

TEST(Governor, ImpossibleLimitsEndAtTheLowestStep) {
  const auto run_at = [](Hertz) { return run_of(1_ms, 0, 1.0); };
  EXPECT_EQ(governed_clock(governed_params(), run_at), clock_steps(Hertz(1e9)).front());
}

TEST(Governor, StepsEndAtTheNominalClock) {
  const std::vector<Hertz> steps = clock_steps(Hertz(1e9));
  EXPECT_EQ(steps.front().count(), 210e6);  // first multiple of 15 MHz from a fifth on
  EXPECT_EQ(steps.back().count(), 1e9);
  EXPECT_EQ(steps[1].count() - steps[0].count(), 15e6);
}

TEST(AtClock, CoreRatesFollowAndTheMemoryDoesNot) {
  const GpuParams params = governed_params();
  const GpuParams half = at_clock(params, Hertz(0.5e9));
  EXPECT_DOUBLE_EQ(half.peak_bfloat16.count(), params.peak_bfloat16.count() / 2);
  EXPECT_DOUBLE_EQ(half.l2_bandwidth.count(), params.l2_bandwidth.count() / 2);
  EXPECT_EQ(half.l2_latency, 200_ns);
  EXPECT_EQ(half.hbm_latency, 500_ns);  // 100 ns of L2 double, 300 ns of memory stay
  EXPECT_EQ(half.cta_start, 100_ns);
  EXPECT_EQ(half.launch_overhead, params.launch_overhead);
  EXPECT_EQ(half.hbm.bandwidth.count(), params.hbm.bandwidth.count());
}

KernelRun large_product(bool sustained) {
  GemmKernel gemm;
  gemm.m = gemm.n = gemm.k = 4096;
  Kernel kernel;
  kernel.role = "product";
  kernel.shape = gemm;
  KernelRun run;
  run.kernels = {kernel};
  run.warm = true;
  run.sustained = sustained;
  return run;
}

TEST(GpuChip, OnlySustainedRunsAreHeldAtTheLimit) {
  const Chip chip = with(with(large_chip(), "tdp", 300), "voltage_slope", 0.5);
  const auto model = make_gpu_chip(chip, Software{});
  const KernelCost brief = model->simulate_run(large_product(false));
  const KernelCost held = model->simulate_run(large_product(true));
  EXPECT_EQ(brief.clock.count(), 1.83e9);
  EXPECT_GT(brief.power.count(), 300);
  EXPECT_LT(held.clock, brief.clock);
  EXPECT_GT(held.time, brief.time);
  EXPECT_NEAR(held.power.count(), 300, 6);  // a step of 15 MHz is a percent of clock and voltage

  const auto free = make_gpu_chip(with(chip, "model_power", 0), Software{});
  EXPECT_EQ(free->simulate_run(large_product(true)).time, brief.time);
}

TEST(Machine, CountsWhatItSwitches) {
  // The plan of a product adds up to its own totals; the machine has to count the same.
  const GpuParams params = params_of(large_chip());
  const Kernel kernel = large_product(false).kernels.front();
  const KernelPlan plan = plan_kernel(params, kernel);
  const PlanTotals totals = totals_of(plan);
  const KernelTiming timing = Machine(params).run(plan, {});
  SwitchingCounts counts = timing.switched;
  EXPECT_EQ(counts.tensor_of(MatrixPipe::Bfloat16), totals.tensor_padded);
  EXPECT_EQ(counts.vector, totals.vector);
  EXPECT_EQ(counts.special, totals.special);
  EXPECT_EQ(counts.hbm, timing.hbm_read + timing.hbm_written);
  EXPECT_EQ(counts.l2, timing.l2_bytes);
  EXPECT_EQ(counts.launches, 1);
}

}  // namespace
}  // namespace tandem::gpu
