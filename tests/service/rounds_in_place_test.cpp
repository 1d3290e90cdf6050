// Speculative decoding on the chips that verify, with costs worked out by hand. The model has four
// layers, what drafts one; a pass takes layers x (1000 + 10 x tokens) ns. Prompts have 32 tokens:
// 5280 ns for the model, 1320 ns for what drafts. A verification of three drafts takes 4 x 1040 =
// 4160 ns.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/service/service.hpp"
#include "sim/service/speculation/acceptance.hpp"
#include "tests/service/drafter_scenario.hpp"

namespace tandem {
namespace {

Scenario in_place(std::vector<double> acceptance, std::int64_t output,
                  DraftMethod method = DraftMethod::DraftModel) {
  Scenario s = fakes::drafter_scenario(std::move(acceptance), output);
  s.placement.mode = PlacementMode::Monolithic;
  s.placement.decode = s.placement.prefill;
  s.placement.speculation.method = method;
  if (method == DraftMethod::Modules) s.model.mtp = {1, 0};
  return s;
}

RunResult serve_in_place(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

double tokens_per_round(const RunResult& result) {
  const SpeculationUse& use = *result.speculation;
  return 1 + static_cast<double>(use.accepted) / static_cast<double>(use.rounds);
}

void expect_shares_to_cover(const RunResult& result) {
  const SpeculationUse& use = *result.speculation;
  double after_first = 0;
  for (const RequestRecord& r : result.requests) after_first += r.e2e_ms - r.ttft_ms;
  EXPECT_NEAR(to_milliseconds(use.drafting + use.verifying), after_first, 1e-9 * after_first);
}

TEST(RoundsInPlace, DraftsFollowEachPassOfTheModelOnItsChips) {
  // Behind the prompt the draft model takes it too, then drafts twice more: 1320 + 2 x 1010. Behind
  // a verification it takes at most two tokens it has not seen: 1020 + 2 x 1010.
  const RunResult result = serve_in_place(in_place({0}, 4));
  EXPECT_NEAR(result.requests[0].ttft_ms, 5280e-6, 1e-12);
  const double first = 1320 + 2020 + 4160;
  const double further = 1020 + 2020 + 4160;
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + first + 2 * further) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->rounds, 3);
  EXPECT_EQ(result.speculation->accepted, 0);
  EXPECT_EQ(result.speculation->verifying, Picoseconds(3 * 4160 * 1000));
  EXPECT_EQ(result.speculation->transfer, Picoseconds(0));
  ASSERT_EQ(result.pools.size(), 1u);
  EXPECT_EQ(result.pools[0].totals.steps, 4);
  expect_shares_to_cover(result);
}

/// On chips with static schedules and 16 slots.
Scenario on_static_chips(Scenario s) {
  fakes::set(s.system.chips["small"].parameters, "slots", 16);
  for (PoolPlacement* pool : {&s.placement.prefill, &s.placement.decode}) pool->pool = "lpu";
  return s;
}

TEST(RoundsInPlace, StaticChipsVerifyARoundInOnePassToo) {
  // The prompt takes two passes of 16 tokens, 4 x 1160 ns each, that of the draft model behind each
  // 1160; the first token leaves before the second of those and two drafts. Then rounds as above.
  const RunResult result = serve_in_place(on_static_chips(in_place({0}, 4)));
  EXPECT_NEAR(result.requests[0].ttft_ms, (4640 + 1160 + 4640) * 1e-6, 1e-12);
  const double first = 1160 + 2020 + 4160;
  const double further = 1020 + 2020 + 4160;
  EXPECT_NEAR(result.requests[0].e2e_ms, (10440 + first + 2 * further) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->rounds, 3);
  EXPECT_EQ(result.speculation->drafting, Picoseconds((3180 + 2 * 3040) * 1000));
  expect_shares_to_cover(result);
}

TEST(RoundsInPlace, DraftsOfOtherRequestsCountAsDraftsOnStaticChips) {
  // A chip that gains nothing from wide passes: two requests take turns, so between two rounds of
  // one stand the drafts of both, which are three passes of a layer each.
  Scenario s = on_static_chips(in_place({1}, 9));
  fakes::set(s.system.chips["small"].parameters, "base", 0);
  fakes::set(s.system.chips["small"].parameters, "token", 1000);
  s.traffic.requests = s.traffic.concurrency = 2;
  const RunResult result = serve_in_place(s);
  expect_shares_to_cover(result);
  const SpeculationUse& use = *result.speculation;
  // A verification takes 4 tokens x 4 layers, its drafts 2 + 1 + 1 tokens x 1 layer: a fifth.
  EXPECT_NEAR(use.drafting / (use.drafting + use.verifying), 0.2, 0.1);
}

TEST(RoundsInPlace, AModuleTakesEveryTokenOfTheModelsPass) {
  // A module takes all four tokens of a verification with the model's hidden states: 1040 ns.
  const RunResult result = serve_in_place(in_place({0}, 4, DraftMethod::Modules));
  const double first = 1320 + 2020 + 4160;
  const double further = 1040 + 2020 + 4160;
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + first + 2 * further) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->draft_model, "tiny module");
}

