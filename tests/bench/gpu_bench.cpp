// How many products per second does the cycle clock answer on one core, with an empty store? Shapes
// are drawn like those of serving frameworks: tokens, widths and depths log-uniform over 1 to
// 32,768.
#include <benchmark/benchmark.h>

#include <cmath>

#include "models/gpu/gpu_chip.hpp"
#include "sim/config/loader.hpp"
#include "sim/core/random.hpp"

namespace tandem::gpu {
namespace {

Chip h100() {
  const std::string root = TANDEM_SOURCE_DIR;
  return Loader({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}})
      .chip("h100_sxm");
}

std::int64_t log_uniform(RandomStream& random, double low, double high) {
  return std::llround(low * std::pow(high / low, random.uniform()));
}

std::vector<Kernel> drawn_products(int count) {
  RandomStream random(1, "gemm benchmark");
  std::vector<Kernel> kernels;
  for (int i = 0; i < count; ++i) {
    const std::int64_t m = log_uniform(random, 1, 32768);
    const std::int64_t n = 64 * log_uniform(random, 1, 512);
    const std::int64_t k = 64 * log_uniform(random, 1, 512);
    kernels.push_back({"gemm", -1, ElementType::Bfloat16, GemmKernel{m, n, k}, {}});
  }
  return kernels;
}

void gemm_rows(benchmark::State& state) {
  const Chip chip = h100();
  const std::vector<Kernel> kernels = drawn_products(200);
  for (auto _ : state) {
    const GpuChip fresh(chip, Software{});  // nothing simulated before
    for (const Kernel& kernel : kernels) {
      benchmark::DoNotOptimize(fresh.simulate_kernel(kernel, true));
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kernels.size()));
}
BENCHMARK(gemm_rows)->Unit(benchmark::kMillisecond);

void large_gemm(benchmark::State& state) {
  const Chip chip = h100();
  const Kernel kernel{"gemm", -1, ElementType::Bfloat16, GemmKernel{8192, 8192, 8192}, {}};
  for (auto _ : state) {
    benchmark::DoNotOptimize(GpuChip(chip, Software{}).simulate_kernel(kernel, true));
  }
}
BENCHMARK(large_gemm)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tandem::gpu
