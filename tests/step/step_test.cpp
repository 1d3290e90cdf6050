// Costs of passes, interpolation between anchors, stored results.
#include <gtest/gtest.h>

#include "sim/step/anchors.hpp"
#include "sim/step/estimator.hpp"
#include "sim/step/stage_store.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

Batch decode_batch(std::int64_t sequences, std::int64_t context) {
  Batch batch;
  for (std::int64_t i = 0; i < sequences; ++i) batch.slices.push_back({i, context, 1, true});
  return batch;
}

TEST(PoolModel, LatencyIsStagesAndHandOversAndPeriodTheSlowestStage) {
  Scenario s = fakes::scenario();
  s.placement.prefill.pipeline = 3;  // 2 + 1 + 1 layers
  StageStore store;
  PoolModel pool(s, s.placement.prefill, 0, fakes::catalogue(), fakes::network(), store);
  // One token: 1010 ns per layer; two hand-overs of 16 B (116 ns), the token back (108 ns).
  const StepCost& cost = pool.step(decode_batch(1, 10));
  EXPECT_EQ(cost.latency().count(), 1000 * (4 * 1010 + 2 * 116 + 108));
  EXPECT_EQ(cost.period().count(), 1000 * 2020);
  EXPECT_EQ(total_of(cost.parts), cost.latency());
  EXPECT_EQ(cost.parts.at("hand_over").count(), 1000 * (2 * 116 + 108));
  // Floors: half the stages; smallest hand-overs are as long.
  const StepFloor& floor = pool.floor(decode_batch(1, 10));
  EXPECT_EQ(floor.latency.count(), 1000 * (2 * 1010 + 2 * 116 + 108));
  EXPECT_EQ(floor.period.count(), 1000 * 1010);
  EXPECT_EQ(cost.link_bytes.at("wire"), 16 + 16 + 8);
}

TEST(Anchors, GridPointsGiveThemselvesBack) {
  // Two chunks of 100 tokens without context: each token sees 50.5 keys on average.
  const BatchFeatures point{8, 512, 200, 50.5, true};
  const BatchFeatures back = features_of(anchor_batch(point));
  EXPECT_EQ(back.decodes, 8);
  EXPECT_EQ(back.decode_context, 512);
  EXPECT_EQ(back.prefill_tokens, 200);
  EXPECT_DOUBLE_EQ(back.prefill_visible, 50.5);
}

TEST(Anchors, GroupsThatShareAPrefixGiveThemselvesBack) {
  // Two groups of four over 1024 tokens each, and 128 of their own.
  Batch batch;
  for (std::int64_t i = 0; i < 8; ++i) {
    batch.slices.push_back(
        {.request = i, .context = 1024 + 128, .prefix = i / 4, .prefix_tokens = 1024});
  }
  const BatchFeatures features = features_of(batch);
  EXPECT_EQ(features.prefix_tokens, 1024);
  EXPECT_EQ(features.decode_context, 128);
  EXPECT_EQ(features.sharers, 4);
  const std::vector<Corner> corners = corners_of(features);
  ASSERT_EQ(corners.size(), 1u);
  EXPECT_EQ(anchor_batch(corners[0].point), batch);
  // One alone reads its prefix as the rest of its context.
  Batch lonely;
  lonely.slices = {batch.slices.front()};
  EXPECT_EQ(features_of(lonely).decode_context, 1152);
  EXPECT_EQ(anchor_batch(corners_of(features_of(lonely))[0].point).slices[0].prefix_tokens, 0);
}

