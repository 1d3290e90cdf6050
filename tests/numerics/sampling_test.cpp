// Does sampling filter in the published order, and does speculation keep the target's distribution?
#include "sim/numerics/ops/sampling.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/speculation.hpp"

namespace tandem::ops {
namespace {

TEST(Sample, follows_the_distribution_and_repeats_with_its_seed) {
  // Logits (0, ln 3): 1/4 and 3/4 at temperature 1; at temperature 1/2 (0, 2 ln 3): 1/10, 9/10.
  const std::array<float, 2> logits{0.0F, 1.0986123F};
  const auto ones = [&](double temperature) {
    RandomStream random(9, "sampling");
    int count = 0;
    for (int i = 0; i < 10000; ++i) {
      count += sample(logits, temperature, random);
    }
    return count;
  };
  EXPECT_NEAR(ones(1.0), 7500, 5 * 43);  // sqrt(10000 x 3/16) = 43
  EXPECT_NEAR(ones(0.5), 9000, 5 * 30);
  EXPECT_EQ(ones(1.0), ones(1.0));
}

TEST(Sample, temperature_zero_is_greedy_and_draws_nothing) {
  RandomStream used(9, "sampling");
  RandomStream fresh(9, "sampling");
  EXPECT_EQ(sample(std::array{1.0F, 2.0F}, 0.0, used), 1);
  EXPECT_EQ(used.next(), fresh.next());
  EXPECT_THROW((void)sample(std::array{1.0F}, -1.0, used), ModelError);
  EXPECT_THROW((void)sample({}, 1.0, used), ModelError);
}

/// Logits whose softmax is 0.4, 0.3, 0.2, 0.1.
std::vector<float> four() {
  return {std::log(0.4F), std::log(0.3F), std::log(0.2F), std::log(0.1F)};
}

void expect_near(const std::vector<float>& probabilities, const std::vector<double>& expected) {
  ASSERT_EQ(probabilities.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(probabilities[i], expected[i], 1e-6) << "token " << i;
    EXPECT_EQ(probabilities[i] == 0, expected[i] == 0) << "token " << i;
  }
}

TEST(Sampling, each_filter_keeps_the_most_probable) {
  expect_near(sampling_probabilities(four(), {}, {}), {0.4, 0.3, 0.2, 0.1});
  expect_near(sampling_probabilities(four(), {.top_k = 2}, {}), {4.0 / 7, 3.0 / 7, 0, 0});
  // top_p 0.5: 0.4 does not reach it, 0.4 + 0.3 does.
  expect_near(sampling_probabilities(four(), {.top_p = 0.5}, {}), {4.0 / 7, 3.0 / 7, 0, 0});
  expect_near(sampling_probabilities(four(), {.top_p = 0.01}, {}), {1, 0, 0, 0});
  // min_p 0.4: at least 0.16.
  expect_near(sampling_probabilities(four(), {.min_p = 0.4}, {}), {4.0 / 9, 3.0 / 9, 2.0 / 9, 0});
  // Temperature 1/2 squares: 16 : 9 : 4 : 1.
  expect_near(sampling_probabilities(four(), {.temperature = 0.5}, {}),
              {16.0 / 30, 9.0 / 30, 4.0 / 30, 1.0 / 30});
}

TEST(Sampling, filters_follow_one_another) {
  // top_k 2 leaves 4/7 and 3/7; 4/7 reaches top_p 0.55, while 0.4 of the whole would not.
  expect_near(sampling_probabilities(four(), {.top_k = 2, .top_p = 0.55}, {}), {1, 0, 0, 0});
  // Temperature comes before min_p: squared, 4/16 is under 0.4, unsquared 0.2 / 0.4 is not.
  expect_near(sampling_probabilities(four(), {.temperature = 0.5, .min_p = 0.4}, {}),
              {16.0 / 25, 9.0 / 25, 0, 0});
}

TEST(Sampling, equal_tokens_go_by_index) {
  const std::vector<float> equal(4, 1.0F);
  expect_near(sampling_probabilities(equal, {.top_k = 2}, {}), {0.5, 0.5, 0, 0});
  expect_near(sampling_probabilities(equal, {.top_p = 0.6}, {}), {1.0 / 3, 1.0 / 3, 1.0 / 3, 0});
}

TEST(Sampling, the_repetition_penalty_divides_above_zero_and_multiplies_below) {
  // Token 0: 2 / 2 = 1, once though seen twice; token 1: -1 x 2; token 2 untouched.
  const std::vector<float> logits{2, -1, 1};
  const auto p =
      sampling_probabilities(logits, {.repetition_penalty = 2}, std::vector<std::int32_t>{0, 1, 0});
  EXPECT_FLOAT_EQ(p[0], p[2]);
  EXPECT_NEAR(p[1] / p[0], std::exp(-3.0), 1e-6);
  // It precedes the greedy choice, and token 0 of equal logits wins.
  RandomStream random(1, "sampling");
  EXPECT_EQ(sample(logits, {.temperature = 0, .repetition_penalty = 3},
                   std::vector<std::int32_t>{0}, random),
            2);
}

TEST(Sampling, without_filters_draws_the_tokens_of_the_plain_form) {
  RandomStream one(5, "sampling");
  RandomStream other(5, "sampling");
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(sample(four(), Sampling{.temperature = 0.8}, {}, one), sample(four(), 0.8, other));
  }
}

TEST(Sampling, refuses_settings_out_of_range) {
  const auto refused = [](const Sampling& sampling) {
    EXPECT_THROW((void)sampling_probabilities(four(), sampling, {}), ModelError);
  };
  refused({.temperature = -1});
  refused({.top_k = -1});
  refused({.top_p = 0});
  refused({.top_p = 1.5});
  refused({.min_p = 2});
  refused({.repetition_penalty = 0});
  EXPECT_THROW((void)sampling_probabilities({}, {}, {}), ModelError);
  EXPECT_THROW(
      (void)sampling_probabilities(four(), {.repetition_penalty = 2}, std::vector<std::int32_t>{4}),
      ModelError);
}

TEST(Speculation, greedy_keeps_drafts_while_they_are_the_argmax) {
  // Three positions over two tokens: argmax 1, 0, 1.
  const std::vector<float> logits{0, 1, 1, 0, 0, 1};
  using Tokens = std::vector<std::int32_t>;
  EXPECT_EQ(accept_drafts_greedy(Tokens{1, 0}, logits), (SpeculationOutcome{{1, 0, 1}, 2}));
  EXPECT_EQ(accept_drafts_greedy(Tokens{1, 1}, logits), (SpeculationOutcome{{1, 0}, 1}));
  EXPECT_EQ(accept_drafts_greedy(Tokens{0, 0}, logits), (SpeculationOutcome{{1}, 0}));
  EXPECT_EQ(accept_drafts_greedy(Tokens{}, std::vector<float>{0, 1}), (SpeculationOutcome{{1}, 0}));
}

TEST(Speculation, certain_drafts_are_certain) {
  // p = q = (0, 1) accepts always, and the bonus is token 0; p = (1, 0) never accepts token 1 and
  // its residual is token 0.
  RandomStream random(3, "speculation");
  const std::vector<std::int32_t> draft{1};
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(
        accept_drafts(draft, std::vector<float>{0, 1}, std::vector<float>{0, 1, 1, 0}, random),
        (SpeculationOutcome{{1, 0}, 1}));
    EXPECT_EQ(accept_drafts(draft, {}, std::vector<float>{1, 0, 0, 1}, random),
              (SpeculationOutcome{{0}, 0}));
  }
  EXPECT_THROW(
      (void)accept_drafts(std::vector<std::int32_t>{2}, {}, std::vector<float>{1, 0, 0, 1}, random),
      ModelError);
}

