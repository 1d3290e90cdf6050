// Random routers against an independent one in double, which ranks by counting what beats what.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/router.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

/// How many of `scores` come before element `i`: larger ones, and equal ones of lower index.
std::size_t rank_of(const std::vector<double>& scores, std::size_t i) {
  std::size_t before = 0;
  for (std::size_t j = 0; j < scores.size(); ++j) {
    before += scores[j] > scores[i] || (scores[j] == scores[i] && j < i) ? 1 : 0;
  }
  return before;
}

/// Two scores that a float may order otherwise than a double.
bool has_near_tie(std::vector<double> scores) {
  std::sort(scores.begin(), scores.end());
  for (std::size_t i = 1; i < scores.size(); ++i) {
    const double gap = scores[i] - scores[i - 1];
    if (gap > 0 && gap < 2e-6) return true;
  }
  return false;
}

struct Expected {
  std::vector<std::size_t> experts;
  std::vector<double> weights;
  bool unclear = false;
};

std::vector<double> softmax_double(const std::vector<double>& x) {
  double sum = 0;
  for (const double a : x) sum += std::exp(a);
  std::vector<double> p;
  for (const double a : x) p.push_back(std::exp(a) / sum);
  return p;
}

double group_score(GroupScore rule, std::vector<double> members) {
  std::sort(members.rbegin(), members.rend());
  return rule == GroupScore::Best ? members[0] : members[0] + members[1];
}

/// Masks what lies outside the best groups; what is masked with -infinity is never wanted.
void mask(const Router& r, std::vector<double>& score, std::vector<double>& choice,
          Expected& expected) {
  const auto size = static_cast<std::ptrdiff_t>(r.experts / r.groups);
  std::vector<double> groups;
  for (std::ptrdiff_t g = 0; g < r.groups; ++g) {
    groups.push_back(
        group_score(r.group_score, {choice.begin() + g * size, choice.begin() + (g + 1) * size}));
  }
  expected.unclear = expected.unclear || has_near_tie(groups);
  for (std::size_t e = 0; e < choice.size(); ++e) {
    if (rank_of(groups, e / static_cast<std::size_t>(size)) <
        static_cast<std::size_t>(r.top_groups)) {
      continue;
    }
    choice[e] = r.group_mask == GroupMask::Zero ? 0.0 : -1e300;
    if (r.rule == RouterRule::SoftmaxTopk) score[e] = 0.0;
  }
}

Expected brute_force(const Router& r, const std::vector<float>& logits,
                     const std::vector<float>& bias) {
  std::vector<double> score(logits.begin(), logits.end());
  std::vector<double> choice(score.size());
  const bool sigmoid_rule = r.rule == RouterRule::SigmoidBias;
  for (std::size_t i = 0; i < score.size(); ++i) {
    const double b = r.bias ? static_cast<double>(bias[i]) : 0.0;
    if (sigmoid_rule) score[i] = 1 / (1 + std::exp(-score[i]));
    choice[i] = score[i] + b;
    if (!sigmoid_rule) score[i] += b;
  }
  if (r.rule == RouterRule::SoftmaxTopk) choice = score = softmax_double(score);
  Expected expected;
  if (r.groups > 1) mask(r, score, choice, expected);
  expected.unclear = expected.unclear || has_near_tie(choice);
  for (std::size_t rank = 0; rank < static_cast<std::size_t>(r.top_k); ++rank) {
    for (std::size_t e = 0; e < choice.size(); ++e) {
      if (rank_of(choice, e) == rank) expected.experts.push_back(e);
    }
  }
  for (const std::size_t e : expected.experts) expected.weights.push_back(score[e]);
  if (r.rule == RouterRule::TopkSoftmax) {
    expected.weights = softmax_double(expected.weights);
  } else if (r.renormalise) {
    double sum = sigmoid_rule ? 1e-20 : 0.0;
    for (const double w : expected.weights) sum += w;
    for (double& w : expected.weights) w /= sum;
  }
  for (double& w : expected.weights) w *= r.scale;
  return expected;
}

