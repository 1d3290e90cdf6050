// The same greedy tokens wherever a model runs, with techniques and without.
#include "tests/conformance/same_tokens.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/entry/api.hpp"
#include "tests/conformance/runs.hpp"

namespace tandem::conformance {
namespace {

using Tokens = std::vector<std::int32_t>;

/// Of a prompt of ten tokens and twelve more.
constexpr std::int64_t written_positions = 22;

class SameTokens : public ::testing::TestWithParam<TrainedModel> {
 protected:
  [[nodiscard]] Tokens written(const PlacementRow& placement, const Technique& technique) const {
    const auto folder = std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads" / "checkpoints";
    const TrainedModel& model = GetParam();
    entry::GenerateRequest request;
    request.scenario = placement.scenario;
    request.overrides = entry::parse_overrides(overrides_of(model, placement, technique));
    request.checkpoint = (folder / model.checkpoint).string();
    if (technique.uses_draft_model && !model.draft_checkpoint.empty()) {
      request.draft_checkpoint = (folder / model.draft_checkpoint).string();
    }
    request.tokenizer = (folder / "little_tales" / "tokenizer.bin").string();
    request.prompt = "Once there was a brave little fox";
    request.tokens = written_positions;
    const auto json = nlohmann::json::parse(entry::generate_text_of(context_, request).json);
    return json["tokens"].get<Tokens>();
  }

  entry::Context context_ = entry::make_context();
};

TEST_P(SameTokens, OnEveryPlacementOrARefusal) {
  const PlacementRow one_gpu = placement_rows().front();
  const Tokens plain = written(one_gpu, techniques().front());
  ASSERT_EQ(static_cast<std::int64_t>(plain.size()), written_positions + 1);  // and what follows
  for (const Technique& technique : techniques()) {
    Tokens expected = plain;
    if (!technique.keeps_text) expected = written(one_gpu, technique);
    for (const PlacementRow& placement : placement_rows()) {
      expect_promise(same_tokens(GetParam(), placement, technique),
                     GetParam().name + ", " + placement.name + ", " + technique.name,
                     [&] { EXPECT_EQ(written(placement, technique), expected); });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Trained, SameTokens, testing::ValuesIn(trained_models()),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace tandem::conformance
