// Speculative decoding where LPUs verify, alone or behind a GPU that computes the prompt: whatever
// drafts, the text is the one that the model's own reference wrote (expected_greedy.json beside
// each checkpoint).
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/lower/checkpoint.hpp"
#include "sim/step/generate_in_rounds.hpp"

namespace tandem::entry {
namespace {

/// A bundled model, and a tensor that makes its text a little different where it is larger.
struct SmallModel {
  const char* name;
  const char* weights;
  const char* disturbed;
};

constexpr SmallModel little_tales{"little_tales", "model.bin", "layers.2.ffn.down"};
constexpr SmallModel little_latent{"little_latent", "model.safetensors", "layers.0.ffn.down"};
constexpr SmallModel little_hybrid{"little_hybrid", "model.safetensors", "layers.1.delta.output"};

enum class Where { Gpu, Lpu, PromptsOnGpu };
enum class Drafts { None, Model, Modules };

class Bundle {
 public:
  explicit Bundle(const SmallModel& model)
      : model_(model),
        folder_(std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads/checkpoints" / model.name),
        weights_(read_checkpoint((folder_ / model.weights).string(),
                                 context_.loader.network(model.name))),
        similar_(weights_) {
    for (float& value : similar_.tensors.at(model.disturbed).floats()) value *= 3;
    const auto written = nlohmann::json::parse(std::ifstream(folder_ / "expected_greedy.json"));
    const auto& entry = written["continuations"].front();
    prompt_ = {end_of_text_token};
    for (const auto& token : entry["prompt_token_ids"]) prompt_.push_back(token);
    expected_ = entry["token_ids"].get<std::vector<std::int32_t>>();
    options_.positions = 24;
    options_.ignore_end = true;
  }

  [[nodiscard]] GenerateResult run(Where where, Drafts drafts, const std::string& count = "2",
                                   std::vector<Override> more = {}) const {
    std::vector<Override> changes = {{"model", model_.name}};
    if (drafts == Drafts::Model) changes.push_back({"draft_model", model_.name});
    if (drafts != Drafts::None) {
      const std::string method = drafts == Drafts::Model ? "draft_model" : "mtp";
      changes.push_back({"speculation", "{method: " + method + ", drafts: " + count + "}"});
    }
    changes.insert(changes.end(), more.begin(), more.end());
    const Scenario scenario = context_.loader.scenario(base(where), changes);
    if (drafts == Drafts::None) {
      return generate(scenario, context_.catalogue, context_.make_network, weights_, prompt_,
                      options_);
    }
    return generate_in_rounds(scenario, context_.catalogue, context_.make_network, weights_,
                              drafts == Drafts::Model ? similar_ : Weights{}, prompt_, options_);
  }
  /// Every position gives the token behind it.
  [[nodiscard]] std::vector<std::int32_t> expected() const {
    return {expected_.begin(), expected_.begin() + options_.positions + 1};
  }
  [[nodiscard]] bool has_module() const { return weights_.network.mtp.modules > 0; }
  void stop_at(std::int64_t positions) { options_.positions = positions; }
  void sample(double temperature) { options_.temperature = temperature; }
  void draft_with_the_model_itself() { similar_ = weights_; }

 private:
  [[nodiscard]] static const char* base(Where where) {
    if (where == Where::PromptsOnGpu) return "little_tales_hybrid";
    return where == Where::Gpu ? "little_tales_gpu" : "little_tales_lpu";
  }

  Context context_ = make_context();
  SmallModel model_;
  std::filesystem::path folder_;
  Weights weights_, similar_;
  std::vector<std::int32_t> prompt_, expected_;
  GenerateOptions options_;
};

std::int64_t drafts_kept(const GenerateResult& result) {
  std::int64_t accepted = 0;
  for (const DraftRound& round : result.rounds) accepted += round.accepted;
  return accepted;
}

std::int64_t drafts_made(const GenerateResult& result) {
  std::int64_t drafted = 0;
  for (const DraftRound& round : result.rounds) drafted += round.drafted;
  return drafted;
}

class RoundsAnywhere : public testing::TestWithParam<std::tuple<SmallModel, Where>> {};

TEST_P(RoundsAnywhere, LeaveTheTextAsItIs) {
  const auto& [model, where] = GetParam();
  const Bundle bundle(model);
  const GenerateResult one = bundle.run(where, Drafts::None);
  EXPECT_EQ(one.tokens, bundle.expected());
  const auto expect_same = [&](const GenerateResult& two, const char* what) {
    EXPECT_EQ(two.tokens, one.tokens) << what;
    EXPECT_EQ(two.logits, one.logits) << what;
    EXPECT_GT(drafts_kept(two), 0) << what;
    EXPECT_GE(two.total, two.floor) << what;
  };
  const GenerateResult similar = bundle.run(where, Drafts::Model);
  expect_same(similar, "a draft model");
  EXPECT_LT(drafts_kept(similar), drafts_made(similar));
  if (!bundle.has_module()) return;
  // Functional pools of prompts hand over one module, which drafts once.
  const GenerateResult module =
      bundle.run(where, Drafts::Modules, where == Where::PromptsOnGpu ? "1" : "2");
  expect_same(module, "a module");
  EXPECT_GT(2 * drafts_kept(module), drafts_made(module));
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<SmallModel, Where>>& instance) {
  const auto& [model, where] = instance.param;
  const char* place = where == Where::Gpu ? "Gpu" : where == Where::Lpu ? "Lpu" : "PromptsOnGpu";
  return std::string(model.name) + "_" + place;
}

INSTANTIATE_TEST_SUITE_P(
    Bundled, RoundsAnywhere,
    testing::Combine(testing::Values(little_tales, little_latent, little_hybrid),
                     testing::Values(Where::Gpu, Where::Lpu, Where::PromptsOnGpu)),
    name_of_case);

// Drafts are made in passes of one token, verified in one of three: the same bits, so p = q and
// min(1, p / q) = 1.
TEST(RoundsOnLpus, TheModelItselfIsAlwaysRightWhereTextIsSampled) {
  Bundle bundle(little_tales);
  bundle.draft_with_the_model_itself();
  bundle.sample(1);
  const GenerateResult text = bundle.run(Where::Lpu, Drafts::Model);
  EXPECT_EQ(drafts_kept(text), drafts_made(text));
  EXPECT_EQ(bundle.run(Where::Lpu, Drafts::Model).tokens, text.tokens);
}

TEST(RoundsOnLpus, GangsDraftAndVerifyTogether) {
  Bundle bundle(little_latent);
  bundle.stop_at(12);
  const std::vector<Override> gang = {{"system", "lpu_v1_node"}, {"placement.tensor", "2"}};
  const GenerateResult one = bundle.run(Where::Lpu, Drafts::None, "", gang);
  const GenerateResult two = bundle.run(Where::Lpu, Drafts::Modules, "1", gang);
  EXPECT_EQ(two.tokens, one.tokens);
  EXPECT_EQ(two.logits, one.logits);
  EXPECT_GT(drafts_kept(two), 0);
}

}  // namespace
}  // namespace tandem::entry