/// Sum over tokens of (seen - expected)^2 / expected.
double chi_square(const std::vector<int>& seen, const std::vector<float>& p) {
  int total = 0;
  for (const int count : seen) total += count;
  double sum = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double expected = static_cast<double>(p[i]) * total;
    sum += (seen[i] - expected) * (seen[i] - expected) / expected;
  }
  return sum;
}

/// Repeats rows so that every position has the same distribution.
std::vector<float> rows_of(const std::vector<float>& row, std::size_t count) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < count; ++i) rows.insert(rows.end(), row.begin(), row.end());
  return rows;
}

TEST(Speculation, tokens_follow_the_target_whatever_the_draft) {
  // p = (.5, .3, .2), q = (.3, .3, .4): alpha = sum min(p, q) = .3 + .3 + .2 = 0.8, and three
  // drafts yield (1 - .8^4) / (1 - .8) = 2.952 tokens on average.
  const std::vector<float> p{0.5F, 0.3F, 0.2F};
  const std::vector<float> q{0.3F, 0.3F, 0.4F};
  const auto target = rows_of(p, 4);
  const auto draft = rows_of(q, 3);
  RandomStream drafting(11, "drafts");
  RandomStream random(11, "speculation");
  std::vector<std::vector<int>> seen(4, std::vector<int>(3));
  const int rounds = 20000;
  double tokens = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<std::int32_t> drafts;
    for (int i = 0; i < 3; ++i) drafts.push_back(index_at(q, drafting.uniform(), 2));
    const auto outcome = accept_drafts(drafts, draft, target, random);
    EXPECT_EQ(outcome.tokens.size(), static_cast<std::size_t>(outcome.accepted) + 1);
    tokens += static_cast<double>(outcome.tokens.size());
    for (std::size_t i = 0; i < outcome.tokens.size(); ++i) {
      ++seen[i][static_cast<std::size_t>(outcome.tokens[i])];
    }
  }
  // Two degrees of freedom: above 13.8 once in a thousand.
  for (const auto& position : seen) EXPECT_LT(chi_square(position, p), 13.8);
  EXPECT_NEAR(tokens / rounds, 2.952, 5 * 1.2 / std::sqrt(rounds));
}

TEST(Speculation, drafts_that_were_not_drawn_keep_the_distribution) {
  // A fixed draft of token 1 is accepted with probability p(1) = 0.3.
  const std::vector<float> p{0.5F, 0.3F, 0.2F};
  const auto target = rows_of(p, 2);
  RandomStream random(12, "speculation");
  std::vector<int> seen(3);
  int accepted = 0;
  for (int round = 0; round < 10000; ++round) {
    const auto outcome = accept_drafts(std::vector<std::int32_t>{1}, {}, target, random);
    ++seen[static_cast<std::size_t>(outcome.tokens[0])];
    accepted += static_cast<int>(outcome.accepted);
  }
  EXPECT_LT(chi_square(seen, p), 13.8);
  EXPECT_NEAR(accepted, 3000, 5 * 46);  // sqrt(10000 x 0.21) = 46
}

}  // namespace
}  // namespace tandem::ops
