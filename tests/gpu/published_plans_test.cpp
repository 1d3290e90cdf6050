// Has every kernel that a pass of a published network lowers to a plan on GPUs of each generation?
#include <gtest/gtest.h>

#include <set>

#include "models/gpu/gpu_chip.hpp"
#include "sim/config/loader.hpp"

namespace tandem::gpu {
namespace {

Loader shipped() {
  const std::string root = TANDEM_SOURCE_DIR;
  return Loader({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}});
}

/// One request in prefill behind an earlier chunk, one from its start, and three that decode.
Batch mixed_batch() {
  Batch batch;
  batch.slices = {{0, 300, 200, true}, {1, 0, 130, true}};
  for (std::int64_t i = 2; i < 5; ++i) batch.slices.push_back({i, 900 * i, 1, true});
  return batch;
}

/// Equal layers have equal kernels: each is planned once.
void expect_plans(const GpuParams& params, const Stage& stage) {
  std::set<std::uint64_t> planned;
  for (const Kernel& kernel : lower(stage, mixed_batch()).kernels) {
    if (!planned.insert(key_of(kernel)).second) continue;
    try {
      EXPECT_FALSE(plan_kernel(params, kernel).phases.empty()) << kernel.role;
    } catch (const ModelError& error) {
      ADD_FAILURE() << kernel.role << ": " << error.what();
    }
  }
}

TEST(PublishedPlans, EveryKernelOfAPassHasAPlan) {
  const Loader loader = shipped();
  for (const char* name :
       {"deepseek-v2-lite", "deepseek-v3", "deepseek-v3.2", "kimi-k2", "qwen3-30b-a3b",
        "mixtral-8x7b", "gpt-oss-20b", "minimax-m2.5", "qwen3-next-80b-a3b", "qwen3.5-27b"}) {
    const NeuralNetwork network = loader.network(name);
    for (const char* chip : {"a100_sxm", "h100_sxm", "b200_sxm"}) {
      SCOPED_TRACE(std::string(name) + " on " + chip);
      const GpuChip gpu(loader.chip(chip), Software{});
      expect_plans(gpu.params(), whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16,
                                                       ElementType::Bfloat16}));
    }
  }
}

}  // namespace
}  // namespace tandem::gpu
