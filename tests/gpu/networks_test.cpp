// Does the GPU compute every kind of layer as the reference model does, whatever the batching, the
// cut of prompts and the order of CTAs?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/gpu/execute/delta_rule.hpp"
#include "models/gpu/execute/routing.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/random_networks.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/support/property.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t positions = 24;

Precision in_format(ElementType type) {
  return {type, type, type};
}

using Tokens = std::vector<std::int32_t>;

Tokens tokens_for(const NeuralNetwork& network, int count, int salt) {
  Tokens tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(static_cast<std::int32_t>((i * 7 + salt * 5 + 1) % network.vocabulary));
  }
  return tokens;
}

/// A network on one chip, run request by request.
class Loaded {
 public:
  Loaded(const GpuChip& chip, const Weights& weights, const Precision& precision,
         CtaOrder order = CtaOrder::Canonical)
      : stage_(load_on_gpu(chip, whole_model(weights.network, precision), weights, positions,
                           order)) {}

  Tensor run(std::int64_t request, std::int64_t context, const Tokens& tokens) {
    return run({{{request, context, static_cast<std::int64_t>(tokens.size()), true}}}, tokens);
  }
  Tensor run(const Batch& batch, const Tokens& tokens) {
    StageData in;
    StageData out;
    in.tokens = tokens;
    (void)stage_->run(batch, in, out);
    return out.logits;
  }

 private:
  std::unique_ptr<LoadedStage> stage_;
};

/// Largest difference as a share of the largest value.
double distance(const Tensor& a, std::span<const float> b) {
  EXPECT_EQ(a.elements(), static_cast<std::int64_t>(b.size()));
  double worst = 0;
  double largest = 1e-30;
  for (std::size_t i = 0; i < b.size(); ++i) {
    const auto value = static_cast<double>(a.load(static_cast<std::int64_t>(i)));
    worst = std::max(worst, std::abs(value - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(b[i])));
  }
  return worst / largest;
}

std::span<const float> last_row(const Tensor& logits, std::int64_t width) {
  return logits.floats().last(static_cast<std::size_t>(width));
}

/// A prompt at once, then tokens one by one: worst distance from the reference.
double worst_distance(const GpuChip& chip, const Weights& weights, const Precision& precision) {
  const NeuralNetwork& network = weights.network;
  const std::int64_t width = network.vocabulary;
  const bool is_float = precision.weights == ElementType::Float32;
  const Weights rounded =
      is_float ? Weights{network, {}} : weights_in_format(weights, precision.weights);
  ReferenceModel reference(is_float ? weights : rounded, {{precision.weights}, true, true});
  Loaded loaded(chip, weights, precision);
  const Tokens prompt = tokens_for(network, 11, 1);
  const Tensor expected = reference.prefill(prompt);
  double worst = distance(loaded.run(0, 0, prompt), last_row(expected, width));
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto token = static_cast<std::int32_t>((3 * i + 2) % width);
    const Tensor next = reference.forward(token, 11 + i);
    worst = std::max(worst, distance(loaded.run(0, 11 + i, {token}), next.floats()));
  }
  return worst;
}

class Networks : public ::testing::Test {
 protected:
  GpuChip chip_{large_chip(), Software{}};
};

// Softmax runs block by block, RMS norms multiply by a rounded 1 / rms, and the chunked delta rule
// solves for its writes directly: a few units in the last place of float per layer.
TEST_F(Networks, LogitsEqualTheReference) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 11);
    EXPECT_LT(worst_distance(chip_, weights, in_format(ElementType::Float32)), 1e-5)
        << network.name;
  }
}

// In bfloat16, roundings fall elsewhere: the reference rounds softmax weights, the GPU does not.
// Where two experts are almost equally good for a token, that decides between them, and logits are
// 0.1 to 0.4 apart; of five draws of weights at least two are free of it.
TEST_F(Networks, LogitsInBfloat16StayNearTheReference) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    std::vector<double> worst;
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const Weights weights = random_weights(network, seed);
      worst.push_back(worst_distance(chip_, weights, in_format(ElementType::Bfloat16)));
    }
    std::sort(worst.begin(), worst.end());
    EXPECT_LT(worst[1], 0.03) << network.name;
    EXPECT_GT(worst[0], 0) << network.name;
  }
}

TEST_F(Networks, RandomNetworksEqualTheReference) {
  for (int seed = 0; seed < test::property_cases(40); ++seed) {
    RandomStream random(static_cast<std::uint64_t>(seed), "gpu networks");
    const NeuralNetwork network = test::NetworkMaker(random).network();
    const Weights weights = random_weights(network, 5);
    EXPECT_LT(worst_distance(chip_, weights, in_format(ElementType::Float32)), 1e-4)
        << "seed " << seed;
  }
}

