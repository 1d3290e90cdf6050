// Do the chip files of the GPUs load, stay within the budget of fitted constants, and does each
// constant that shapes time move it?
#include <gtest/gtest.h>

#include "models/gpu/floor.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "sim/config/loader.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

Chip load_chip(const std::string& name) {
  const std::string root = TANDEM_SOURCE_DIR;
  return Loader({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}}).chip(name);
}

Kernel kernel_of(KernelShape shape) {
  return {"test", -1, ElementType::Bfloat16, std::move(shape), {}};
}

class ChipFile : public ::testing::TestWithParam<const char*> {};

TEST_P(ChipFile, LoadsWithAtMostTwelveFittedConstants) {
  const Chip chip = load_chip(GetParam());
  int fitted = 0;
  for (const auto& [name, parameter] : chip.parameters.all()) {
    fitted += parameter.basis == Basis::Fitted ? 1 : 0;
  }
  EXPECT_LE(fitted, 12);
  const GpuParams params = params_of(chip);
  // One SM's tensor peak divides into whole operations per clock: clock, SM count and peak belong
  // together within 1 %.
  const double per_clock =
      params.peak_bfloat16.count() / params.clock.count() / static_cast<double>(params.sms);
  EXPECT_NEAR(per_clock / 1024, std::round(per_clock / 1024), 0.35) << per_clock;
}

TEST_P(ChipFile, LargeGemmRunsBelowAndNearItsSustainedPeak) {
  const GpuChip chip(load_chip(GetParam()), Software{});
  const Kernel gemm = kernel_of(GemmKernel{8192, 8192, 8192});
  const KernelCost cost = chip.simulate_kernel(gemm, false);
  const double reached = static_cast<double>(cost.work.matrix.count()) / to_seconds(cost.time) /
                         chip.params().peak_bfloat16.count();
  EXPECT_LT(reached, chip.params().matrix_efficiency);
  EXPECT_GT(reached, 0.8 * chip.params().matrix_efficiency);
}

INSTANTIATE_TEST_SUITE_P(Gpus, ChipFile,
                         ::testing::Values("a100_sxm", "h100_sxm", "h200_sxm", "b200_sxm",
                                           "rubin"));

TEST(Calibration, EveryConstantThatShapesTimeMovesIt) {
  const Chip chip = load_chip("h100_sxm");
  const Kernel large = kernel_of(GemmKernel{4096, 4096, 4096});
  const Kernel narrow = kernel_of(GemmKernel{1, 32, 4096});
  const Kernel wide = kernel_of(GemmKernel{1, 16384, 4096});
  const Kernel shallow = kernel_of(GemmKernel{2048, 2048, 64});
  // Chunks follow each other, so every product waits for the one before.
  GatedDeltaKernel chunks;
  chunks.spans = {{512, 512}};
  chunks.shape = {16, 32, 128, 128, 64};
  chunks.phase = DeltaPhase::Chunked;
  const Kernel sequential = kernel_of(chunks);
  const auto time = [](const Chip& c, const Kernel& kernel) {
    return GpuChip(c, Software{}).simulate_kernel(kernel, false).time;
  };
  const std::pair<const char*, const Kernel*> constants[] = {
      {"matrix_efficiency", &large},   {"l2_bandwidth", &large},     {"l2_latency", &narrow},
      {"matrix_latency", &sequential}, {"launch_overhead", &narrow}, {"cta_start", &narrow},
      {"kernel_tail", &narrow},        {"hbm_latency", &narrow},     {"hbm_refresh_time", &wide},
      {"hbm_bandwidth", &wide},        {"stage_handoff", &large}};
  for (const auto& [name, kernel] : constants) {
    const double value = chip.parameters.value(name);
    EXPECT_NE(time(with(chip, name, value * 0.8), *kernel), time(chip, *kernel)) << name;
  }
  // Results that stay in L2 leave at the rate of the store port.
  const auto warm_time = [&](const Chip& c) {
    return GpuChip(c, Software{}).simulate_kernel(shallow, true).time;
  };
  const double port = chip.parameters.value("store_bytes_per_clock");
  EXPECT_LT(warm_time(chip), warm_time(with(chip, "store_bytes_per_clock", port * 0.8)));
}

TEST(Calibration, EveryAblationSwitchMovesTime) {
  const Chip chip = load_chip("h100_sxm");
  const Kernel gemm = kernel_of(GemmKernel{512, 4096, 4096});
  const Picoseconds base = GpuChip(chip, Software{}).simulate_kernel(gemm, false).time;
  for (const char* name :
       {"model_refresh", "model_l2", "model_launch", "model_multicast", "model_handoff"}) {
    const GpuChip ablated(with(chip, name, 0), Software{});
    EXPECT_NE(ablated.simulate_kernel(gemm, false).time, base) << name;
  }
}

TEST(Calibration, SoftwareAddsItsLaunchOverhead) {
  const Chip chip = load_chip("h100_sxm");
  const Kernel norm = kernel_of(NormKernel{1, 4096});
  Software software;
  software.parameters.set("launch_overhead", plain(3e-6));
  EXPECT_EQ(GpuChip(chip, software).simulate_kernel(norm, false).time,
            GpuChip(chip, Software{}).simulate_kernel(norm, false).time + Picoseconds(3'000'000));
}

}  // namespace
}  // namespace tandem::gpu
