// Stages on gangs behind the engine's chip interface: numbers, cycles and KV.
#include <gtest/gtest.h>

#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/gang_harness.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

const Precision both_float16 = precision_of(ElementType::Float16, ElementType::Float16);
constexpr std::int64_t gang_context_limit = 96;

DenseDecoder small_of_gangs() {
  DenseDecoder network = small_network(3, 100, 8, 4, 12, 150, 200);
  network.max_context = 640;
  return network;
}

std::vector<Stage> gang_stages(int tensor, int pipeline) {
  std::vector<Stage> stages =
      partition_pipeline(network_of(small_of_gangs()), both_float16, pipeline, 0, tensor);
  return stages;
}

// The stages of a pipeline on chips of one geometry, with their numbers.
class Pipeline {
 public:
  Pipeline(const std::vector<Stage>& stages, const Weights& weights)
      : chip_(lpu::make_lpu_chip(chip_of(narrow_geometry(2)), Software{})), stages_(stages) {
    for (const Stage& stage : stages) {
      loaded_.push_back(chip_->load(stage, weights, 2, gang_context_limit));
    }
  }

  // Runs a batch through all stages; every one takes the cycles and counts of its timed run.
  StageData run(const Batch& batch, std::vector<std::int32_t> tokens) {
    StageData in;
    in.tokens = std::move(tokens);
    StageData out;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      const StageCost functional = loaded_[s]->run(batch, in, out);
      const StageCost timed = chip_->simulate(stages_[s], batch);
      EXPECT_EQ(functional.cycles, timed.cycles) << s;
      EXPECT_EQ(functional.time, timed.time) << s;
      EXPECT_EQ(functional.activity.counts, timed.activity.counts) << s;
      in = StageData{};
      in.hidden = out.hidden;
    }
    return out;
  }

  LoadedStage& stage(std::size_t index) { return *loaded_[index]; }

 private:
  std::unique_ptr<ChipModel> chip_;
  std::vector<Stage> stages_;
  std::vector<std::unique_ptr<LoadedStage>> loaded_;
};

std::vector<float> logits_of(const StageData& out) {
  const std::span<const float> logits = out.logits.floats();
  return {logits.begin(), logits.end()};
}

Batch slice(std::int64_t request, std::int64_t context, std::int64_t tokens) {
  Batch batch;
  batch.slices.push_back({request, context, tokens, true});
  return batch;
}

TEST(LpuGangStage, GivesTheBitsOfAReferenceThatAddsByRank) {
  const Weights weights = spread_weights(small_of_gangs(), 21);
  for (const auto& [tensor, pipeline] : {std::pair(2, 1), std::pair(2, 3), std::pair(4, 2)}) {
    SCOPED_TRACE(std::to_string(tensor) + " x " + std::to_string(pipeline));
    Pipeline chips(gang_stages(tensor, pipeline), weights);
    GangReference reference(rank_shares(weights, tensor), ElementType::Float16,
                            ElementType::Float16, 32);
    for (int position = 0; position < 3; ++position) {
      const std::int32_t token = 7 * position + 3;
      const StageData out = chips.run(slice(1, position, 1), {token});
      ASSERT_EQ(logits_of(out), reference.forward(token)) << position;
    }
  }
}

TEST(LpuGangStage, TakesAPromptInWidePassesWithTheBitsOfTokenByToken) {
  const Weights weights = spread_weights(small_of_gangs(), 22);
  Pipeline wide(gang_stages(2, 2), weights);
  Pipeline single(gang_stages(2, 2), weights);
  std::vector<std::int32_t> prompt;
  for (int t = 0; t < 21; ++t) prompt.push_back(11 * t % 200);
  const StageData out = wide.run(slice(1, 0, 21), prompt);
  StageData last;
  for (std::size_t t = 0; t < prompt.size(); ++t) {
    last = single.run(slice(1, static_cast<std::int64_t>(t), 1), {prompt[t]});
  }
  EXPECT_EQ(logits_of(out), logits_of(last));
}

// 8 ranks hold copies of 4 heads. With 66 tokens the loops over KV blocks iterate, so what leaves a
// stage leaves later than in its shortest pass.
TEST(LpuGangStage, KvLeavesAndComesWhole) {
  const Weights weights = spread_weights(small_of_gangs(), 23);
  for (const auto& [tensor, pipeline] : {std::pair(2, 2), std::pair(8, 1)}) {
    Pipeline from(gang_stages(tensor, pipeline), weights);
    Pipeline to(gang_stages(tensor, pipeline), weights);
    static_cast<void>(from.run(slice(1, 0, 66), std::vector<std::int32_t>(66, 9)));
    for (std::size_t stage = 0; stage < static_cast<std::size_t>(pipeline); ++stage) {
      const KvBlock kv = from.stage(stage).export_kv(1);
      EXPECT_EQ(std::get<KvShape>(kv.layers.front()).heads, 4);
      to.stage(stage).import_kv(5, kv);
      EXPECT_EQ(to.stage(stage).export_kv(5), kv);
    }
    const auto before = from.run(slice(1, 66, 1), {13});
    EXPECT_EQ(logits_of(before), logits_of(to.run(slice(5, 66, 1), {13})));
  }
}

}  // namespace
}  // namespace tandem::test