/// Prompts are cut where the chunks of gated delta layers end, so that chunks stay the same.
TEST_F(Networks, PromptsInPiecesGiveTheSameBits) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 12);
    Loaded at_once(chip_, weights, in_format(ElementType::Bfloat16));
    Loaded in_pieces(chip_, weights, in_format(ElementType::Bfloat16));
    const Tokens prompt = tokens_for(network, 14, 2);
    const Tensor expected = at_once.run(0, 0, prompt);
    (void)in_pieces.run(0, 0, {prompt.begin(), prompt.begin() + 8});
    EXPECT_EQ(in_pieces.run(0, 8, {prompt.begin() + 8, prompt.end()}), expected) << network.name;
    EXPECT_EQ(in_pieces.run(0, 14, {3}), at_once.run(0, 14, {3})) << network.name;
  }
}

/// Grouped attention has one form for prompts and single tokens.
TEST_F(Networks, TokenByTokenGivesTheBitsOfAPrompt) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const bool one_form = std::ranges::all_of(network.kinds, [](const LayerKind& kind) {
      return std::holds_alternative<GroupedAttention>(kind.mixer);
    });
    if (!one_form) continue;
    const Weights weights = random_weights(network, 13);
    Loaded at_once(chip_, weights, in_format(ElementType::Float32));
    Loaded single(chip_, weights, in_format(ElementType::Float32));
    const Tokens prompt = tokens_for(network, 12, 3);
    Tensor last;
    for (std::size_t i = 0; i < prompt.size(); ++i) {
      last = single.run(4, static_cast<std::int64_t>(i), {prompt[i]});
    }
    EXPECT_EQ(at_once.run(4, 0, prompt), last) << network.name;
  }
}

TEST_F(Networks, RequestsOfABatchDoNotTouchEachOther) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 14);
    Loaded together(chip_, weights, in_format(ElementType::Float32));
    Loaded alone(chip_, weights, in_format(ElementType::Float32));
    const Tokens a = tokens_for(network, 9, 4);
    const Tokens b = tokens_for(network, 5, 6);
    (void)together.run(1, 0, a);
    (void)alone.run(1, 0, a);
    // One decodes while the other's prompt is processed.
    Tokens both{7};
    both.insert(both.end(), b.begin(), b.end());
    const Tensor logits = together.run({{{1, 9, 1, true}, {2, 0, 5, true}}}, both);
    const auto rows = logits.floats();
    const auto width = static_cast<std::size_t>(network.vocabulary);
    EXPECT_TRUE(std::ranges::equal(rows.first(width), alone.run(1, 9, {7}).floats()))
        << network.name;
    EXPECT_TRUE(std::ranges::equal(rows.last(width), alone.run(2, 0, b).floats())) << network.name;
  }
}

TEST_F(Networks, ResultsDoNotDependOnTheOrderOfCtas) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 15);
    Loaded forwards(chip_, weights, in_format(ElementType::Bfloat16));
    Loaded backwards(chip_, weights, in_format(ElementType::Bfloat16), CtaOrder::Reversed);
    const Tokens prompt = tokens_for(network, 10, 5);
    EXPECT_EQ(forwards.run(0, 0, prompt), backwards.run(0, 0, prompt)) << network.name;
    EXPECT_EQ(forwards.run(0, 10, {2}), backwards.run(0, 10, {2})) << network.name;
  }
}

/// Logits of a pass whose layers' halves run on two chips, which hand hidden rows to each other.
Tensor in_halves(LoadedStage& mixers, LoadedStage& blocks, const Batch& batch,
                 const Tokens& tokens) {
  StageData in, nothing, out, none;
  in.tokens = tokens;
  const auto first = mixers.begin(batch, in);
  const auto second = blocks.begin(batch, nothing);
  (void)second->advance();  // waits for the first layer's mixer
  while (auto rows = first->advance()) {
    second->receive(std::move(*rows));
    auto back = second->advance();
    if (!back) {
      (void)second->finish(none);
      back = {none.hidden};
    }
    first->receive(std::move(*back));
  }
  (void)first->finish(out);
  return out.logits;
}

TEST_F(Networks, HalvesOfLayersOnTwoChipsGiveTheSameBits) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    const Weights weights = random_weights(network, 16);
    for (const ElementType type : {ElementType::Float32, ElementType::Bfloat16}) {
      Loaded whole(chip_, weights, in_format(type));
      const Stage mixers = whole_model(half_of(network, LayerHalf::First), in_format(type));
      Stage blocks = whole_model(half_of(network, LayerHalf::Second), in_format(type));
      blocks.has_embedding = false;
      blocks.head_end = 0;
      const auto first = load_on_gpu(chip_, mixers, weights, positions);
      const auto second = load_on_gpu(chip_, blocks, weights, positions);
      const Tokens prompt = tokens_for(network, 9, 7);
      EXPECT_EQ(in_halves(*first, *second, {{{0, 0, 9, true}}}, prompt), whole.run(0, 0, prompt))
          << network.name;
      EXPECT_EQ(in_halves(*first, *second, {{{0, 9, 1, true}}}, {4}), whole.run(0, 9, {4}))
          << network.name;
    }
  }
}

