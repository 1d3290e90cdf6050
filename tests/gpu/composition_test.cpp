// Is a pass of a layer, run as one simulation from end to end, as long as the sum of the kernels
// that the engine simulates once and uses again?
#include <gtest/gtest.h>

#include <cmath>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/pass_residency.hpp"
#include "sim/config/loader.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

Loader shipped_files() {
  const std::string root = TANDEM_SOURCE_DIR;
  return Loader({root + "/hw_configs", root + "/workloads"}, {{"gpu", gpu_schema()}});
}

/// One machine for the whole pass: HBM goes on where the kernel before left it, and each kernel
/// enters with the exact state of L2.
Picoseconds time_of_whole(const GpuChip& chip, Hertz clock, const Stage& stage,
                          const Batch& batch) {
  Machine machine(at_clock(chip.params(), clock));
  PassResidency pass(chip.params());
  Picoseconds total(0);
  for (const Kernel& kernel : lower(stage, batch).kernels) {
    const Residency entry = pass.enter(kernel);
    total += machine.run_next(plan_kernel(chip.params(), kernel), entry).time;
  }
  return total;
}

/// Two layers: the second finds what the first left.
Stage two_layers(const NeuralNetwork& network, RandomStream& random) {
  Stage stage =
      whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16});
  stage.layers = 2;
  stage.first_layer = random.integer(0, network.layers() - 2);
  stage.has_embedding = false;
  stage.head_begin = stage.head_end = 0;
  return stage;
}

Batch random_batch(RandomStream& random, bool is_decode) {
  Batch batch;
  const std::int64_t requests = std::int64_t{1} << random.integer(0, is_decode ? 6 : 2);
  for (std::int64_t i = 0; i < requests; ++i) {
    const std::int64_t context = is_decode ? random.integer(1, 8000) : 0;
    batch.slices.push_back({i, context, is_decode ? 1 : random.integer(16, 2000), true});
  }
  return batch;
}

class Composition : public ::testing::TestWithParam<const char*> {};

TEST_P(Composition, APassIsTheSumOfItsReusedKernelsWithinTwoPercent) {
  const Loader loader = shipped_files();
  const NeuralNetwork network = loader.network(GetParam());
  const char* chips[] = {"h100_sxm", "a100_sxm", "b200_sxm"};
  RandomStream random(7, GetParam());
  double worst = 0;
  for (int i = 0; i < 6; ++i) {
    const bool is_decode = i % 2 == 0;
    const GpuChip chip(loader.chip(chips[i % 3]), Software{});
    const Stage stage = two_layers(network, random);
    const Batch batch = random_batch(random, is_decode);
    const StageCost cost = chip.simulate(stage, batch, nullptr);
    const Hertz clock = cost.kernels.front().clock;
    const double whole = to_seconds(time_of_whole(chip, clock, stage, batch));
    const double difference = to_seconds(cost.time) / whole - 1;
    worst = std::max(worst, std::abs(difference));
    EXPECT_LT(std::abs(difference), 0.02) << (is_decode ? "decode of " : "prefill of ")
                                          << batch.slices.size() << " requests on " << chips[i % 3];
  }
  RecordProperty("largest_difference_percent", std::to_string(100 * worst));
}

// Vector and special-function work on padding and masked pairs is done and counted too; plan totals
// hold the useful part (plan_test.cpp).
TEST(PassFloor, IsTheSumOverAllLayers) {
  // 80 equal layers, and 3 dense ones before 58 with experts: longest runs are not summed layer by
  // layer, yet nothing may be lost.
  const Loader files = shipped_files();
  const GpuChip chip(files.chip("h100_sxm"), Software{});
  for (const char* name : {"llama-3.1-70b", "deepseek-v3"}) {
    SCOPED_TRACE(name);
    const Stage stage = whole_model(files.network(name), {ElementType::Fp8E4m3});
    for (const Batch& batch :
         {Batch{{{0, 700, 1, true}, {1, 90, 1, true}}}, Batch{{{0, 0, 512, true}}}}) {
      PassResidency pass(chip.params());
      Picoseconds total(0);
      for (const Kernel& kernel : lower(stage, batch).kernels) {
        const Residency entry = reused_state(pass.enter(kernel));
        total += floor_of(chip.params(), kernel, entry);
      }
      EXPECT_EQ(chip.floor(stage, batch), total);
    }
  }
}

