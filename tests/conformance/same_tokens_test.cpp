// The same tokens wherever a model runs, with techniques that are seen at work and without.
#include "tests/conformance/same_tokens.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "sim/entry/api.hpp"
#include "tests/conformance/runs.hpp"

namespace tandem::conformance {
namespace {

/// With the token in front of every text.
constexpr std::int64_t prompt_tokens = 4;
constexpr std::int64_t written_tokens = 60;

/// What a cell wrote.
struct Written {
  nlohmann::json json;
  std::vector<std::string> logits;  ///< a line for each token behind the prompt
  std::string page;
  /// Of all texts.
  [[nodiscard]] std::vector<nlohmann::json> tokens() const {
    if (!json.contains("branches")) return {json["tokens"]};
    std::vector<nlohmann::json> texts;
    for (const nlohmann::json& branch : json["branches"]) texts.push_back(branch["tokens"]);
    return texts;
  }
};

class SameTokens : public ::testing::TestWithParam<TrainedModel> {
 protected:
  [[nodiscard]] Written written(const PlacementRow& placement, const Technique& technique) const {
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
    request.prompt = "Once there was";
    request.tokens = prompt_tokens + written_tokens - 1;  // the last one is not computed
    request.branches = technique.texts;
    request.temperature = technique.texts > 1 ? 1 : 0;
    const entry::GenerateAnswer answer = entry::generate_text_of(context_, request);
    Written written{nlohmann::json::parse(answer.json), {}, answer.page};
    std::istringstream lines(answer.logits_jsonl);
    for (std::string line; std::getline(lines, line);) written.logits.push_back(line);
    return written;
  }

  entry::Context context_ = entry::make_context();
};

/// Tokens behind the prompt before the first whose logits differ.
std::int64_t first_other(const Written& written, const Written& plain) {
  const auto [at, _] = std::ranges::mismatch(written.logits, plain.logits);
  return at - written.logits.begin();
}

/// The first token whose pass misses one: what a pass evicts the next one does not see.
std::int64_t first_missing(const Technique& technique) {
  if (technique.kept_share > 0) {
    EXPECT_LT(std::llround(technique.kept_share * prompt_tokens), prompt_tokens);
    return 1;
  }
  return technique.kept_tokens + 2 - prompt_tokens;
}

/// `plain`: the same placement without the technique.
void expect_at_work(const Technique& technique, const Written& written, const Written& plain) {
  switch (technique.trace) {
    case Trace::None:
      break;
    case Trace::OtherLogits:
      EXPECT_EQ(first_other(written, plain), 0);
      break;
    case Trace::EvictedTokens:
      EXPECT_EQ(first_other(written, plain), first_missing(technique));
      break;
    case Trace::RejectedDrafts: {
      const auto drafted = written.json["speculation"]["drafted"].get<std::int64_t>();
      const auto accepted = written.json["speculation"]["accepted"].get<std::int64_t>();
      EXPECT_GT(accepted, 0);
      EXPECT_LT(accepted, drafted);
      EXPECT_NE(written.page.find(fmt::format(" {} of {} drafts in ", accepted, drafted)),
                std::string::npos)
          << written.page;
      break;
    }
    case Trace::SharedPrompt: {
      const nlohmann::json& texts = written.json["branches"];
      ASSERT_EQ(texts.size(), 2U);
      EXPECT_NE(texts[0]["tokens"], texts[1]["tokens"]);
      // One pass over the prompt gives both their first token, when it gives one text its own.
      const nlohmann::json& first_token = plain.json["timing"]["ttft_ms"];
      EXPECT_EQ(texts[0]["per_token_ms"][0], first_token);
      EXPECT_EQ(texts[1]["per_token_ms"][0], first_token);
      break;
    }
  }
}

/// The texts part, and where they do the tokens that each took are equally good on the first chip.
void expect_tie(const Written& first, const Written& own) {
  const nlohmann::json &left = first.json["tokens"], &right = own.json["tokens"];
  std::size_t at = 0;
  while (at < left.size() && left[at] == right[at]) ++at;
  ASSERT_LT(at, left.size());
  const auto line = nlohmann::json::parse(first.logits.at(at - prompt_tokens));
  const auto logit = [&](const nlohmann::json& token) {
    return line["logits"][token.get<std::size_t>()].get<double>();
  };
  EXPECT_NEAR(logit(left[at]), logit(right[at]), std::abs(logit(left[at])) / 1024);
}

/// Whether cells that take long are tested too.
bool every_cell() {
  return std::getenv("TANDEM_EVERY_CELL") != nullptr;
}

TEST_P(SameTokens, OnEveryPlacementOrARefusal) {
  const std::vector<Technique> rows = techniques();
  std::map<std::string, Written> plain;  // by placement
  for (const PlacementRow& placement : placement_rows()) {
    const Cell cell = same_tokens(GetParam(), placement, rows.front());
    if (cell.kind == CellKind::Same && (every_cell() || !cell.takes_long)) {
      plain[placement.name] = written(placement, rows.front());
    }
  }
  const std::vector<nlohmann::json> plain_tokens = plain.at("one GPU").tokens();
  ASSERT_EQ(plain_tokens.front().size(), prompt_tokens + written_tokens);
  for (const Technique& technique : rows) {
    std::vector<nlohmann::json> expected;
    std::optional<Written> first;  // of one GPU, the first placement
    if (technique.keeps_text) expected = plain_tokens;
    for (const PlacementRow& placement : placement_rows()) {
      const Cell cell = same_tokens(GetParam(), placement, technique);
      if (cell.takes_long && !every_cell()) continue;
      const std::string refused = cell.kind == CellKind::Refused ? cell.words : "";
      expect_promise(
          {0, refused}, GetParam().name + ", " + placement.name + ", " + technique.name, [&] {
            const bool is_plain = technique.name == rows.front().name;
            const Written own = is_plain ? plain.at(placement.name) : written(placement, technique);
            if (!first) first = own;
            if (expected.empty()) expected = own.tokens();
            EXPECT_EQ(own.tokens() == expected, cell.kind == CellKind::Same)
                << own.json["text"] << " after " << expected.front();
            if (cell.kind == CellKind::Tie) expect_tie(*first, own);
            const auto without = plain.find(placement.name);
            if (without != plain.end()) expect_at_work(technique, own, without->second);
            const bool needs_plain =
                technique.trace != Trace::None && technique.trace != Trace::RejectedDrafts;
            EXPECT_TRUE(without != plain.end() || !needs_plain);
          });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Trained, SameTokens, testing::ValuesIn(trained_models()),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace tandem::conformance
