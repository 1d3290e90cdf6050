// Every operator that a pass can have is in the table, and every cell of it holds.
#include "tests/conformance/operators.hpp"

#include <gtest/gtest.h>

#include <set>

#include "models/gpu/gpu_chip.hpp"
#include "models/lpu/lpu_chip.hpp"
#include "sim/entry/context.hpp"
#include "tests/conformance/runs.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::conformance {
namespace {

using NameSet = std::set<std::string>;

void add(const std::vector<std::string>& names, NameSet& all) {
  all.insert(names.begin(), names.end());
}

/// With the tables of formats, slots and eviction.
NameSet operators_of_the_table() {
  NameSet all;
  for (const NeuralNetwork& network : operator_networks()) {
    add(operators_of(whole_model(network, {})), all);
    for (const Stage& stage : stages_in_techniques(network)) add(operators_of(stage), all);
  }
  return all;
}

template <std::size_t... index>
std::vector<Kernel> one_of_each_kind(std::index_sequence<index...>) {
  return {Kernel{
      "", -1, ElementType::Bfloat16, std::variant_alternative_t<index, KernelShape>{}, {}}...};
}

TEST(ConformanceOperators, EveryKindOfKernelIsInTheTable) {
  NameSet kinds;
  for (const NeuralNetwork& network : operator_networks()) {
    std::vector<Stage> stages = stages_in_techniques(network);
    stages.push_back(whole_model(network, {}));
    for (const Stage& stage : stages) {
      for (const Batch& batch : {Batch{{{0, 5, 3, true}}}, Batch{{{0, 8, 1, true}}}}) {
        for (const Kernel& kernel : lower(stage, batch).kernels) {
          kinds.insert(std::string(kind_name(kernel)));
        }
      }
    }
  }
  const auto alone = measured_alone();
  for (const Kernel& kernel :
       one_of_each_kind(std::make_index_sequence<std::variant_size_v<KernelShape>>())) {
    const bool is_measured_alone =
        std::ranges::find(alone, operators_of(kernel).front()) != alone.end();
    EXPECT_NE(kinds.contains(std::string(kind_name(kernel))), is_measured_alone)
        << kind_name(kernel);
  }
}

TEST(ConformanceOperators, EveryOperatorOfTheCatalogueIsInTheTable) {
  const entry::Context context = entry::make_context();
  const NameSet table = operators_of_the_table();
  for (const std::string& name : context.loader.list("models")) {
    const NeuralNetwork network = context.loader.network(name);
    std::vector<Stage> stages = stages_in_techniques(network);
    stages.push_back(whole_model(network, {}));
    for (const Stage& stage : stages) {
      for (const std::string& used : operators_of(stage)) {
        EXPECT_TRUE(table.contains(used)) << name << ": " << used;
      }
    }
  }
}

TEST(ConformanceOperators, NetworksInElementTypesAreThoseOfTheReference) {
  const Passes passes = {5, 3, 1, 1};  // the second one is a chunk of the prompt
  const gpu::GpuChip gpu(gpu::large_chip(), Software{});
  const auto lpu = lpu::make_lpu_chip(test::chip_of(test::narrow_geometry(4)), Software{});
  for (const NeuralNetwork& network : operator_networks()) {
    const Weights weights = random_weights(network, 6);
    for (const ElementType type : element_types()) {
      const Precision precision{type, type, type};
      const auto expected =
          run_reference(weights_in_format(weights, type), false, passes, {{type}, true, false});
      for (const auto& [chip, promise] :
           {std::pair<const ChipModel*, Promise>(&gpu, network_on_gpu(network, type)),
            std::pair<const ChipModel*, Promise>(lpu.get(), network_on_lpu(network, type))}) {
        const std::string what = network.name + ", " + std::string(name_of(type)) + ", " +
                                 (chip == &gpu ? "GPU" : "LPU");
        expect_promise(promise, what, [&] {
          const auto found = run_on(*chip, whole_model(network, precision), weights, passes);
          EXPECT_LE(distance(found, expected), promise.tolerance);
        });
      }
    }
  }
}

/// Weights with a factor per matrix.
Precision stored_in_fp8() {
  Precision stored{ElementType::Float32, ElementType::Float32, ElementType::Float32};
  stored.weight_format = &formats::find_quant_format("fp8");
  return stored;
}

/// A short text through the reference in the order of programs of LPUs.
PassLogits run_in_order_of_lpus(const Weights& weights, ElementType cache, const Passes& passes,
                                int lanes) {
  test::LpuReference reference(weights, ElementType::Fp8E4m3, cache, lanes);
  PassLogits logits;
  std::int64_t position = 0;
  for (const std::int64_t count : passes) {
    std::vector<float> row;
    for (std::int64_t i = 0; i < count; ++i, ++position) {
      row = reference.forward(token_at(weights.network, position));
    }
    logits.push_back(std::move(row));
  }
  return logits;
}

TEST(ConformanceOperators, NetworksInFp8OnLpusAreThoseOfTheReference) {
  const Passes passes = {5, 3, 1, 1};
  const auto geometry = test::narrow_geometry(4);
  const auto chip = lpu::make_lpu_chip(test::chip_of(geometry), Software{});
  for (const NeuralNetwork& network : operator_networks()) {
    const Weights weights = random_weights(network, 6);
    const Promise promise = network_in_fp8_on_lpu(network);
    for (const ElementType cache : caches_of_fp8_on_lpu()) {
      expect_promise(promise, network.name + ", KV " + std::string(name_of(cache)), [&] {
        const Precision byte{ElementType::Fp8E4m3, cache, ElementType::Fp8E4m3};
        const auto found = run_on(*chip, whole_model(network, byte), weights, passes);
        const auto expected = promise.tolerance == 0
                                  ? run_in_order_of_lpus(weights, cache, passes, geometry.lanes())
                                  : run_reference(weights_through_formats(weights, stored_in_fp8()),
                                                  false, passes, {{}, true, false});
        EXPECT_LE(distance(found, expected), promise.tolerance);
      });
    }
  }
}

TEST(ConformanceOperators, NetworksInFp8OnGpusAreNearTheReference) {
  const Passes passes = {5, 3, 1, 1};
  const gpu::GpuChip chip(gpu::large_chip(), Software{});
  const Precision byte{ElementType::Fp8E4m3, ElementType::Fp8E4m3, ElementType::Fp8E4m3};
  for (const NeuralNetwork& network : operator_networks()) {
    const std::optional<Promise> promise = network_in_fp8_on_gpu(network);
    if (!promise) continue;
    const Weights weights = random_weights(network, 6);
    expect_promise(*promise, network.name, [&] {
      const auto found = run_on(chip, whole_model(network, byte), weights, passes);
      const auto expected = run_reference(weights_through_formats(weights, stored_in_fp8()), false,
                                          passes, {{}, true, false});
      EXPECT_LE(distance(found, expected), promise->tolerance);
    });
  }
}

}  // namespace
}  // namespace tandem::conformance
