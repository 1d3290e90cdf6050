// Does L2 between the kernels of a pass hold what least-recently-used replacement leaves in it?
#include "models/gpu/pass_residency.hpp"

#include <gtest/gtest.h>

#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

using namespace literals;

BufferName kv(std::int64_t layer) {
  return {BufferName::Kind::Kv, layer};
}

TEST(ResidentBuffers, TheLeastRecentLoseWhatTheNewestNeed) {
  ResidentBuffers buffers(100_B);
  buffers.touch(kv(1), 40_B);
  buffers.touch(kv(2), 50_B);
  buffers.touch(kv(1), 40_B);  // again: now 2 is the oldest
  EXPECT_EQ(buffers.held(kv(1)), 40_B);
  EXPECT_EQ(buffers.held(kv(2)), 50_B);
  buffers.touch(kv(3), 30_B);  // 120 wanted: 20 leave, all of them of 2
  EXPECT_EQ(buffers.held(kv(2)), 30_B);
  EXPECT_EQ(buffers.held(kv(1)), 40_B);
  EXPECT_EQ(buffers.held(kv(3)), 30_B);
  buffers.touch(kv(4), 70_B);  // 2 leaves whole, 1 whole, nothing of 3
  EXPECT_EQ(buffers.held(kv(2)), 0_B);
  EXPECT_EQ(buffers.held(kv(1)), 0_B);
  EXPECT_EQ(buffers.held(kv(3)), 30_B);
}

TEST(ResidentBuffers, AStreamLongerThanTheCacheLeavesNothing) {
  ResidentBuffers buffers(100_B);
  buffers.touch(kv(1), 40_B);
  buffers.touch(kv(2), 101_B);
  EXPECT_EQ(buffers.held(kv(1)), 0_B);
  EXPECT_EQ(buffers.held(kv(2)), 0_B);
}

/// A product of `m` rows with weights [n, k] in layer 0.
Kernel product(const char* role, std::int64_t m, std::int64_t n, std::int64_t k,
               std::vector<std::int32_t> depends_on) {
  return {role, 0, ElementType::Bfloat16, GemmKernel{m, n, k}, std::move(depends_on)};
}

// The round chip has 10 MB of L2.
TEST(PassResidency, RowsComeFromTheKernelBeforeAndWeightsFromMemory) {
  const GpuParams params = params_of(round_chip());
  PassResidency pass(params);
  // 1 MB in, 1 MB out, weights 0.5 MB: the input of the pass was just written.
  const Residency first = pass.enter(product("a", 1000, 500, 500, {}));
  EXPECT_EQ(first.activations, 1);
  EXPECT_EQ(first.weights, 0);
  EXPECT_EQ(first.output, 1);
  const Residency second = pass.enter(product("b", 1000, 500, 500, {0}));
  EXPECT_EQ(second.activations, 1);
  EXPECT_EQ(second.weights, 0);
  // The same role and layer again: 2 x 0.5 MB of weights and 3 MB of rows all fit.
  EXPECT_EQ(pass.enter(product("a", 1000, 500, 500, {1})).weights, 1);
}

TEST(PassResidency, WeightsThatStreamPastEvictRowsNobodyTouches) {
  const GpuParams params = params_of(round_chip());
  PassResidency pass(params);
  (void)pass.enter(product("a", 1000, 500, 500, {}));   // 0: 1 MB of rows
  (void)pass.enter(product("b", 1000, 500, 500, {0}));  // 1: 1 MB of rows
  // 9000 x 500 x 2 = 9 MB of weights push 2 of the 3 MB out, oldest first: weights of a and b, then
  // the rows of a. Those of b are its input and touched to the end.
  (void)pass.enter(product("c", 1, 9000, 500, {1}));  // 2: 18 kB of rows
  // L2 then holds, newest first: rows of c 18 kB, of b 1 MB, weights of c 8.982 MB. Rows of a are
  // gone, and a sum of both halves finds half of what it reads.
  Kernel add{
      "add", 0, ElementType::Bfloat16, ElementwiseKernel{ElementwiseKind::Add, 1000, 500}, {0, 1}};
  EXPECT_DOUBLE_EQ(pass.enter(add).activations, 0.5);
}

TEST(PassResidency, KeysMadeInThePassAreThereAndEarlierOnesAreNot) {
  const GpuParams params = params_of(round_chip());
  PassResidency pass(params);
  (void)pass.enter({"rope", 0, ElementType::Bfloat16, RopeKernel{100, 8, 2, 64}, {}});
  AttentionKernel attention;
  attention.spans = {{100, 400}};  // a quarter of the keys is new
  attention.heads = 8;
  attention.kv_heads = 2;
  attention.head_dim = 64;
  const Residency entry = pass.enter({"attention", 0, ElementType::Bfloat16, attention, {0}});
  EXPECT_EQ(entry.activations, 1);
  EXPECT_DOUBLE_EQ(entry.kv, 0.25);
}

TEST(PassResidency, WithoutAnL2NothingIsEverThere) {
  const GpuParams params = params_of(with(round_chip(), "model_l2", 0));
  PassResidency pass(params);
  EXPECT_EQ(pass.enter(product("a", 10, 10, 10, {})), Residency{});
  EXPECT_EQ(pass.enter(product("b", 10, 10, 10, {0})), Residency{});
}

TEST(ReusedState, IsInSixteenths) {
  EXPECT_EQ(reused_state({0.03, 0.04, 1, 0.5}), (Residency{0, 0.0625, 1, 0.5}));
}

}  // namespace
}  // namespace tandem::gpu
