// Do the chip files of the GPUs load, stay within the budget of fitted constants, and does each
// constant that shapes time move it?
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/shared_constants.hpp"
#include "sim/config/loader.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/quant_format.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

const Loader& loader() {
  static const std::string root = TANDEM_SOURCE_DIR;
  static const Loader files({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}});
  return files;
}

Chip load_chip(const std::string& name) {
  return loader().chip(name);
}

/// A chip file and what its data sheet or whitepaper says.
struct File {
  const char* name;
  double per_clock;  ///< dense bf16 operations per SM and clock
  int fitted;        ///< of its own
  int shared;        ///< fitted constants of the model that its kernels use (docs/deviations.md)
};

std::ostream& operator<<(std::ostream& out, const File& file) {
  return out << file.name;
}

class ChipFile : public ::testing::TestWithParam<File> {};

int fitted_in(const ParameterSet& parameters) {
  return static_cast<int>(
      std::count_if(parameters.all().begin(), parameters.all().end(),
                    [](const auto& entry) { return entry.second.basis == Basis::Fitted; }));
}

TEST_P(ChipFile, FittedConstantsAreCounted) {
  // A file has at most twelve. With those that all chips share there are more; the counts stand in
  // docs/deviations.md, and one more anywhere has to be written there and here.
  const int own = fitted_in(load_chip(GetParam().name).parameters);
  EXPECT_EQ(own, GetParam().fitted);
  EXPECT_LE(own, 12);
  EXPECT_LE(GetParam().shared, fitted_in(shared::constants()));
}

TEST_P(ChipFile, PeakClockAndSmsBelongTogetherWithinOnePercent) {
  const GpuParams params = params_of(load_chip(GetParam().name));
  const double per_sm = params.clock.count() * static_cast<double>(params.sms);
  EXPECT_NEAR(params.peak_bfloat16.count() / per_sm / GetParam().per_clock, 1.0, 0.01);
}

TEST_P(ChipFile, CudaCoresAreWholeWithinOnePercent) {
  // Two operations per core and clock; 64 cores on A100, 128 on later chips.
  const GpuParams params = params_of(load_chip(GetParam().name));
  const double per_sm = params.clock.count() * static_cast<double>(params.sms);
  const double cores = params.matrix_issue == MatrixIssue::Warp ? 64 : 128;
  EXPECT_NEAR(params.peak_float32.count() / per_sm / 2 / cores, 1.0, 0.01);
}

TEST_P(ChipFile, LargeGemmRunsBelowAndNearItsSustainedPeak) {
  const GpuChip chip(load_chip(GetParam().name), Software{});
  const Kernel gemm = kernel_of(GemmKernel{8192, 8192, 8192});
  const KernelCost cost = chip.simulate_kernel(gemm, false);
  const double reached = static_cast<double>(cost.work.matrix.count()) / to_seconds(cost.time) /
                         chip.params().peak_bfloat16.count();
  EXPECT_LT(reached, chip.params().matrix_efficiency);
  EXPECT_GT(reached, 0.8 * chip.params().matrix_efficiency);
}

// Rubin: 4000 TFLOPS over 224 SMs are 7,867 operations per SM and clock, 4 % below Blackwell's
// 8,192.
INSTANTIATE_TEST_SUITE_P(Gpus, ChipFile,
                         ::testing::Values(File{"a100_sxm", 2048, 7, 6},
                                           File{"h100_sxm", 4096, 8, 9},
                                           File{"h200_sxm", 4096, 8, 9},
                                           File{"b200_sxm", 8192, 11, 7},
                                           File{"rubin", 7867, 0, 7}));

/// What a fitted constant changes, by which sign, and in which kernel.
struct Effect {
  enum class On { Time, Power };
  Kernel kernel;
  int sign = 1;  ///< of the change when the constant grows
  On on = On::Time;
};

