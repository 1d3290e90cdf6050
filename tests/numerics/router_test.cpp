// Do routers choose the experts and weights that their rules name, on cases small enough for paper?
#include "sim/numerics/ops/router.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/gate.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"

namespace tandem::ops {
namespace {

Router softmax_router(std::int64_t experts, std::int64_t top_k, bool renormalise) {
  Router router;
  router.experts = experts;
  router.top_k = top_k;
  router.renormalise = renormalise;
  return router;
}

/// Four groups of two experts, two groups open, as DeepSeek-V3 scores groups.
Router grouped_router() {
  Router router;
  router.rule = RouterRule::SigmoidBias;
  router.experts = 8;
  router.top_k = 3;
  router.scale = 2.5;
  router.bias = true;
  router.groups = 4;
  router.top_groups = 2;
  router.group_score = GroupScore::SumOfTop2;
  return router;
}

std::vector<std::int32_t> experts_of(const std::vector<Route>& routes) {
  std::vector<std::int32_t> experts;
  for (const Route& r : routes) experts.push_back(r.expert);
  return experts;
}

using Experts = std::vector<std::int32_t>;

// Logits ln 1, ln 2, ln 3, ln 4: the softmax is 0.1, 0.2, 0.3, 0.4.
std::vector<float> tenths() {
  return {0.0F, std::log(2.0F), std::log(3.0F), std::log(4.0F)};
}

TEST(Router, softmax_over_all_renormalised_equals_softmax_over_the_chosen) {
  // The best two are experts 3 and 2; 0.4 / 0.7 and 0.3 / 0.7.
  const auto all = route(softmax_router(4, 2, true), tenths(), {});
  ASSERT_EQ(experts_of(all), (Experts{3, 2}));
  EXPECT_FLOAT_EQ(all[0].weight, 4.0F / 7);
  EXPECT_FLOAT_EQ(all[1].weight, 3.0F / 7);
  Router mixtral = softmax_router(4, 2, true);
  mixtral.rule = RouterRule::TopkSoftmax;
  const auto chosen = route(mixtral, tenths(), {});
  ASSERT_EQ(experts_of(chosen), (Experts{3, 2}));
  EXPECT_FLOAT_EQ(chosen[0].weight, 4.0F / 7);
  EXPECT_FLOAT_EQ(chosen[1].weight, 3.0F / 7);
}

TEST(Router, without_renormalising_weights_are_probabilities_times_the_scale) {
  const auto lite = route(softmax_router(4, 2, false), tenths(), {});
  EXPECT_FLOAT_EQ(lite[0].weight, 0.4F);
  EXPECT_FLOAT_EQ(lite[1].weight, 0.3F);
  Router v2 = softmax_router(4, 2, false);
  v2.scale = 16;
  EXPECT_FLOAT_EQ(route(v2, tenths(), {})[0].weight, 6.4F);
}

TEST(Router, equal_scores_go_to_the_lower_index) {
  const std::vector<float> level(4, 1.0F);
  for (const RouterRule rule :
       {RouterRule::SoftmaxTopk, RouterRule::TopkSoftmax, RouterRule::SigmoidBias}) {
    Router router = softmax_router(4, 2, true);
    router.rule = rule;
    EXPECT_EQ(route(router, level, {}), (std::vector<Route>{{0, 0.5F}, {1, 0.5F}}));
    // Order by score first: expert 2 is best, then 1 and 3 are level.
    EXPECT_EQ(experts_of(route(router, std::vector<float>{0, 1, 2, 1}, {})), (Experts{2, 1}));
  }
}

TEST(Router, a_bias_on_logits_changes_choice_and_weight) {
  // gpt-oss: logits (0, 0, 0) + bias (0, ln 3, 0): experts 1 and 0 with 3 / 4 and 1 / 4.
  Router router = softmax_router(3, 2, true);
  router.rule = RouterRule::TopkSoftmax;
  router.bias = true;
  const auto routes =
      route(router, std::vector<float>(3, 0.0F), std::vector<float>{0.0F, std::log(3.0F), 0.0F});
  ASSERT_EQ(experts_of(routes), (Experts{1, 0}));
  EXPECT_FLOAT_EQ(routes[0].weight, 0.75F);
  EXPECT_FLOAT_EQ(routes[1].weight, 0.25F);
}

TEST(Router, a_correction_bias_changes_the_choice_and_not_the_weight) {
  // sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4. Scores 0.5, 0.5, 0.75; with the bias 0.5, 1, 0.75:
  // experts 1, 2. Weights from the scores: 0.5 / 1.25 and 0.75 / 1.25, times 2.827 (Kimi K2).
  Router router = softmax_router(3, 2, true);
  router.rule = RouterRule::SigmoidBias;
  router.bias = true;
  router.scale = 2.827;
  const std::vector<float> logits{0.0F, 0.0F, std::log(3.0F)};
  const std::vector<float> bias{0.0F, 0.5F, 0.0F};
  const auto routes = route(router, logits, bias);
  ASSERT_EQ(experts_of(routes), (Experts{1, 2}));
  EXPECT_FLOAT_EQ(routes[0].weight, 0.4F * 2.827F);
  EXPECT_FLOAT_EQ(routes[1].weight, 0.6F * 2.827F);
  router.renormalise = false;
  EXPECT_FLOAT_EQ(route(router, logits, bias)[1].weight, 0.75F * 2.827F);
}

TEST(Router, sigmoids_that_all_vanish_have_weight_zero_not_nan) {
  // sigmoid(-200) is 0 in float: 0 / (0 + 1e-20).
  Router router = softmax_router(2, 2, true);
  router.rule = RouterRule::SigmoidBias;
  const auto routes = route(router, std::vector<float>(2, -200.0F), {});
  EXPECT_EQ(routes, (std::vector<Route>{{0, 0.0F}, {1, 0.0F}}));
}

TEST(RouterGroups, level_groups_go_to_the_lower_index_too) {
  // All logits 0: every score is 1/2, and the bias decides. Biased: (3/4, 1/4) (1/2, 1/2)
  // (3/4, 1/2) (1/4, 1/4); sums 1, 1, 5/4, 1/2. Groups 2 and 0 are open. Inside: experts 0 and 4
  // are level at 3/4, then 5. All weights are 1/3 times 2.5.
  const std::vector<float> bias{0.25F, -0.25F, 0, 0, 0.25F, 0, -0.25F, -0.25F};
  const auto routes = route(grouped_router(), std::vector<float>(8, 0.0F), bias);
  ASSERT_EQ(experts_of(routes), (Experts{0, 4, 5}));
  for (const Route& r : routes) EXPECT_FLOAT_EQ(r.weight, 2.5F / 3);
}

TEST(RouterGroups, one_strong_expert_opens_a_group_by_best_and_not_by_two) {
  // Biased: (15/16, 1/16) best 15/16, sum 1; (5/8, 5/8) best 5/8, sum 5/4.
  Router router = grouped_router();
  router.experts = 4;
  router.top_k = 2;
  router.groups = 2;
  router.top_groups = 1;
  const std::vector<float> logits(4, 0.0F);
  const std::vector<float> bias{0.4375F, -0.4375F, 0.125F, 0.125F};
  EXPECT_EQ(experts_of(route(router, logits, bias)), (Experts{2, 3}));
  router.group_score = GroupScore::Best;
  EXPECT_EQ(experts_of(route(router, logits, bias)), (Experts{0, 1}));
}

TEST(RouterGroups, softmax_with_groups_keeps_probabilities) {
  // DeepSeek-V2's form. Probabilities 0.1, 0.2 | 0.3, 0.4 in two groups: the second is open.
  Router router = softmax_router(4, 2, false);
  router.groups = 2;
  router.scale = 16;
  const auto routes = route(router, tenths(), {});
  ASSERT_EQ(experts_of(routes), (Experts{3, 2}));
  EXPECT_FLOAT_EQ(routes[0].weight, 6.4F);
  EXPECT_FLOAT_EQ(routes[1].weight, 4.8F);
  // 0.4, 0.1 | 0.3, 0.2: expert 2 is second best of all, yet its group is closed.
  const std::vector<float> mixed{std::log(4.0F), 0.0F, std::log(3.0F), std::log(2.0F)};
  EXPECT_EQ(experts_of(route(router, mixed, {})), (Experts{0, 1}));
}

TEST(RouterMask, zero_lets_masked_experts_beat_negative_scores) {
  // Every score is 1/2. Biased: (1/4, -1/2) | (-1/4, -3/8); sums -1/4 and -5/8: group 0 is open.
  // Masked with -infinity: 0, 1. Masked with 0: 1/4, -1/2, 0, 0, so 0 and then 2 (lower index).
  Router router = grouped_router();
  router.experts = 4;
  router.top_k = 2;
  router.groups = 2;
  router.top_groups = 1;
  router.scale = 1;
  const std::vector<float> logits(4, 0.0F);
  const std::vector<float> negative{-0.25F, -1.0F, -0.75F, -0.875F};
  EXPECT_EQ(route(router, logits, negative), (std::vector<Route>{{0, 0.5F}, {1, 0.5F}}));
  router.group_mask = GroupMask::Zero;
  EXPECT_EQ(route(router, logits, negative), (std::vector<Route>{{0, 0.5F}, {2, 0.5F}}));
  // With (1/4, 1/8) in the open group the two masks agree.
  const std::vector<float> positive{-0.25F, -0.375F, -0.75F, -0.875F};
  EXPECT_EQ(experts_of(route(router, logits, positive)), (Experts{0, 1}));
  router.group_mask = GroupMask::MinusInfinity;
  EXPECT_EQ(experts_of(route(router, logits, positive)), (Experts{0, 1}));
}

TEST(RouterMask, a_closed_expert_never_wins_by_infinity_and_weighs_nothing_by_zero) {
  // Logits (-1, -2) | (0, -infinity): group 1 is open; its second expert has probability 0.
  Router router = softmax_router(4, 2, false);
  router.groups = 2;
  const std::vector<float> logits{-1, -2, 0, -std::numeric_limits<float>::infinity()};
  EXPECT_EQ(experts_of(route(router, logits, {})), (Experts{2, 3}));
  router.group_mask =
      GroupMask::Zero;  // 0, 0, p, 0: after expert 2, expert 0 is first of the level
  const auto routes = route(router, logits, {});
  EXPECT_EQ(experts_of(routes), (Experts{2, 0}));
  EXPECT_EQ(routes[1].weight, 0.0F);
}

TEST(Router, gemma_composes_from_norm_scale_projection_and_expert_factors) {
  // Gemma 4: RMSNorm without weight, learned scale / sqrt(hidden), projection, top k, softmax, a
  // factor per expert. x = (3, 4, 0, 0) has rms 2.5: (1.2, 1.6, 0, 0); / sqrt 4: (0.6, 0.8, 0, 0);
  // scale 5: (3, 4, 0, 0). Logits 3, 4, 0: expert 1 with 1 / (1 + 1/e) = 0.7310586 times 0.5,
  // expert 0 with 0.2689414 times 2.
  const std::vector<float> ones(4, 1.0F);
  const std::vector<float> projection{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
  const std::vector<float> factor{2, 0.5F, 1};
  std::vector<float> x{3, 4, 0, 0};
  rmsnorm(x, ones, 0.0F, x);
  scale(x, 5.0F / std::sqrt(4.0F));
  std::vector<float> logits(3);
  linear(projection, x, logits);
  Router router = softmax_router(3, 2, true);
  router.rule = RouterRule::TopkSoftmax;
  auto routes = route(router, logits, {});
  for (Route& r : routes) r.weight *= factor[static_cast<std::size_t>(r.expert)];
  ASSERT_EQ(experts_of(routes), (Experts{1, 0}));
  EXPECT_FLOAT_EQ(routes[0].weight, 0.3655293F);
  EXPECT_FLOAT_EQ(routes[1].weight, 0.5378828F);
}

TEST(Router, logits_that_are_all_minus_infinity_are_level) {
  const std::vector<float> closed(3, -std::numeric_limits<float>::infinity());
  for (const RouterRule rule : {RouterRule::SoftmaxTopk, RouterRule::TopkSoftmax}) {
    Router router = softmax_router(3, 2, true);
    router.rule = rule;
    EXPECT_EQ(route(router, closed, {}), (std::vector<Route>{{0, 0.5F}, {1, 0.5F}}));
  }
}

TEST(Router, one_expert_takes_all) {
  for (const RouterRule rule :
       {RouterRule::SoftmaxTopk, RouterRule::TopkSoftmax, RouterRule::SigmoidBias}) {
    Router router = softmax_router(1, 1, true);
    router.rule = rule;
    EXPECT_EQ(route(router, std::vector<float>{-3.0F}, {}), (std::vector<Route>{{0, 1.0F}}));
  }
}

TEST(Router, refuses_what_has_no_answer) {
  const std::vector<float> logits(8, 0.0F);
  const std::vector<float> bias(8, 0.0F);
  const auto refused = [&](auto change) {
    Router router = grouped_router();
    change(router);
    EXPECT_THROW((void)route(router, logits, bias), ModelError);
  };
  refused([](Router& r) { r.top_k = 5; });  // two groups of two are open
  refused([](Router& r) { r.top_k = 0; });
  refused([](Router& r) { r.groups = 3; });
  refused([](Router& r) { r.top_groups = 5; });
  refused([](Router& r) { r.groups = 8; });  // no two experts to add up
  refused([](Router& r) { r.bias = false; });
  EXPECT_THROW((void)route(grouped_router(), logits, {}), ModelError);
  std::vector<float> broken(8, 0.0F);
  broken[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW((void)route(grouped_router(), broken, bias), ModelError);
  Router zero = grouped_router();
  zero.group_mask = GroupMask::Zero;
  zero.top_k = 5;  // masked experts may win
  EXPECT_EQ(route(zero, logits, bias).size(), 5U);
}

}  // namespace
}  // namespace tandem::ops
