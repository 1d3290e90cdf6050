// Is the cycle clock never below the floor, which shares none of its code?
#include "models/gpu/floor.hpp"

#include <gtest/gtest.h>

#include "models/gpu/machine.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/support/property.hpp"

namespace tandem::gpu {
namespace {

KernelShape random_shape(RandomStream& random) {
  const std::int64_t tokens = std::int64_t{1} << random.integer(0, 9);
  switch (random.integer(0, 7)) {
    case 0:
      return EmbeddingKernel{tokens, random.integer(1, 4096)};
    case 1:
      return NormKernel{tokens, random.integer(1, 8192)};
    case 2:
      return RopeKernel{tokens, random.integer(1, 32), random.integer(1, 8), 64};
    case 3:
      return ActivationKernel{tokens, random.integer(1, 8192)};
    case 4:
      return SampleKernel{random.integer(1, 16), random.integer(1, 128000)};
    case 5: {
      AttentionKernel shape;
      shape.kv_heads = random.integer(1, 8);
      shape.heads = shape.kv_heads * random.integer(1, 8);
      shape.head_dim = 32 << random.integer(0, 2);
      shape.window = random.integer(0, 3) == 0 ? random.integer(1, 512) : 0;
      for (std::int64_t n = random.integer(1, 8); n > 0; --n) {
        const std::int64_t q = random.integer(0, 1) == 0 ? 1 : random.integer(1, 512);
        shape.spans.push_back({q, q + random.integer(0, 2048)});
      }
      return shape;
    }
    default: {
      GemmKernel gemm{random.integer(1, 2048), random.integer(1, 4096), random.integer(1, 4096)};
      gemm.adds_residual = random.integer(0, 1) == 1;
      if (random.integer(0, 2) == 0) gemm.weights = ElementType::Fp8E4m3;
      return gemm;
    }
  }
}

/// A chip with every parameter drawn; efficiencies at 1 and overheads at 0 leave no slack.
Chip random_chip(RandomStream& random, bool is_ideal) {
  const auto scale = [&](double low, double high) { return low + (high - low) * random.uniform(); };
  Chip chip = with(large_chip(), "sms", static_cast<double>(random.integer(1, 200)));
  chip = with(chip, "hbm_bandwidth", scale(1e11, 2e13));
  chip = with(chip, "hbm_stacks", static_cast<double>(random.integer(1, 8)));
  chip = with(chip, "l2_bandwidth", scale(1e11, 5e13));
  chip = with(chip, "l2_capacity", scale(1e5, 2e8));
  chip = with(chip, "peak_bfloat16", scale(1e12, 4e15));
  chip = with(chip, "peak_float32", scale(1e12, 2e14));
  chip = with(chip, "multicast", static_cast<double>(random.integer(1, 4)));
  chip = with(chip, "persistent_kernels", static_cast<double>(random.integer(0, 1)));
  chip = with(chip, "overlaps_softmax", static_cast<double>(random.integer(0, 1)));
  if (!is_ideal) return chip;
  for (const char* key :
       {"model_refresh", "model_launch", "hbm_latency", "l2_latency", "matrix_latency"}) {
    chip = with(chip, key, 0);
  }
  chip = with(with(chip, "port_bytes_per_clock", 1e9), "store_bytes_per_clock", 1e9);
  return with(chip, "matrix_efficiency", 1);
}

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
  for (int i = 0; i < 100; ++i) {
    const Kernel kernel{"g", -1, ElementType::Bfloat16, random_shape(random), {}};
    const OperandBytes bytes = operand_bytes(kernel);
    EXPECT_EQ(bytes.weights + bytes.activations + bytes.kv + bytes.output, work_of(kernel).bytes());
  }
}

TEST(Floor, CycleIsNeverBelowTheFloor) {
  constexpr std::uint64_t seed = 20261121;
  RecordProperty("seed", std::to_string(seed));
  RandomStream random(seed, "floor");
  for (int i = 0; i < tandem::test::property_cases(2000); ++i) {
    SCOPED_TRACE("seed 20261121 case " + std::to_string(i));
    const Chip chip = random_chip(random, i % 2 == 0);
    const GpuParams params = params_of(chip);
    const Kernel kernel{"g", -1, ElementType::Bfloat16, random_shape(random), {}};
    const Residency states[] = {measured_alone(params, kernel, false),
                                measured_alone(params, kernel, true), inside_pass(params, kernel)};
    const Residency& state = states[i % 3];
    const KernelTiming timing = Machine(params).run(plan_kernel(params, kernel), state);
    EXPECT_GE(timing.time, floor_of(params, kernel, state)) << kernel.shape.index();
  }
}

}  // namespace
}  // namespace tandem::gpu
