// Do chips that share a network compute the tokens of one chip?
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/lower/random_networks.hpp"
#include "tests/step/gang_harness.hpp"
#include "tests/support/property.hpp"

namespace tandem::test {
namespace {

TEST_F(LoadedGangs, TensorParallelDense) {
  const Weights weights = random_weights(dense_network(), 3);
  for (const std::int64_t tensor : {1, 2, 4, 8}) {
    expect_equal(weights, {.tensor = tensor}, tensor == 1 ? 0 : other_order);
  }
}

TEST_F(LoadedGangs, TensorParallelOfEveryKindOfLayer) {
  for (const NeuralNetwork& network : tiny_networks()) {
    const Weights weights = random_weights(network, 3);
    for (const std::int64_t tensor : {2, 4}) {
      if (!sharding_problems(network, {.tensor = tensor}).empty()) continue;
      expect_equal(weights, {.tensor = tensor}, other_order);
    }
  }
  const Weights hybrid = random_weights(wide_hybrid(), 3);
  expect_equal(hybrid, {.tensor = 4}, other_order);
}

TEST_F(LoadedGangs, ExpertsOnTensorRanks) {
  for (const NeuralNetwork& network : {gptoss_tiny(), dsv3_tiny(), wide_hybrid()}) {
    const Weights weights = random_weights(network, 4);
    for (const Sharding& sharding : {Sharding{.tensor = 2, .expert = 2},
                                     {.tensor = 4, .expert = 2},
                                     {.tensor = 4, .expert = 4}}) {
      expect_equal(weights, sharding, other_order);
    }
  }
}

// Every request's attention is one chip's, every expert's product too, and the owner of a row adds
// what comes back in the order of its choices: the sums of one chip.
TEST_F(LoadedGangs, AttentionDataWithExpertsGivesTheBitsOfOneChip) {
  for (const NeuralNetwork& network : {gptoss_tiny(), dsv3_tiny(), qwen35_tiny(), minimax_tiny()}) {
    const Weights weights = random_weights(network, 5);
    for (const std::int64_t ranks : {2, 4, 8}) {
      expect_equal(weights, {.attention_data = ranks, .expert = ranks}, 0);
    }
  }
}

TEST_F(LoadedGangs, AttentionDataGivesTheBitsOfOneChipInBfloat16) {
  const Weights weights = random_weights(dsv3_tiny(), 6);
  const Workload work{{6, 8}, 2, 2};
  EXPECT_EQ(shared({.attention_data = 2, .expert = 2}, weights, work, ElementType::Bfloat16),
            alone(weights, work, ElementType::Bfloat16));
}

TEST_F(LoadedGangs, AttentionGroupsOfSeveralTensorRanks) {
  for (const NeuralNetwork& network : {gptoss_tiny(), dsv3_tiny(), wide_hybrid()}) {
    const Weights weights = random_weights(network, 7);
    expect_equal(weights, {.tensor = 2, .attention_data = 2, .expert = 4}, other_order);
    expect_equal(weights, {.tensor = 2, .attention_data = 4, .expert = 8}, other_order);
    expect_equal(weights, {.tensor = 4, .attention_data = 2, .expert = 8}, other_order);
  }
}

TEST_F(LoadedGangs, PipelinesOfGangs) {
  for (const NeuralNetwork& network : {dense_network(), qwen35_tiny()}) {
    const Weights weights = random_weights(network, 8);
    const Workload work{{9, 5}, 2, 1};
    const std::vector<Tensor> expected = alone(weights, work);
    for (const std::int64_t pipeline : {1, 2, 4}) {
      for (const std::int64_t tensor : {1, 2}) {
        std::vector<std::unique_ptr<LoadedGang>> gangs;
        std::vector<LoadedStage*> stages;
        for (const Stage& stage :
             partition_pipeline(network, in_format(ElementType::Float32), pipeline, 0)) {
          gangs.push_back(gang(stage, {.tensor = tensor}, weights));
          stages.push_back(gangs.back().get());
        }
        const std::vector<Tensor> logits = run_workload(stages, network, work);
        EXPECT_EQ(best_tokens(logits), best_tokens(expected));
        EXPECT_LT(distance(logits, expected), tensor == 1 ? 1e-30 : other_order);
      }
    }
  }
}

TEST_F(LoadedGangs, RandomNetworks) {
  int shared_networks = 0;
  for (int seed = 0; seed < property_cases(40); ++seed) {
    RandomStream random(static_cast<std::uint64_t>(seed), "gangs");
    const NeuralNetwork network = NetworkMaker(random).network();
    const Weights weights = random_weights(network, 9);
    for (const Sharding& sharding : {Sharding{.tensor = 2},
                                     {.tensor = 2, .expert = 2},
                                     {.attention_data = 2},
                                     {.attention_data = 2, .expert = 2}}) {
      if (!sharding_problems(network, sharding).empty()) continue;
      ++shared_networks;
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_equal(weights, sharding, sharding.tensor > 1 ? 1e-4 : 0);
    }
  }
  EXPECT_GT(shared_networks, 20);
}

}  // namespace
}  // namespace tandem::test
