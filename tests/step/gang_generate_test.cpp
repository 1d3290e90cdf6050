// Does text come out the same whatever the placement, where requests move between pools of unequal
// parallelism?
#include "sim/core/diagnostics.hpp"
#include "sim/step/generate.hpp"
#include "tests/step/fakes.hpp"
#include "tests/step/gang_harness.hpp"

namespace tandem::test {
namespace {

/// Four chips and four others, of one kind, with wires between them.
Scenario on_gpus(const NeuralNetwork& network) {
  Scenario scenario = fakes::scenario();
  scenario.model = network;
  scenario.system.chips["big"] = scenario.system.chips["small"] = gpu::large_chip();
  scenario.placement.prefill.precision = in_format(ElementType::Float32);
  scenario.placement.decode = scenario.placement.prefill;
  return scenario;
}

NetworkFactory wires() {
  return {[](const System&) { return std::make_unique<fakes::FakeNetwork>(); },
          [](const System&, const Software&) { return std::make_unique<RankOrderCollectives>(); }};
}

GenerateResult written(const Scenario& scenario, const Weights& weights) {
  GenerateOptions options;
  options.positions = 14;
  options.ignore_end = true;
  const std::vector<std::int32_t> prompt{1, 9, 4, 17, 2, 30, 8};
  return generate(scenario, {gpu::gpu_entry()}, wires(), weights, prompt, options);
}

TEST(GangGenerate, EveryPlacementWritesTheSameText) {
  for (const NeuralNetwork& network : {dense_network(), gptoss_tiny(), dsv3_tiny()}) {
    SCOPED_TRACE(network.name);
    const Weights weights = random_weights(network, 21);
    Scenario scenario = on_gpus(network);
    const GenerateResult alone = written(scenario, weights);
    EXPECT_EQ(alone.tokens.size(), 15U);
    EXPECT_LT(reference_max_abs_error(alone, weights), 1e-3);
    scenario.placement.prefill.tensor = 2;
    EXPECT_EQ(written(scenario, weights).tokens, alone.tokens);
    scenario.placement.prefill.pipeline = 2;
    EXPECT_EQ(written(scenario, weights).tokens, alone.tokens);
    // Prompts on a pipeline of two pairs, tokens on one gang of four.
    scenario.placement.mode = PlacementMode::Disaggregated;
    scenario.placement.decode.pool = "lpu";
    scenario.placement.decode.tensor = 4;
    const GenerateResult split = written(scenario, weights);
    EXPECT_EQ(split.tokens, alone.tokens);
    ASSERT_EQ(split.kv_sent.size(), 1U);
    EXPECT_EQ(split.kv_sent, split.kv_received);
  }
}

TEST(GangGenerate, ExpertsOnChipsOfTheirOwnWriteTheSameText) {
  const Weights weights = random_weights(dsv3_tiny(), 21);
  Scenario scenario = on_gpus(weights.network);
  const GenerateResult alone = written(scenario, weights);
  scenario.placement.prefill.attention_data = 4;
  scenario.placement.prefill.expert = 4;
  EXPECT_EQ(written(scenario, weights).logits, alone.logits);
}

TEST(GangGenerate, NetworksWithoutCollectivesAreAnError) {
  const Weights weights = random_weights(dense_network(), 21);
  Scenario scenario = on_gpus(weights.network);
  scenario.placement.prefill.tensor = 2;
  GenerateOptions options;
  options.positions = 4;
  const std::vector<std::int32_t> prompt{1};
  EXPECT_THROW(
      (void)generate(scenario, {gpu::gpu_entry()}, fakes::network(), weights, prompt, options),
      ModelError);
}

}  // namespace
}  // namespace tandem::test
