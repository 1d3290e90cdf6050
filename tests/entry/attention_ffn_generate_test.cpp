// Text written by token mixers on GPUs and feed-forward blocks on LPUs.
#include <gtest/gtest.h>

#include "sim/step/pool_model.hpp"
#include "tests/entry/stories_harness.hpp"

namespace tandem::entry {
namespace {

// Hidden rows of 128 floats cross twice in each of 4 layers for every token but the first; the KV
// of 4 prompt tokens is 2 x 2 x 32 floats per layer. Token mixers in float32 and blocks in float16
// write what one GPU in float32 writes; logits are float16's error apart.
TEST(AttentionFfn, WritesTheTokensOfOneGpu) {
  const Context context = make_context();
  const Model model = load_tales();
  const GenerateResult one =
      run(context, context.loader.scenario("little_tales_gpu"), model, "Once there was", 40);
  const Scenario scenario = context.loader.scenario("little_tales_afd");
  const GenerateResult apart = run(context, scenario, model, "Once there was", 40);
  EXPECT_EQ(apart.tokens, one.tokens);
  EXPECT_LT(reference_max_abs_error(apart, model.weights), 0.02);
  std::map<std::string, std::int64_t> bytes;
  for (const Transfer& transfer : apart.transfers) bytes[transfer.what] += transfer.bytes.count();
  EXPECT_EQ(bytes["hidden"], 2 * 4 * (40 - 4) * 128 * 4);
  EXPECT_EQ(bytes["kv"], 4 * 4 * 2 * 2 * 32 * 4);
  EXPECT_GT(apart.chip_cycles.at("lpu0").count(), 0);
  EXPECT_GT(apart.chip_cycles.at("lpu1").count(), 0);
  EXPECT_GT(apart.total, apart.floor);
}

// Passes with numbers and steps of services are the same passes.
TEST(AttentionFfn, TakesTheTimeThatServicesCount) {
  const Context context = make_context();
  const Model model = load_tales();
  const Scenario scenario = context.loader.scenario("little_tales_afd");
  const GenerateResult result = run(context, scenario, model, "Once there was", 12);
  StageStore store;
  PoolModel pool(scenario, scenario.placement.decode, 1, context.catalogue, context.make_network,
                 store, LayerDuty::Mixers);
  // The second token also waits for the KV cache.
  for (std::size_t i = 2; i < result.token_gaps.size(); ++i) {
    Batch batch;
    batch.slices.push_back({.context = static_cast<std::int64_t>(i) + 3, .new_tokens = 1});
    EXPECT_EQ(result.token_gaps[i], pool.step(batch).latency()) << i;
  }
}

}  // namespace
}  // namespace tandem::entry
