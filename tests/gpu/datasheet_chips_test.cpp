// Chips that are described from their data sheets alone: do they load, do their numbers belong
// together, and do kernels run on them no faster than physics allows?
#include <gtest/gtest.h>

#include "models/gpu/floor.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "sim/config/loader.hpp"

namespace tandem::gpu {
namespace {

struct Sheet {
  const char* name;
  const char* sibling;  ///< whose constants are inherited
  double per_clock;     ///< dense bf16 operations per SM and clock
  double memory_gbps;   ///< pin rate, Gb/s
  DramKind memory;
};

std::ostream& operator<<(std::ostream& out, const Sheet& sheet) {
  return out << sheet.name;
}

class DatasheetChip : public ::testing::TestWithParam<Sheet> {
 protected:
  static Chip load(const char* name) {
    const std::string root = TANDEM_SOURCE_DIR;
    return Loader({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}}).chip(name);
  }
  Chip chip_ = load(GetParam().name);
};

TEST_P(DatasheetChip, PeakClockAndSmsBelongTogetherWithin3Percent) {
  const GpuParams p = resolve(chip_, Software{});
  const double per_clock = p.peak_bfloat16.count() / p.clock.count() / static_cast<double>(p.sms);
  EXPECT_NEAR(per_clock / GetParam().per_clock, 1.0, 0.03);
  // Pins of all devices carry the bandwidth at the rate of the part.
  const auto pins = static_cast<double>(dram_shape(p.hbm.kind).pins() * p.hbm.stacks);
  EXPECT_EQ(p.hbm.kind, GetParam().memory);
  EXPECT_NEAR(p.hbm.bandwidth.count() * 8e-9 / pins / GetParam().memory_gbps, 1.0, 0.03);
}

TEST_P(DatasheetChip, FittedConstantsAreInheritedAndNoneIsItsOwn) {
  const Chip sibling = load(GetParam().sibling);
  for (const auto& [name, parameter] : chip_.parameters.all()) {
    if (parameter.basis != Basis::Fitted) continue;
    // Read off the best product that anybody published for the chip.
    if (chip_.name == "mi300x" && name == "matrix_efficiency") continue;
    EXPECT_EQ(parameter.value, sibling.parameters.value(name)) << name;
    EXPECT_EQ(sibling.parameters.all().at(name).basis, Basis::Fitted) << name;
  }
}

TEST_P(DatasheetChip, KernelsRunNoFasterThanTheirFloor) {
  const GpuChip chip(chip_, Software{});
  AttentionKernel attention{{{2048, 2048}}, 32, 8, 128};
  AttentionKernel decode{std::vector<QuerySpan>(16, {1, 4096}), 32, 8, 128};
  const std::pair<const char*, KernelShape> shapes[] = {
      {"large gemm", GemmKernel{4096, 4096, 4096}},
      {"narrow gemm", GemmKernel{8, 8192, 8192}},
      {"prefill", attention},
      {"decode", decode}};
  for (const auto& [name, shape] : shapes) {
    SCOPED_TRACE(name);
    const Kernel kernel{"test", -1, ElementType::Bfloat16, shape, {}};
    const Picoseconds time = chip.simulate_kernel(kernel, false).time;
    const Picoseconds floor =
        floor_of(chip.params(), kernel, measured_alone(chip.params(), kernel, false));
    EXPECT_GE(time, floor);
    EXPECT_LT(time / floor, 6.0);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Gpus, DatasheetChip,
    ::testing::Values(Sheet{"h800", "h100_sxm", 4096, 5.234, DramKind::Hbm3},
                      Sheet{"h20", "h100_sxm", 1024, 5.208, DramKind::Hbm3},
                      Sheet{"l40s", "a100_sxm", 1024, 18, DramKind::Gddr6},
                      Sheet{"rtx_4090", "a100_sxm", 512, 21, DramKind::Gddr6x},
                      Sheet{"rtx_pro_6000", "a100_sxm", 1024, 28, DramKind::Gddr7},
                      Sheet{"rtx_5090", "a100_sxm", 512, 28, DramKind::Gddr7},
                      Sheet{"b300_sxm", "b200_sxm", 8192, 7.813, DramKind::Hbm3e},
                      Sheet{"gb200", "b200_sxm", 8192, 7.813, DramKind::Hbm3e},
                      Sheet{"gb300", "b200_sxm", 8192, 7.813, DramKind::Hbm3e},
                      Sheet{"mi210", "a100_sxm", 1024, 3.2, DramKind::Hbm2e},
                      Sheet{"mi300x", "a100_sxm", 2048, 5.176, DramKind::Hbm3}));

}  // namespace
}  // namespace tandem::gpu
