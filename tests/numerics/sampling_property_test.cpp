// Do filters keep the tokens that their definitions name, for random logits and settings?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/numerics/ops/speculation.hpp"
#include "tests/numerics/draw.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

struct SamplingCase {
  std::vector<float> logits;
  Sampling sampling;
  std::vector<std::int32_t> history;
};

SamplingCase draw_sampling_case(int number) {
  RandomStream random(static_cast<std::uint64_t>(number), "sampling cases");
  SamplingCase drawn;
  const std::int64_t vocabulary = number % 9 == 0 ? 1 : random.integer(1, 60);
  drawn.logits = test::draw_normals(random, static_cast<std::size_t>(vocabulary), 3);
  if (number % 5 == 0) {
    for (float& value : drawn.logits) value = std::round(value);  // ties
  }
  drawn.sampling.temperature = 0.3 + 1.5 * random.uniform();
  drawn.sampling.top_k = number % 2 == 0 ? 0 : random.integer(1, 70);
  drawn.sampling.top_p = number % 3 == 0 ? 1.0 : 0.05 + 0.94 * random.uniform();
  drawn.sampling.min_p = number % 4 == 0 ? 0.3 * random.uniform() : 0.0;
  drawn.sampling.repetition_penalty = number % 7 < 3 ? 1.0 + random.uniform() : 1.0;
  for (std::int64_t i = random.integer(0, 6); i > 0; --i) {
    drawn.history.push_back(static_cast<std::int32_t>(random.integer(0, vocabulary - 1)));
  }
  return drawn;
}

/// The distribution in double. `margin` becomes the least distance of a threshold from what it was
/// compared with: below the rounding of float, either side is right.
std::vector<double> sampling_by_hand(const SamplingCase& c, double& margin) {
  const std::size_t size = c.logits.size();
  std::vector<double> logit(c.logits.begin(), c.logits.end());
  for (const std::int32_t token : std::set<std::int32_t>(c.history.begin(), c.history.end())) {
    double& value = logit[static_cast<std::size_t>(token)];
    value *= value > 0 ? 1 / c.sampling.repetition_penalty : c.sampling.repetition_penalty;
  }
  const double top = *std::max_element(logit.begin(), logit.end());
  std::vector<double> odds;
  for (const double value : logit) odds.push_back(std::exp((value - top) / c.sampling.temperature));
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return logit[a] > logit[b]; });
  // Odds are relative to the largest, which is what min_p asks for.
  std::size_t kept = 0;
  for (const std::size_t token : order) {
    if (c.sampling.min_p > 0) margin = std::min(margin, std::abs(odds[token] - c.sampling.min_p));
    kept += odds[token] >= c.sampling.min_p ? 1U : 0U;
  }
  if (c.sampling.top_k > 0) kept = std::min(kept, static_cast<std::size_t>(c.sampling.top_k));
  double total = 0;
  for (std::size_t i = 0; i < kept; ++i) total += odds[order[i]];
  double mass = 0;
  std::size_t nucleus = 0;
  while (nucleus < kept && (nucleus == 0 || c.sampling.top_p == 1 || mass < c.sampling.top_p)) {
    mass += odds[order[nucleus]] / total;
    margin = c.sampling.top_p == 1 ? margin : std::min(margin, std::abs(mass - c.sampling.top_p));
    ++nucleus;
  }
  std::vector<double> result(size, 0.0);
  for (std::size_t i = 0; i < nucleus; ++i) {
    result[order[i]] = odds[order[i]] / (mass * total);
  }
  return result;
}

TEST(SamplingProperty, distributions_are_the_definitions) {
  int compared = 0;
  const int cases = test::property_cases(240);
  for (int number = 0; number < cases; ++number) {
    SCOPED_TRACE(number);
    const SamplingCase c = draw_sampling_case(number);
    double margin = 1;
    const auto expected = sampling_by_hand(c, margin);
    const auto found = sampling_probabilities(c.logits, c.sampling, c.history);
    if (margin < 1e-5) continue;
    ++compared;
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 1e-5) << "token " << i;
      ASSERT_EQ(found[i] == 0, expected[i] == 0) << "token " << i;
    }
    // Only tokens of the distribution are drawn.
    RandomStream random(static_cast<std::uint64_t>(number), "sampling");
    for (int draw = 0; draw < 10; ++draw) {
      const std::int32_t token = sample(c.logits, c.sampling, c.history, random);
      ASSERT_GT(found[static_cast<std::size_t>(token)], 0);
    }
  }
  EXPECT_GT(compared, cases * 9 / 10);
}

TEST(SpeculationProperty, acceptance_is_one_less_the_distance_and_residuals_are_where_p_is_more) {
  // P(accept a draft of q) = sum min(p, q); what replaces a refused one has p > q.
  for (int number = 0; number < test::property_cases(60); ++number) {
    SCOPED_TRACE(number);
    RandomStream random(static_cast<std::uint64_t>(number), "speculation cases");
    const auto vocabulary = static_cast<std::size_t>(random.integer(2, 12));
    const auto p = sampling_probabilities(test::draw_normals(random, vocabulary, 2), {}, {});
    const auto q = sampling_probabilities(test::draw_normals(random, vocabulary, 2), {}, {});
    std::vector<float> target = p;
    target.insert(target.end(), p.begin(), p.end());
    double alpha = 0;
    for (std::size_t i = 0; i < vocabulary; ++i) alpha += std::min(p[i], q[i]);
    const int rounds = 600;
    double accepted = 0;
    for (int round = 0; round < rounds; ++round) {
      const std::vector<std::int32_t> drafts{index_at(q, random.uniform(), 0)};
      const auto outcome = accept_drafts(drafts, q, target, random);
      accepted += static_cast<double>(outcome.accepted);
      const auto first = static_cast<std::size_t>(outcome.tokens[0]);
      if (outcome.accepted == 0) {
        ASSERT_GT(p[first], q[first]);
      } else {
        ASSERT_EQ(outcome.tokens[0], drafts[0]);
      }
    }
    // Six standard deviations of a binomial, and one for the smallest.
    const double spread = std::sqrt(rounds * alpha * (1 - alpha));
    ASSERT_NEAR(accepted, rounds * alpha, 6 * spread + 1);
  }
}

}  // namespace
}  // namespace tandem::ops
