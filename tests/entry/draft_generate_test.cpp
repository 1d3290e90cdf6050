// Speculative decoding with real numbers: whatever drafts, the text is that of the large model by
// itself.
#include "sim/step/draft_generate.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/numerics/tokenizer.hpp"

namespace tandem::entry {
namespace {

constexpr std::int64_t positions = 48;

/// The bundled model and what drafts for it.
class Drafting : public ::testing::Test {
 protected:
  Drafting()
      : folder_(std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads/checkpoints/little_tales"),
        context_(make_context()),
        weights_(read_llama2c_checkpoint((folder_ / "model.bin").string())),
        tokenizer_((folder_ / "tokenizer.bin").string(), weights_.network.vocabulary) {}

  [[nodiscard]] std::vector<std::int32_t> prompt() const {
    return tokenizer_.encode("The little fox", true, false);
  }
  GenerateResult alone(const std::string& name) {
    GenerateOptions options;
    options.positions = positions;
    Scenario scenario = context_.loader.scenario(name);
    return generate(scenario, context_.catalogue, context_.make_network, weights_, prompt(),
                    options);
  }
  GenerateResult drafted(const Weights& draft, const std::vector<Override>& changes = {}) {
    GenerateOptions options;
    options.positions = positions;
    const Scenario scenario = context_.loader.scenario("little_tales_drafter", changes);
    return generate_with_drafts(scenario, context_.catalogue, context_.make_network, weights_,
                                draft, prompt(), options);
  }
  [[nodiscard]] Weights first_layers(std::int64_t layers) {
    NeuralNetwork network =
        context_.loader.network("little_tales", {{"layers", std::to_string(layers)}});
    return weights_within(weights_, network);
  }

  std::filesystem::path folder_;
  Context context_;
  Weights weights_;
  Tokenizer tokenizer_;
};

std::int64_t accepted_of(const GenerateResult& result) {
  std::int64_t accepted = 0;
  for (const DraftRound& round : result.rounds) accepted += round.accepted;
  return accepted;
}

/// Token ids of 4 B: every draft goes one way; the first token and what each round but the last
/// gave goes the other way.
void expect_ids_on_the_links(const GenerateResult& result) {
  std::int64_t to_verify = 0;
  std::int64_t to_draft = 1;
  for (const DraftRound& round : result.rounds) {
    to_verify += round.drafted;
    to_draft += round.accepted + 1;
  }
  to_draft -= result.rounds.back().accepted + 1;
  Bytes up, down;
  for (const Transfer& transfer : result.transfers) {
    if (transfer.what != "tokens") continue;
    (transfer.from.starts_with("lpu") ? up : down) += transfer.bytes;
    EXPECT_GT(transfer.end, transfer.start);
  }
  EXPECT_EQ(up, Bytes(4 * to_verify));
  EXPECT_EQ(down, Bytes(4 * to_draft));
}

TEST_F(Drafting, AnLpuThatDraftsWithTheWholeModelIsAlmostAlwaysRight) {
  const GenerateResult one = alone("little_tales_gpu");
  const GenerateResult two = drafted(weights_);
  EXPECT_EQ(two.tokens, one.tokens);
  ASSERT_EQ(two.logits.size(), one.logits.size());
  EXPECT_EQ(two.logits, one.logits);  // rows of a pass do not touch each other
  EXPECT_LT(reference_max_abs_error(two, weights_), 1e-4);
  // float16 against float32: nearly every draft is the large model's own choice.
  EXPECT_GT(accepted_of(two), 2 * static_cast<std::int64_t>(two.rounds.size()));
  EXPECT_EQ(two.token_gaps.size(), one.token_gaps.size());
  EXPECT_GE(two.total, two.floor);
  expect_ids_on_the_links(two);
}

TEST_F(Drafting, AnLpuWithHalfTheLayersIsOftenWrongAndTheTextIsTheSame) {
  const GenerateResult one = alone("little_tales_gpu");
  const GenerateResult two = drafted(first_layers(2));
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
  std::int64_t drafted = 0;
  for (const DraftRound& round : two.rounds) drafted += round.drafted;
  EXPECT_LT(accepted_of(two), drafted);
  expect_ids_on_the_links(two);
}

TEST_F(Drafting, ANetworkOfOtherWidthsMayDraftToo) {
  const NeuralNetwork other = context_.loader.network(
      "little_tales", {{"layers", "1"}, {"hidden", "64"}, {"attention.heads", "2"}});
  const GenerateResult one = alone("little_tales_gpu");
  const GenerateResult two = drafted(random_weights(other, 3));
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_LT(accepted_of(two), static_cast<std::int64_t>(two.rounds.size()));
}

TEST_F(Drafting, AnLpuVerifiesSeveralTokensInOnePass) {
  const GenerateResult one = alone("little_tales_lpu");
  const GenerateResult two =
      drafted(first_layers(3), {{"placement.verify",
                                 "{pool: lpu, precision: {weights: float16, kv_cache: "
                                 "float16, activations: float16}}"},
                                {"placement.draft", "{pool: gpu}"}});
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
}

// 512 probabilities of 4 B for every draft go along; each token is one that the large model allows.
TEST_F(Drafting, SampledTextIsTheLargeModels) {
  const Scenario scenario = context_.loader.scenario("little_tales_drafter");
  GenerateOptions options;
  options.positions = 40;
  options.temperature = 1.5;
  options.top_k = 3;
  const auto generated = [&] {
    return generate_with_drafts(scenario, context_.catalogue, context_.make_network, weights_,
                                first_layers(2), prompt(), options);
  };
  const GenerateResult sampled = generated();
  std::int64_t drafted = 0;
  for (const DraftRound& round : sampled.rounds) drafted += round.drafted;
  Bytes probabilities;
  for (const Transfer& transfer : sampled.transfers) {
    if (transfer.what == "probabilities") probabilities += transfer.bytes;
  }
  EXPECT_EQ(probabilities, Bytes(drafted * weights_.network.vocabulary * 4));
  for (const auto& [position, logits] : sampled.logits) {
    const auto next = static_cast<std::size_t>(position) + 1;
    if (next >= sampled.tokens.size()) break;
    const auto allowed = ops::sampling_probabilities(logits, sampling_of(options), {});
    EXPECT_GT(allowed[static_cast<std::size_t>(sampled.tokens[next])], 0) << position;
  }
  EXPECT_EQ(generated().tokens, sampled.tokens);
  options.seed = 5;
  EXPECT_NE(generated().tokens, sampled.tokens);
}

// Gated delta networks on both pools, which go back to the states behind the tokens they keep.
TEST_F(Drafting, RecurrentStatesAreTakenBackOnBothPools) {
  const std::string floats = "{weights: float32, kv_cache: float32, activations: float32}";
  const std::string gpu = "{pool: gpu, precision: " + floats + "}";
  const Scenario scenario =
      context_.loader.scenario("little_tales_drafter", {{"system", "dgx_h100"},
                                                        {"model", "qwen35-tiny"},
                                                        {"draft_model", "qwen35-tiny"},
                                                        {"placement.draft", gpu},
                                                        {"placement.verify", gpu},
                                                        {"traffic.prompt_tokens", "16"},
                                                        {"traffic.output_tokens", "16"}});
  Weights weights = random_weights(scenario.model, 3);
  Weights other = weights;
  // Nearly the same network: some of its drafts are right, some are not.
  for (float& value : other.tensors.at("layers.1.delta.output").floats()) value *= 4;
  GenerateOptions options;
  options.positions = 40;
  options.ignore_end = true;
  const std::vector<std::int32_t> start = {1, 17, 5, 42, 8};
  Scenario single = context_.loader.scenario(
      "little_tales_gpu",
      {{"model", "qwen35-tiny"}, {"traffic.prompt_tokens", "16"}, {"traffic.output_tokens", "16"}});
  const GenerateResult one =
      generate(single, context_.catalogue, context_.make_network, weights, start, options);
  const GenerateResult two = generate_with_drafts(
      scenario, context_.catalogue, context_.make_network, weights, other, start, options);
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
  std::int64_t drafted = 0;
  for (const DraftRound& round : two.rounds) drafted += round.drafted;
  EXPECT_GT(accepted_of(two), 0);
  EXPECT_LT(accepted_of(two), drafted);
}

TEST_F(Drafting, AModelThatIsNotInTheCheckpointIsAnError) {
  const NeuralNetwork wider = context_.loader.network("little_tales", {{"hidden", "256"}});
  EXPECT_THROW((void)weights_within(weights_, wider), ConfigError);
}

}  // namespace
}  // namespace tandem::entry