std::map<std::string, Effect> effects() {
  const Kernel large = kernel_of(GemmKernel{2048, 4096, 4096});
  const Kernel narrow = kernel_of(GemmKernel{1, 32, 4096});
  const Kernel wide = kernel_of(GemmKernel{1, 16384, 4096});
  // Its keys are divided by a rule, so that a narrower port cannot choose other tiles.
  const Kernel decode = kernel_of(AttentionKernel{{{1, 4096}}, 8, 1, 128});
  QuantiseKernel quantise{512, 4096, &formats::find_precision("fp8"), ScaleOrigin::Tensor};
  quantise.search_ctas = 4096;
  using On = Effect::On;
  return {{"active_power", {large, 1, On::Power}},
          {"atomic_interval", {kernel_of(quantise)}},
          {"cta_start", {narrow}},
          {"energy_tensor_flop", {large, 1, On::Power}},
          {"hbm_stream_efficiency", {wide, -1}},
          {"idle_power", {large, 1, On::Power}},
          {"kernel_tail", {narrow}},
          {"launch_overhead", {narrow}},
          {"matrix_efficiency", {large, -1}},
          {"port_bytes_per_clock", {decode, -1}},
          {"stage_handoff", {narrow}}};
}

/// Every chip but the LPUs, whose model is not in this room.
std::vector<std::string> all_gpus() {
  std::vector<std::string> gpus = loader().list("chips");
  std::erase_if(gpus, [](const std::string& name) { return name.rfind("lp", 0) == 0; });
  return gpus;
}

TEST(Calibration, EveryFittedConstantOfEveryChipMovesTimeOrPowerItsWay) {
  const std::map<std::string, Effect> known = effects();
  for (const std::string& name : all_gpus()) {
    const Chip chip = load_chip(name);
    for (const auto& [key, parameter] : chip.parameters.all()) {
      if (parameter.basis != Basis::Fitted) continue;
      SCOPED_TRACE(name + " " + key);
      const auto effect = known.find(key);
      ASSERT_NE(effect, known.end()) << "no expected effect";
      const auto figure = [&](double factor) {
        const KernelCost cost =
            GpuChip(with(chip, key.c_str(), parameter.value * factor), Software{})
                .simulate_kernel(effect->second.kernel, false);
        return effect->second.on == Effect::On::Power ? cost.power.count() : to_seconds(cost.time);
      };
      EXPECT_GT((figure(1.0) - figure(0.8)) * effect->second.sign, 0);
    }
  }
}

/// What acts on time without being fitted.
TEST(Calibration, OtherNumbersOfTheChipMoveTime) {
  const Chip chip = load_chip("h100_sxm");
  const Kernel large = kernel_of(GemmKernel{2048, 4096, 4096});
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
      {"l2_bandwidth", &large}, {"l2_latency", &narrow},     {"matrix_latency", &sequential},
      {"hbm_latency", &narrow}, {"hbm_refresh_time", &wide}, {"hbm_bandwidth", &wide}};
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

TEST(Overrides, SmsAndClockNeedTheTotalsThatBelongToThem) {
  const std::vector<Override> half = {{"sms", "66"}};
  try {
    (void)params_of(loader().chip("h100_sxm", half));
    FAIL() << "half of the SMs kept the whole peak";
  } catch (const ModelError& error) {
    EXPECT_STREQ(error.what(),
                 "gpu: chip 'h100_sxm': peaks and L2 bandwidth are of the whole chip at its clock; "
                 "with another 'sms' or 'clock' set these too: peak_float32, peak_float16, "
                 "peak_bfloat16, peak_fp8, peak_int8, l2_bandwidth");
  }
  std::vector<Override> whole = half;
  for (const char* key :
       {"peak_float32", "peak_float16", "peak_bfloat16", "peak_fp8", "peak_int8"}) {
    whole.push_back({key, "400 TFLOPS"});
  }
  whole.push_back({"l2_bandwidth", "4.5 TB/s"});
  EXPECT_EQ(params_of(loader().chip("h100_sxm", whole)).sms, 66);
}

TEST(AtClock, TheAtomicUnitOfL2KeepsTheCoreClock) {
  const GpuParams full = params_of(load_chip("h100_sxm"));
  const GpuParams half = at_clock(full, full.clock / 2);
  EXPECT_EQ(half.atomic_interval, full.atomic_interval * 2);
  EXPECT_EQ(half.kernel_tail, full.kernel_tail);
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