TEST(RoundsInPlace, EachOfSeveralModulesTakesThemAll) {
  // Three modules for three drafts: three passes over the prompt and over each verification.
  Scenario s = in_place({0}, 4, DraftMethod::Modules);
  s.model.mtp.modules = 3;
  const double first = 3 * 1320 + 4160;
  const double further = 3 * 1040 + 4160;
  EXPECT_NEAR(serve_in_place(s).requests[0].e2e_ms, (5280 + first + 2 * further) * 1e-6, 1e-12);
}

TEST(RoundsInPlace, AcceptedDraftsComeTogether) {
  // Two rounds of four tokens.
  const RunResult result = serve_in_place(in_place({1}, 9));
  const double first = 1320 + 2020 + 4160;
  const double second = 1020 + 2020 + 4160;
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + first + second) * 1e-6, 1e-12);
  ASSERT_EQ(result.itl_ms.size(), 8u);
  for (const std::size_t i : {1, 2, 3, 5, 6, 7}) EXPECT_EQ(result.itl_ms[i], 0);
  expect_shares_to_cover(result);
}

TEST(RoundsInPlace, TokensPerRoundFollowTheClosedForm) {
  // 4000 tokens in rounds of 2.533, about 1580 of them with a deviation of 1.22: four standard
  // errors are 0.12.
  const RunResult result = serve_in_place(in_place({0.7}, 4000));
  EXPECT_NEAR(tokens_per_round(result), (1 - std::pow(0.7, 4)) / 0.3, 0.12);
  expect_shares_to_cover(result);
}

TEST(RoundsInPlace, TokensPerRoundAreThoseOfTheMeasuredLengths) {
  Scenario s = in_place(acceptance_of_lengths({1.79, 2.27, 2.49}, 3), 4000);
  EXPECT_NEAR(expected_tokens(s.placement.speculation), 2.49, 1e-12);
  EXPECT_NEAR(tokens_per_round(serve_in_place(s)), 2.49, 0.12);
}

TEST(RoundsInPlace, PlacementsAreComparedOnTheSameLuck) {
  const Scenario here = in_place({0.6}, 300);
  Scenario elsewhere = fakes::drafter_scenario({0.6}, 300);
  EXPECT_EQ(serve_in_place(here).speculation->accepted,
            serve_in_place(elsewhere).speculation->accepted);
}

TEST(RoundsInPlace, ATreeIsVerifiedWhole) {
  // Two drafts, two behind each: six in all. They take a pass over the known tokens and one of two;
  // the verification has seven tokens: 4 x 1070 ns.
  Scenario s = in_place({0}, 4);
  s.placement.speculation.tree = {2, 2};
  s.placement.speculation.drafts = 2;
  const double first = 1320 + 1020 + 4280;
  const double further = 1020 + 1020 + 4280;
  EXPECT_NEAR(serve_in_place(s).requests[0].e2e_ms, (5280 + first + 2 * further) * 1e-6, 1e-12);
  // One of two drafts is right with probability 1 - 0.6^2.
  s.placement.speculation.acceptance = {0.4};
  EXPECT_NEAR(expected_tokens(s.placement.speculation), 1 + 0.64 + 0.64 * 0.64, 1e-12);
}

