// Kernels beyond what a chip holds or a simulation can follow are refused before anything is
// allocated, with the limit.
#include "models/gpu/kernel_limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

using ::testing::HasSubstr;

std::string refusal_of(KernelShape shape) {
  const Kernel kernel{"test", -1, ElementType::Bfloat16, std::move(shape), {}};
  try {
    (void)plan_kernel(params_of(large_chip()), kernel);
  } catch (const ModelError& error) {
    return error.what();
  }
  return {};
}

// The chip's memory is 80 GB.
TEST(KernelLimits, OperandsFitTheMemory) {
  // 4e9 x 4e9 weights of at least half a byte: 8e18 bytes. 2^40 x 2^40 exceeds 64 bits: 6.04e23.
  const std::int64_t wide = 4'000'000'000;
  EXPECT_THAT(refusal_of(GemmKernel{1, wide, wide}),
              HasSubstr("needs at least 8e+09 GB at once; the chip's memory holds 80 GB"));
  const std::int64_t widest = std::int64_t{1} << 40;
  EXPECT_THAT(refusal_of(GemmKernel{1, widest, widest}), HasSubstr("6.045e+14 GB"));
  // The result: 1e9 x 1e9 half bytes.
  EXPECT_THAT(refusal_of(GemmKernel{1'000'000'000, 1'000'000'000, 8}), HasSubstr("5e+08 GB"));
}

TEST(KernelLimits, TheMemoryBoundIsExact) {
  // 200,000 x 200,000 bfloat16 weights take 80 GB, the row 400 kB more; without that they fit.
  EXPECT_THAT(refusal_of(GemmKernel{1, 200'000, 200'000}), HasSubstr("holds 80 GB"));
  EXPECT_EQ(refusal_of(GemmKernel{1, 199'999, 199'999}), "");
}

TEST(KernelLimits, OperationsStayCountable) {
  // One head, 64 wide: 2^26 queries and as many keys do 4 x 64 x 2^52 = 2^60, twice the keys 2^61.
  AttentionKernel attention;
  attention.heads = attention.kv_heads = 1;
  attention.head_dim = 64;
  attention.spans = {{std::int64_t{1} << 26, std::int64_t{1} << 27}};
  EXPECT_THAT(refusal_of(attention), HasSubstr("does 2.306e+18 operations; a simulated kernel does "
                                               "at most 1.153e+18"));
}

TEST(KernelLimits, TilesFitTheTableOfL2) {
  // One row and depth one: 3e10 columns in tiles of at most 256 are more than 2^26 tiles.
  EXPECT_THAT(refusal_of(GemmKernel{1, 30'000'000'000, 1}),
              HasSubstr("tiles of operands; a simulated kernel has at most 67108864"));
}

}  // namespace
}  // namespace tandem::gpu