TEST(PassTime, IsThatOfAllKernelsOneByOne) {
  const Loader files = shipped_files();
  const GpuChip chip(files.chip("h100_sxm"), Software{});
  for (const auto& [name, other_layers] :
       {std::pair("llama-3.1-70b", false), {"llama-3.1-70b", true}, {"deepseek-v3", false}}) {
    SCOPED_TRACE(name);
    Stage stage = whole_model(files.network(name), {ElementType::Fp8E4m3});
    stage.shard.of.tensor = 8;
    if (other_layers) {
      stage.precision.overrides = {{.first_layer = 10,
                                    .last_layer = 19,
                                    .part = std::nullopt,
                                    .weights = {ElementType::Bfloat16}}};
    }
    const Batch batch{{{0, 700, 1, true}, {1, 90, 1, true}}};
    const StageCost cost = chip.simulate(stage, batch, nullptr);
    const KernelGraph graph = lower(stage, batch);
    PassResidency pass(chip.params());
    Picoseconds total(0), since(0);
    std::vector<Picoseconds> segments;
    std::map<std::string, Picoseconds> by_role;
    for (std::size_t i = 0; i < graph.kernels.size(); ++i) {
      while (segments.size() < graph.exchanges.size() &&
             graph.exchanges[segments.size()].after <= static_cast<std::int32_t>(i)) {
        segments.push_back(std::exchange(since, Picoseconds(0)));
      }
      const Kernel& kernel = graph.kernels[i];
      const KernelKind kind = kind_of(kernel, reused_state(pass.enter(kernel)));
      const Picoseconds time = chip.simulated(kind, cost.kernels.front().clock).timing.time;
      total += time;
      since += time;
      by_role[std::string(kernel.role)] += time;
    }
    segments.push_back(since);
    EXPECT_EQ(cost.time, total);
    EXPECT_EQ(cost.floor, chip.floor(stage, batch));
    EXPECT_EQ(cost.segments, segments);
    std::map<std::string, Picoseconds> found;
    std::int64_t kernels = 0;
    for (const KernelCost& kernel : cost.kernels) {
      found[kernel.role] += kernel.time * kernel.repeats;
      kernels += kernel.repeats;
    }
    EXPECT_EQ(found, by_role);
    EXPECT_EQ(kernels, std::ssize(graph.kernels));
  }
}

TEST(ActivityCounters, UsefulOperationsEqualTheClosedFormsOfTheKernels) {
  const Loader loader = shipped_files();
  const GpuChip chip(loader.chip("h100_sxm"), Software{});
  RandomStream random(3, "counters");
  const Stage stage = two_layers(loader.network("llama-3.1-8b"), random);
  for (const bool is_decode : {true, false}) {
    const Batch batch = random_batch(random, is_decode);
    KernelWork work;
    for (const Kernel& kernel : lower(stage, batch).kernels) work += work_of(kernel);
    const auto counts = chip.simulate(stage, batch, nullptr).activity.counts;
    EXPECT_EQ(counts.at("tensor_flops_16bit"), work.matrix.count());
    EXPECT_GE(counts.at("vector_flops"), work.vector.count());
    EXPECT_GE(counts.at("special_ops"), work.special.count());
  }
}

TEST(ActivityCounters, DrawWhatTheKernelsDoInEveryFormat) {
  const Loader loader = shipped_files();
  const GpuChip chip(loader.chip("h100_sxm"), Software{});
  RandomStream random(4, "energies");
  for (const ElementType type : {ElementType::Bfloat16, ElementType::Fp8E4m3, ElementType::Int8}) {
    Stage stage = two_layers(loader.network("llama-3.1-8b"), random);
    stage.layers = 1;  // kernels of several layers that take one time stand under one power
    stage.precision = {type, ElementType::Bfloat16, type};
    const StageCost cost = chip.simulate(stage, random_batch(random, false), nullptr);
    double of_kernels = 0, of_counts = chip.static_power().count() * to_seconds(cost.time);
    for (const KernelCost& kernel : cost.kernels) {
      of_kernels +=
          kernel.power.count() * to_seconds(kernel.time) * static_cast<double>(kernel.repeats);
    }
    const auto energies = chip.energy_per_count();
    for (const auto& [name, count] : cost.activity.counts) {
      of_counts += energies.at(name).count() * static_cast<double>(count);
    }
    EXPECT_NEAR(of_counts / of_kernels, 1, 2e-3) << static_cast<int>(type);
  }
}

INSTANTIATE_TEST_SUITE_P(Networks, Composition,
                         ::testing::Values("llama-3.1-8b", "qwen3-32b", "qwen3-30b-a3b",
                                           "deepseek-v2-lite"));

}  // namespace
}  // namespace tandem::gpu