TEST(RoundsInPlace, DraftsThatAreLookedUpTakeNoPass) {
  // Nothing but the prompt and three verifications of four tokens.
  const RunResult result = serve_in_place(in_place({0}, 4, DraftMethod::PromptLookup));
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 3 * 4160) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->drafting, Picoseconds(0));
  EXPECT_EQ(result.speculation->draft_model, "prompt look-up");
  EXPECT_EQ(result.pools[0].totals.steps, 4);
  expect_shares_to_cover(result);
}

TEST(RoundsInPlace, ThePoolOfPromptsKeepsUpAndTheOtherDrafts) {
  // Prompt and the draft model's pass over it; KV of both goes over the wire. The first pass of the
  // decode pool has no drafts yet: 4 x 1010; then as above.
  Scenario s = in_place({0}, 4);
  s.placement.mode = PlacementMode::Disaggregated;
  s.placement.decode.pool = "gpu2";
  ChipGroup other = s.system.groups.front();
  other.pool = "gpu2";
  s.system.groups.push_back(other);
  const RunResult drafted = serve_in_place(s);
  EXPECT_NEAR(drafted.requests[0].ttft_ms, (5280 + 1320) * 1e-6, 1e-12);
  EXPECT_EQ(drafted.speculation->rounds, 2);
  Scenario plain = s;
  plain.placement.speculation = {};
  const RunResult alone = serve_in_place(plain);
  const std::int64_t tokens = 32;
  const Stage draft = whole_model(s.draft_model, s.placement.decode.precision);
  EXPECT_EQ(drafted.links.at("wire").bytes,
            alone.links.at("wire").bytes + draft.cache_bytes(tokens));
  const double transfer = 100 + static_cast<double>(drafted.links.at("wire").bytes.count());
  const double rounds = 4040 + (1010 + 2020 + 4160) + (1020 + 2020 + 4160);
  EXPECT_NEAR(drafted.requests[0].e2e_ms, (5280 + 1320 + transfer + rounds) * 1e-6, 1e-9);
}

TEST(RoundsInPlace, WeightsAndKvOfDraftsTakeRoom) {
  const Scenario s = in_place({0.5}, 64);
  Scenario plain = s;
  plain.placement.speculation = {};
  const auto room = [](const Scenario& scenario) {
    return ServiceModel(scenario, fakes::catalogue(), fakes::network(), std::nullopt)
        .deployments()
        .front()
        ->prefill_pool()
        .kv_room()
        .tokens;
  };
  const Stage model = whole_model(s.model, s.placement.prefill.precision);
  const Stage draft = whole_model(s.draft_model, s.placement.prefill.precision);
  const std::int64_t capacity = s.system.chips.begin()->second.parameters.count("capacity");
  EXPECT_EQ(room(plain),
            (capacity - model.weight_bytes().count()) / model.kv_bytes_per_token().count());
  EXPECT_EQ(room(s), (capacity - model.weight_bytes().count() - draft.weight_bytes().count()) /
                         (model.kv_bytes_per_token() + draft.kv_bytes_per_token()).count());
}

TEST(RoundsInPlace, ATimedRunNeedsToKnowHowOftenDraftsAreRight) {
  EXPECT_THROW((void)serve_in_place(in_place({}, 4)), ConfigError);
}

TEST(RoundsInPlace, FloorsAreNeverAboveTheTimes) {
  for (const std::int64_t drafts : {1, 3, 8}) {
    for (const std::int64_t output : {1, 2, 40}) {
      Scenario s = in_place({0.5}, output);
      s.placement.speculation.drafts = drafts;
      s.traffic.arrivals = ArrivalKind::Constant;  // nobody waits, which would hide it
      s.traffic.rate = 1;
      s.traffic.requests = 6;
      for (const RequestRecord& record : serve_in_place(s).requests) {
        EXPECT_LE(record.ttft_floor_ms, record.ttft_ms * (1 + 1e-12)) << drafts << " " << output;
        EXPECT_LE(record.tpot_floor_ms, record.tpot_ms * (1 + 1e-12)) << drafts << " " << output;
      }
    }
  }
}

}  // namespace
}  // namespace tandem