/// Every rule, mask and edge: one expert, one group per two experts, all experts chosen.
Router random_router(RandomStream& random) {
  Router r;
  r.rule = static_cast<RouterRule>(random.integer(0, 2));
  const std::int64_t size = random.integer(1, 8);
  r.groups = random.integer(0, 1) == 0 ? 1 : random.integer(1, 8);
  r.experts = size * r.groups;
  r.top_groups = random.integer(1, r.groups);
  r.group_score = size > 1 && random.integer(0, 1) == 1 ? GroupScore::SumOfTop2 : GroupScore::Best;
  r.group_mask = static_cast<GroupMask>(random.integer(0, 1));
  const bool masked_may_win = r.groups > 1 && r.group_mask == GroupMask::Zero;
  r.top_k = random.integer(1, masked_may_win ? r.experts : size * r.top_groups);
  r.renormalise = random.integer(0, 1) == 1;
  r.bias = random.integer(0, 1) == 1;
  r.scale = random.integer(0, 1) == 1 ? 1.0 : 2.5;
  return r;
}

/// Routers of published models: experts, top k, groups, open groups.
Router published_router(std::int64_t which) {
  using enum RouterRule;
  const auto make = [](RouterRule rule, std::int64_t experts, std::int64_t top_k, bool renormalise,
                       double scale, bool bias) {
    Router r;
    r.rule = rule;
    r.experts = experts;
    r.top_k = top_k;
    r.renormalise = renormalise;
    r.scale = scale;
    r.bias = bias;
    return r;
  };
  Router v3 = make(SigmoidBias, 256, 8, true, 2.5, true);
  v3.groups = 8;
  v3.top_groups = 4;
  v3.group_score = GroupScore::SumOfTop2;
  Router v2 = make(SoftmaxTopk, 160, 6, false, 16, false);
  v2.groups = 8;
  v2.top_groups = 3;
  const std::vector<Router> all{v3,
                                v2,
                                make(SoftmaxTopk, 64, 6, false, 1, false),
                                make(SigmoidBias, 384, 8, true, 2.827, true),
                                make(SigmoidBias, 256, 8, true, 1, true),
                                make(SoftmaxTopk, 512, 10, true, 1, false),
                                make(TopkSoftmax, 8, 2, true, 1, false),
                                make(TopkSoftmax, 128, 4, true, 1, true)};
  return all[static_cast<std::size_t>(which) % all.size()];
}

/// Returns whether the case was clear.
bool check_case(const Router& router, RandomStream& random) {
  std::vector<float> logits, bias;
  // A coarse grid makes exact ties common; it is off centre because sigmoid(x) + sigmoid(-x) = 1
  // would make sums of groups tie in double and not in float.
  const bool grid = router.experts <= 64 && random.integer(0, 1) == 1;
  for (std::int64_t e = 0; e < router.experts; ++e) {
    logits.push_back(grid ? static_cast<float>(random.integer(-4, 4)) * 0.5F + 0.03125F
                          : static_cast<float>(2 * random.normal()));
    bias.push_back(static_cast<float>(random.integer(-8, 8)) * (grid ? 0.25F : 0.0625F));
  }
  if (!router.bias) bias.clear();
  const Expected expected = brute_force(router, logits, bias);
  if (expected.unclear) return false;
  const auto routes = route(router, logits, bias);
  EXPECT_EQ(routes.size(), expected.experts.size());
  for (std::size_t i = 0; i < std::min(routes.size(), expected.experts.size()); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(routes[i].expert), expected.experts[i]);
    EXPECT_NEAR(static_cast<double>(routes[i].weight), expected.weights[i],
                2e-6 * std::max(1.0, expected.weights[i]));
  }
  return true;
}

TEST(RouterProperty, random_routers_choose_and_weigh_as_brute_force_does) {
  const int cases = test::property_cases(1000);
  int clear = 0;
  for (int i = 0; i < cases; ++i) {
    RandomStream random(static_cast<std::uint64_t>(i), "router");
    SCOPED_TRACE("case " + std::to_string(i));
    clear += check_case(random_router(random), random) ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(clear, cases * 9 / 10);
}

TEST(RouterProperty, routers_of_published_models_choose_and_weigh_as_brute_force_does) {
  const int cases = test::property_cases(64);
  int clear = 0;
  for (int i = 0; i < cases; ++i) {
    RandomStream random(static_cast<std::uint64_t>(i), "published router");
    SCOPED_TRACE("case " + std::to_string(i));
    clear += check_case(published_router(i), random) ? 1 : 0;
    if (HasFailure()) return;
  }
  EXPECT_GT(clear, cases / 2);
}

}  // namespace
}  // namespace tandem::ops