// S = 0, beta = 1, no decay: the first token writes k v^T, so its own query q = k reads v / sqrt 2;
// the second, orthogonal one reads what it writes itself and nothing of the first.
TEST(DeltaRule, WritesAndReadsByHand) {
  const std::vector<float> k0{1, 0}, k1{0, 1}, v0{2, 4, 6}, v1{1, 1, 3};
  std::vector<float> out0(3), out1(3);
  const std::vector<DeltaToken> tokens = {{k0, k0, v0, 0, 1, out0}, {k1, k1, v1, 0, 1, out1}};
  for (const bool chunked : {false, true}) {
    std::vector<float> state(6);
    chunked ? delta_chunk(tokens, state) : delta_recurrent(tokens, state);
    EXPECT_EQ(state, (std::vector<float>{2, 4, 6, 1, 1, 3}));
    const auto root = static_cast<float>(1 / std::sqrt(2.0));
    EXPECT_FLOAT_EQ(out0[1], 4 * root);
    EXPECT_FLOAT_EQ(out1[2], 3 * root);
  }
}

// Logits 1, 3, 2, 0 in two groups. By softmax, top 2: experts 1 and 2 with weights e^3 : e^2, that
// is 0.7311 and 0.2689 renormalised, times a scale of 2.
TEST(Routing, ChoosesByHand) {
  ops::Router router;
  router.experts = 4;
  router.top_k = 2;
  router.scale = 2;
  const std::vector<float> logits{1, 3, 2, 0};
  const auto choices = choose_experts(router, logits, {});
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_EQ(choices[0].expert, 1);
  EXPECT_EQ(choices[1].expert, 2);
  EXPECT_NEAR(choices[0].weight, 2 * 0.7310586F, 1e-6);
  EXPECT_NEAR(choices[1].weight, 2 * 0.2689414F, 1e-6);
  router.groups = 2;  // only the group {1, 3} may be chosen from
  EXPECT_EQ(choose_experts(router, logits, {})[1].expert, 0);
  router.rule = ops::RouterRule::SigmoidBias;
  router.bias = true;
  router.groups = 1;
  const std::vector<float> bias{0, 0, -10, 10};  // chooses, but does not weigh
  const auto biased = choose_experts(router, logits, bias);
  EXPECT_EQ(biased[0].expert, 3);
  EXPECT_EQ(biased[1].expert, 1);
  const double sum = 0.5 + 0.9525741;
  EXPECT_NEAR(biased[0].weight, 2 * 0.5 / sum, 1e-6);
}

/// A request of 9 tokens whose caches hold `kv` goes on elsewhere with the same bits, out of a
/// block of `bytes`.
void expect_to_move(const GpuChip& chip, const NeuralNetwork& network, ElementType kv,
                    std::int64_t bytes) {
  const Weights weights = random_weights(network, 17);
  Precision precision = in_format(ElementType::Float32);
  precision.kv_cache = kv;
  const Stage stage = whole_model(network, precision);
  const auto from = load_on_gpu(chip, stage, weights, positions);
  const auto to = load_on_gpu(chip, stage, weights, positions);
  StageData in, out, moved;
  in.tokens = tokens_for(network, 9, 8);
  (void)from->run({{{3, 0, 9, true}}}, in, out);
  const KvBlock block = from->export_kv(3);
  EXPECT_EQ(static_cast<std::int64_t>(block.bytes.size()), bytes);
  to->import_kv(5, block);
  EXPECT_EQ(to->export_kv(5), block);
  in.tokens = {6};
  (void)from->run({{{3, 9, 1, true}}}, in, out);
  (void)to->run({{{5, 9, 1, true}}}, in, moved);
  EXPECT_EQ(moved.logits, out.logits);
}

// 3 layers, 9 tokens, a latent of 16 and a shared key of 8.
TEST_F(Networks, LatentsMoveBetweenChipsByteForByte) {
  for (const ElementType kv : {ElementType::Float32, ElementType::Fp8E4m3}) {
    expect_to_move(chip_, test::dsv3_tiny(), kv, 3 * 9 * (16 + 8) * bytes_of(kv));
  }
}

// Three states of 4 heads x 16 x 16 and 3 inputs of 2 x 2 x 16 + 4 x 16 channels in float32; KV of
// 9 tokens, 2 heads of 16, in the type asked for.
TEST_F(Networks, StatesMoveBetweenChipsByteForByte) {
  for (const ElementType kv : {ElementType::Float32, ElementType::Bfloat16}) {
    expect_to_move(chip_, test::qwen35_tiny(), kv,
                   3 * (1024 + 3 * 128) * 4 + 2 * 9 * 2 * 16 * bytes_of(kv));
  }
}

TEST_F(Networks, WhatCannotMoveIsAnError) {
  NeuralNetwork network = test::dsv3_tiny();
  for (LayerKind& kind : network.kinds) {
    auto& mixer = std::get<LatentAttention>(kind.mixer);
    mixer.indexer = ops::IndexerShape{};
  }
  EXPECT_THROW((void)empty_block(network, 0, 1, ElementType::Float32, 2), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
