// Do the GPU's modules of multi-token prediction compute what the reference's do, and does a round
// whose last drafts are dropped leave what decoding without them leaves?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::gpu {
namespace {

using RoundTokens = std::vector<std::int32_t>;

constexpr std::int64_t prompt_tokens = 9;
constexpr std::int64_t drafts = 3;

RoundTokens some_tokens(const NeuralNetwork& network, std::int64_t count, std::int64_t salt) {
  RoundTokens tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<std::int32_t>((i * 7 + salt * 5 + 1) % network.vocabulary));
  }
  return tokens;
}

Stage float_stage(const NeuralNetwork& network) {
  Stage stage =
      whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
  stage.revocable = drafts;
  return stage;
}

double largest_distance(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  double largest = 1e-30;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst / largest;
}

class Rounds : public ::testing::Test {
 protected:
  StageData run(LoadedStage& stage, const SequenceSlice& slice, const RoundTokens& tokens,
                Tensor hidden = {}) {
    StageData in, out;
    in.tokens = tokens;
    in.hidden = std::move(hidden);
    (void)stage.run({{slice}}, in, out);
    return out;
  }
  GpuChip chip_{large_chip(), Software{}};
};

TEST_F(Rounds, ModulesEqualTheReference) {
  for (NeuralNetwork network : {test::qwen35_tiny(), test::dsv3_tiny()}) {
    network.mtp.modules = 2;
    const Weights weights = random_weights(network, 21);
    const RoundTokens text = some_tokens(network, prompt_tokens + 2, 1);
    const RoundTokens prompt(text.begin(), text.end() - 2);
    Stage stage = float_stage(network);
    stage.hands_on_hidden = true;
    const auto model = load_on_gpu(chip_, stage, weights, 24);
    const StageData made = run(*model, {0, 0, prompt_tokens, true}, prompt);
    ReferenceModel reference(weights);
    (void)reference.prefill(prompt);
    const auto expected = reference.hidden_states();
    EXPECT_LT(largest_distance(made.hidden.floats(), expected), 1e-5) << network.name;

    // The second module goes on from what the first one makes.
    Tensor hidden = made.hidden;
    std::vector<float> given(expected.begin(), expected.end());
    const auto width = static_cast<std::size_t>(network.hidden);
    for (std::int64_t m = 0; m < 2; ++m) {
      const Weights own = weights_of_module(weights, m);
      Stage module_stage = float_stage(own.network);
      module_stage.hands_on_hidden = true;
      const auto module = load_on_gpu(chip_, module_stage, own, 24);
      const RoundTokens next(text.begin() + 1 + m, text.begin() + 1 + m + prompt_tokens);
      const StageData out = run(*module, {0, 0, prompt_tokens, true}, next, hidden);
      std::vector<float> logits;
      for (std::int64_t i = 0; i < prompt_tokens; ++i) {
        const auto row = std::span(given).subspan(static_cast<std::size_t>(i) * width, width);
        const ReferenceModel::Draft draft =
            reference.draft(row, next[static_cast<std::size_t>(i)], i, m);
        std::ranges::copy(draft.hidden, row.begin());
        logits.assign(draft.logits.floats().begin(), draft.logits.floats().end());
      }
      EXPECT_LT(largest_distance(out.logits.floats(), logits), 1e-5)
          << network.name << " module " << m;
      EXPECT_LT(largest_distance(out.hidden.floats(), given), 1e-5)
          << network.name << " module " << m;
      hidden = out.hidden;
    }
  }
}

TEST_F(Rounds, AnyDraftsMayBeDropped) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 22);
    const RoundTokens prompt = some_tokens(network, prompt_tokens, 2);
    const RoundTokens round = some_tokens(network, drafts + 1, 3);
    const auto alone = load_on_gpu(chip_, float_stage(network), weights, 24);
    const auto rounds = load_on_gpu(chip_, float_stage(network), weights, 24);
    (void)run(*alone, {0, 0, prompt_tokens, true}, prompt);
    for (std::int64_t kept = 1; kept <= drafts + 1; ++kept) {
      // Requests by the number of drafts that they keep; one more token follows.
      (void)run(*rounds, {kept, 0, prompt_tokens, true}, prompt);
      const StageData all =
          run(*rounds, {kept, prompt_tokens, drafts + 1, true, 0, drafts, true}, round);
      const std::int64_t known = prompt_tokens + kept;
      const StageData one =
          run(*alone, {0, known - 1, 1, true}, {round[static_cast<std::size_t>(kept) - 1]});
      const auto rows = all.logits.floats();
      const auto width = static_cast<std::size_t>(network.vocabulary);
      EXPECT_TRUE(std::ranges::equal(
          rows.subspan(static_cast<std::size_t>(kept - 1) * width, width), one.logits.floats()))
          << network.name << " row " << kept - 1;
      rounds->keep(kept, known);
      const auto other = load_on_gpu(chip_, float_stage(network), weights, 24);
      (void)run(*other, {0, 0, prompt_tokens, true}, prompt);
      for (std::int64_t i = 0; i < kept; ++i) {
        (void)run(*other, {0, prompt_tokens + i, 1, true}, {round[static_cast<std::size_t>(i)]});
      }
      EXPECT_EQ(run(*rounds, {kept, known, 1, true}, {5}).logits,
                run(*other, {0, known, 1, true}, {5}).logits)
          << network.name << " keeps " << kept;
    }
  }
}

TEST_F(Rounds, StatesFromBeforeTheDraftsAreGone) {
  const NeuralNetwork network = test::qwen35_tiny();
  const Weights weights = random_weights(network, 23);
  const auto stage = load_on_gpu(chip_, float_stage(network), weights, 24);
  (void)run(*stage, {0, 0, prompt_tokens, true}, some_tokens(network, prompt_tokens, 2));
  EXPECT_NO_THROW(stage->keep(0, prompt_tokens));
  EXPECT_THROW(stage->keep(0, prompt_tokens - 1), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
