// Is the cycle clock never below the floor, which shares none of its code?
#include "models/gpu/floor.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "models/gpu/machine.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/drawn_kernels.hpp"
#include "tests/support/property.hpp"

namespace tandem::gpu {
namespace {

TEST(Floor, ClosedForms) {
  // 989 TFLOPS at 8192^3 x 2 = 1.0995e15 / 989e12 = 1.11174 ms; bytes 3 x 128 MiB at 3.35 TB/s are
  // 120 us. 1 x 8192 x 8192 reads 134 MB: (134217728 + 32768) / 3.35e12 = 40.0748 us.
  const GpuParams params = params_of(large_chip());
  const Kernel large{"g", -1, ElementType::Bfloat16, GemmKernel{8192, 8192, 8192}, {}};
  EXPECT_NEAR(to_seconds(floor_of(params, large, {})), 1.11174e-3, 1e-8);
  const Kernel gemv{"g", -1, ElementType::Bfloat16, GemmKernel{1, 8192, 8192}, {}};
  EXPECT_NEAR(to_seconds(floor_of(params, gemv, {})), 40.0748e-6, 1e-10);
  // Weights in L2: 134250496 bytes at 8.3 TB/s.
  EXPECT_NEAR(to_seconds(floor_of(params, gemv, {true, true, true, true})), 16.1748e-6, 1e-10);
}

TEST(Floor, OperandBytesSumToTheWork) {
  RandomStream random(3, "operand bytes");
  KernelDraw draw(random);
  for (int i = 0; i < 400; ++i) {
    const Kernel kernel{"g", -1, ElementType::Bfloat16, draw.shape(), {}};
    const OperandBytes bytes = operand_bytes(kernel);
    EXPECT_EQ(bytes.weights + bytes.activations + bytes.kv + bytes.output, work_of(kernel).bytes());
  }
}

/// A kernel that the model takes, planned; others (no units for the type on this chip) are none.
std::optional<KernelPlan> plan_of(const GpuParams& params, const Kernel& kernel) {
  try {
    return plan_kernel(params, kernel);
  } catch (const ModelError&) {
    return std::nullopt;
  }
}

TEST(Floor, CycleIsNeverBelowTheFloor) {
  constexpr std::uint64_t seed = 20261121;
  RecordProperty("seed", std::to_string(seed));
  RandomStream random(seed, "floor");
  KernelDraw draw(random);
  const int cases = tandem::test::property_cases(2500);
  std::map<std::string, int> ran;
  for (int i = 0; i < cases; ++i) {
    SCOPED_TRACE("seed 20261121 case " + std::to_string(i));
    const GpuParams params = drawn_chip(random, i % 2 == 0);
    const Kernel kernel{"g", -1, ElementType::Bfloat16, draw.shape(), {}};
    const auto plan = plan_of(params, kernel);
    if (!plan) continue;
    const Residency states[] = {measured_alone(params, kernel, false),
                                measured_alone(params, kernel, true), inside_pass(params, kernel)};
    const Residency& state = states[i % 3];
    Machine machine(params);
    const Picoseconds floor = floor_of(params, kernel, state);
    EXPECT_GE(machine.run(*plan, state).time, floor) << kind_name(kernel) << ' ' << plan->algorithm;
    ++ran[std::string(kind_name(kernel))];
  }
  // Every kind is drawn, and few cases are refused.
  if (cases >= 2500) {
    EXPECT_EQ(ran.size(), std::variant_size_v<KernelShape>);
  }
  int all = 0;
  for (const auto& [kind, count] : ran) all += count;
  EXPECT_GT(all, cases * 8 / 10);
}

}  // namespace
}  // namespace tandem::gpu