TEST(Anchors, RoundsOfSpeculationAreDecodesOfSeveralTokens) {
  // Verifications of five tokens each, all of them sampled from.
  Batch verify;
  for (std::int64_t i = 0; i < 8; ++i) {
    verify.slices.push_back(
        {.request = i, .context = 512, .new_tokens = 5, .verified = 4, .in_round = true});
  }
  EXPECT_EQ(verify.sampled(), 40);
  const std::vector<Corner> corners = corners_of(features_of(verify));
  ASSERT_EQ(corners.size(), 1u);
  EXPECT_EQ(anchor_batch(corners[0].point), verify);
  // Of three drafters one catches up with two tokens: half way between none and all.
  Batch drafts;
  drafts.slices.push_back({.context = 64, .new_tokens = 2, .in_round = true});
  drafts.slices.push_back({.context = 64});
  EXPECT_EQ(drafts.sampled(), 2);
  const std::vector<Corner> between = corners_of(features_of(drafts));
  ASSERT_EQ(between.size(), 2u);
  EXPECT_DOUBLE_EQ(between[1].weight, 0.5);
  EXPECT_EQ(anchor_batch(between[1].point).slices[0].new_tokens, 2);
  EXPECT_EQ(anchor_batch(between[1].point).sampled(), 2);
}

// Products take a whole tile of 128 rows more where the rows of a pass begin one.
TEST(Interpolation, PromptsBendWhereTilesBegin) {
  const auto cell = [](double tokens) {
    const Bracket bracket = bracket_prompt(tokens);
    return std::tuple(bracket.low, bracket.high, bracket.upper_weight);
  };
  EXPECT_EQ(cell(1024), std::tuple(897, 1024, 1));
  EXPECT_EQ(cell(1025), std::tuple(1025, 1025, 0));
  EXPECT_EQ(cell(4097 + 63.5), std::tuple(4097, 4224, 0.5));
  EXPECT_EQ(cell(100), std::tuple(96, 128, 0.125));
  Batch prompt;
  prompt.slices = {{.new_tokens = 1000}};
  EXPECT_EQ(corners_of(features_of(prompt)).front().point.prefill_tokens, 897);
  prompt.slices.push_back({.request = 1, .context = 100, .new_tokens = 1});
  EXPECT_EQ(corners_of(features_of(prompt)).front().point.prefill_tokens, 768);
}

TEST(Anchors, BracketsEncloseTheValue) {
  // 7 lies between 6 and 8; 100 between 64 and 128.
  const Bracket seven = bracket_half_octave(7);
  EXPECT_EQ(seven.low, 6);
  EXPECT_EQ(seven.high, 8);
  EXPECT_DOUBLE_EQ(seven.upper_weight, 0.5);
  // Decodes are whole up to 8; an edge at 16 has an anchor on either side.
  EXPECT_EQ(bracket_decodes(7, {}).low, 7);
  EXPECT_EQ(bracket_decodes(20, {}).low, 16);
  const Bracket twenty = bracket_decodes(20, {5, 16, 33});
  EXPECT_EQ(twenty.low, 17);
  EXPECT_EQ(twenty.high, 24);
  EXPECT_EQ(bracket_decodes(16, {16}).upper_weight, 0);
  // A third, a half, one and two waves of 132 CTAs, eight per decode; of two groups each.
  EXPECT_EQ(wave_edges(132, 8, 1), (DecodeEdges{5, 8, 16, 33}));
  EXPECT_EQ(wave_edges(132, 8, 2), (DecodeEdges{10, 16, 32, 66}));
  const Bracket hundred = bracket_octave(100);
  EXPECT_EQ(hundred.low, 64);
  EXPECT_EQ(hundred.high, 128);
  EXPECT_DOUBLE_EQ(hundred.upper_weight, 36.0 / 64);
}

TEST(Estimator, InterpolationIsExactWhereTheCostIsMultilinear) {
  // The fake's time is linear in tokens and in the sum of contexts.
  Scenario s = fakes::scenario();
  fakes::set(s.system.chips["big"].parameters, "context", 3);
  StageStore store;
  PoolModel pool(s, s.placement.prefill, 0, fakes::catalogue(), fakes::network(), store);
  StepEstimator estimator(pool, Fidelity::Cycle, false);
  const Batch batch = decode_batch(5, 100);
  const StepEstimate estimate = estimator.execute(batch);
  EXPECT_TRUE(estimate.interpolated);
  // 4 x (1000 + 10 x 5 + 3 x 505) ns.
  EXPECT_EQ(estimate.latency().count(), 1000 * 4 * (1000 + 50 + 1515));
  EXPECT_EQ(estimator.simulated(), 2);  // 5 sequences at 64 and 128 tokens
  EXPECT_DOUBLE_EQ(estimator.totals().activity.at("ops"), 5 * 4);
}

