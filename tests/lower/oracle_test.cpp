// Does the reference model agree with the independent oracle (scripts/oracle.py, float64) on small
// networks of every kind, in each of its equal forms?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/lower/reference_model.hpp"
#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

using Rows = std::vector<std::vector<double>>;

/// Float against double over a few layers: 24 bits, some hundred sums deep. Measured at most 2e-6;
/// a wrong term shows at 1e-2.
constexpr double tolerance = 2e-5;

struct Golden {
  std::vector<std::int32_t> prompt;
  Rows logits, draft_logits;
};

Golden read_golden(const std::string& name) {
  std::ifstream stream(std::string(TANDEM_SOURCE_DIR) + "/tests/lower/golden/" + name + ".json");
  const auto json = nlohmann::json::parse(stream);
  Golden golden{json.at("prompt"), json.at("logits"), {}};
  if (json.contains("draft_logits")) json.at("draft_logits").get_to(golden.draft_logits);
  return golden;
}

/// Largest difference as a share of the largest logit.
double error_of(std::span<const float> found, const Rows& expected) {
  double largest = 0;
  double worst = 0;
  std::size_t i = 0;
  for (const auto& row : expected) {
    for (const double value : row) {
      largest = std::max(largest, std::abs(value));
      worst = std::max(worst, std::abs(static_cast<double>(found[i++]) - value));
    }
  }
  EXPECT_EQ(i, found.size());
  return worst / largest;
}

std::vector<float> token_by_token(ReferenceModel& model, const Golden& golden) {
  std::vector<float> all;
  for (const std::int32_t token : golden.prompt) {
    const Tensor logits = model.forward(token, model.tokens());
    all.insert(all.end(), logits.floats().begin(), logits.floats().end());
  }
  return all;
}

class Oracle : public testing::TestWithParam<NeuralNetwork> {
 protected:
  const Golden golden_ = read_golden(GetParam().name);
  const Weights weights_ = test::seeded_weights(GetParam());
};

TEST_P(Oracle, token_by_token_gives_its_logits) {
  ReferenceModel model(weights_);
  const double error = error_of(token_by_token(model, golden_), golden_.logits);
  RecordProperty("relative_error", std::to_string(error));
  EXPECT_LT(error, tolerance);
}

TEST_P(Oracle, absorbed_latent_attention_gives_its_logits) {
  ReferenceOptions options;
  options.absorbed = true;
  ReferenceModel model(weights_, options);
  EXPECT_LT(error_of(token_by_token(model, golden_), golden_.logits), tolerance);
}

TEST_P(Oracle, prefill_in_chunks_and_in_two_calls_gives_its_logits) {
  ReferenceModel model(weights_);
  const auto prompt = std::span(golden_.prompt);
  const Tensor first = model.prefill(prompt.first(5));
  const Tensor rest = model.prefill(prompt.subspan(5));
  std::vector<float> all(first.floats().begin(), first.floats().end());
  all.insert(all.end(), rest.floats().begin(), rest.floats().end());
  EXPECT_LT(error_of(all, golden_.logits), tolerance);
}

TEST_P(Oracle, drafts_of_multi_token_prediction_are_its_drafts) {
  ReferenceModel model(weights_);
  std::vector<float> drafts;
  for (std::size_t i = 0; i + 1 < golden_.prompt.size(); ++i) {
    (void)model.forward(golden_.prompt[i], model.tokens());
    if (GetParam().mtp.modules == 0) continue;
    const auto draft = model.draft(model.hidden(), golden_.prompt[i + 1], model.tokens() - 1);
    drafts.insert(drafts.end(), draft.logits.floats().begin(), draft.logits.floats().end());
  }
  if (GetParam().mtp.modules == 0) {
    EXPECT_TRUE(golden_.draft_logits.empty());
  } else {
    EXPECT_LT(error_of(drafts, golden_.draft_logits), tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Oracle, testing::ValuesIn(test::tiny_networks()),
                         [](const auto& instance) {
                           std::string name = instance.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace tandem