/// What interpolation adds to a pass of 20 sequences whose time has n^2 ns in each of four layers,
/// on a chip of `units`.
std::int64_t bend_left(double units) {
  Scenario s = fakes::scenario();
  fakes::set(s.system.chips["big"].parameters, "curve", 1);
  fakes::set(s.system.chips["big"].parameters, "units", units);
  StageStore store;
  PoolModel pool(s, s.placement.prefill, 0, fakes::catalogue(), fakes::network(), store);
  StepEstimator estimator(pool, Fidelity::Cycle, false);
  const Batch batch = decode_batch(20, 64);
  const Picoseconds exact = pool.step(batch).latency();
  return (estimator.execute(batch).latency() - exact).count() / 4000;
}

TEST(Estimator, TimeBendsWithItsFloorBetweenAnchors) {
  // 20 sequences between 16 and 24: the chord of n^2 is 416, its floor's 208 where the pass has
  // 200, so 8 of the 16 that the chord is too high by are taken off.
  EXPECT_EQ(bend_left(0), 8);
}

TEST(Estimator, AnchorsStandOnEitherSideOfAWave) {
  // Waves of 36 CTAs hold 18 decodes with the fake's two KV heads: 20 of them lie between 19 and
  // 24: 0.8 x 19^2 + 0.2 x 24^2 = 404 for 400, half of it taken off.
  EXPECT_EQ(bend_left(36), 2);
}

TEST(Estimator, AuditFindsTheErrorOfACurvedCost) {
  // All of it audited: an interpolated time 10 % above the simulated one is an error of 0.1.
  Scenario s = fakes::scenario();
  StageStore store;
  PoolModel pool(s, s.placement.prefill, 0, fakes::catalogue(), fakes::network(), store);
  StepEstimator estimator(pool, Fidelity::Cycle, false);
  const Batch batch = decode_batch(5, 100);
  StepEstimate wrong = estimator.execute(batch);
  wrong.stations[0] = Picoseconds(wrong.stations[0].count() / 10 * 11);
  StepSampler sampler(1, 10);
  sampler.offer(estimator, batch, wrong);
  const AuditReport report = sampler.audit();
  EXPECT_EQ(report.steps, 1);
  EXPECT_NEAR(report.mean_error, 0.1, 1e-9);
  EXPECT_NEAR(report.tpot_p99_error, 0.1, 1e-9);
}

TEST(StageStore, TextFormComesBackAndAnyDamageIsSeen) {
  StageResult result;
  result.time = Picoseconds(123456789);
  result.matrix = Flops(42);
  result.memory = Bytes(77);
  result.kernels = 9;
  result.activity = {{"dram bytes", 5}, {"ops", -1}};
  result.bottleneck = "hbm";
  result.kernel_times = {{"attention", Picoseconds(100)}, {"out proj", Picoseconds(20)}};
  const std::string text = encode_stage_result(result);
  EXPECT_EQ(decode_stage_result(text), result);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = damaged[i] == '7' ? '8' : '7';
    EXPECT_NE(decode_stage_result(damaged), std::optional<StageResult>(result)) << i;
  }
  EXPECT_FALSE(decode_stage_result(text.substr(0, text.size() - 1)));
}

TEST(StageStore, FitsComeBackAndAnyDamageIsSeen) {
  const Fit fit{.capacity = Bytes(500),
                .weights = Bytes(300),
                .program = Bytes(20),
                .workspace = Bytes(30),
                .kv_per_token = Bytes(2),
                .kv_block = 32,
                .state_per_sequence = Bytes(7)};
  const std::string text = encode_fit(fit);
  const std::optional<Fit> back = decode_fit(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(encode_fit(*back), text);
  EXPECT_EQ(back->free_for_kv(), Bytes(150));
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string damaged = text;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(decode_fit(damaged)) << "at " << i;
  }
}

}  // namespace
}  // namespace tandem
