// Rounds of speculative decoding on chips whose costs are worked out by hand. The model has four
// layers, the draft model one; a pass takes layers x (1000 + 10 x tokens) ns and the wire 1 ns per
// byte and 100 ns. A round of three drafts, each on top of one new token: 3 x 1010 ns, 12 B of ids
// in 112 ns, a verification of four tokens in 4 x 1040 = 4160 ns.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/service/service.hpp"
#include "sim/service/speculation/acceptance.hpp"
#include "tests/service/drafter_scenario.hpp"

namespace tandem {
namespace {

using fakes::drafter_scenario;

RunResult serve_rounds(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

/// The parts of the rounds cover the time from first to last token of every request.
void expect_parts_to_cover(const RunResult& result) {
  const SpeculationUse& use = *result.speculation;
  double after_first = 0;
  for (const RequestRecord& r : result.requests) after_first += r.e2e_ms - r.ttft_ms;
  EXPECT_NEAR(
      to_milliseconds(use.draft_prompt + use.drafting + use.transfer + use.waiting + use.verifying),
      after_first, 1e-9 * after_first);
}

TEST(Speculation, WithoutAcceptedDraftsEveryRoundGivesOneToken) {
  // Prompt 4 x 1320 = 5280 ns; the draft model's is done at 1320. Three rounds: 104 ns for the id
  // of the newest token, drafts, verification.
  const RunResult result = serve_rounds(drafter_scenario({0}, 4));
  const double round = 104 + 3 * 1010 + 112 + 4160;
  EXPECT_NEAR(result.requests[0].ttft_ms, 5280e-6, 1e-12);
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 3 * round) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->rounds, 3);
  EXPECT_EQ(result.speculation->accepted, 0);
  EXPECT_EQ(result.speculation->transfer, Picoseconds(3 * (104 + 112) * 1000));
  EXPECT_EQ(result.speculation->drafting, Picoseconds(3 * 3030 * 1000));
  EXPECT_EQ(result.speculation->verifying, Picoseconds(3 * 4160 * 1000));
  EXPECT_EQ(result.links.at("wire").bytes.count(), 3 * (4 + 12));
  ASSERT_EQ(result.pools.size(), 2u);
  EXPECT_EQ(result.pools[0].name, "verify");
  EXPECT_EQ(result.pools[0].totals.steps, 1 + 3);
  EXPECT_EQ(result.pools[1].name, "draft");
  EXPECT_EQ(result.pools[1].totals.steps, 1 + 9);
  // The fake floor is half of every pass; ids take their floor.
  EXPECT_NEAR(result.requests[0].tpot_floor_ms, (104 + 1515 + 112 + 2080) * 1e-6, 1e-12);
}

TEST(Speculation, TokensOfARoundComeTogether) {
  // All accepted: two rounds of four tokens. The second begins with 16 B of ids, and with two
  // tokens that the draft model has not seen: the last draft and the one after it.
  const RunResult result = serve_rounds(drafter_scenario({1}, 9));
  const double first = 104 + 3 * 1010 + 112 + 4160;
  const double second = 116 + 1020 + 2 * 1010 + 112 + 4160;
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + first + second) * 1e-6, 1e-12);
  EXPECT_EQ(result.speculation->rounds, 2);
  EXPECT_EQ(result.speculation->accepted, 6);
  ASSERT_EQ(result.itl_ms.size(), 8u);
  for (const std::size_t i : {1, 2, 3, 5, 6, 7}) EXPECT_EQ(result.itl_ms[i], 0);
  EXPECT_NEAR(result.itl_ms[0], first * 1e-6, 1e-12);
  EXPECT_NEAR(result.itl_ms[4], second * 1e-6, 1e-12);
  expect_parts_to_cover(result);
}

TEST(Speculation, AListGivesTheAcceptanceByPosition) {
  // The first draft always, the second never: two tokens a round, four rounds for eight tokens. 8 B
  // back; the draft model has computed the accepted draft already.
  const RunResult result = serve_rounds(drafter_scenario({1, 0}, 9));
  EXPECT_EQ(result.speculation->rounds, 4);
  EXPECT_EQ(result.speculation->accepted, 4);
  EXPECT_NEAR(result.requests[0].e2e_ms,
              (5280 + 104 + 3 * 108 + 4 * (3 * 1010 + 112 + 4160)) * 1e-6, 1e-12);
}

TEST(Speculation, MeanTokensOfARoundFollowTheClosedForm) {
  Speculation three;
  three.drafts = 3;
  three.acceptance = {0.7};
  EXPECT_NEAR(expected_tokens(three), (1 - std::pow(0.7, 4)) / 0.3, 1e-12);  // 2.533
  three.acceptance = {0.9, 0.5, 0.2};
  EXPECT_NEAR(expected_tokens(three), 1 + 0.9 + 0.45 + 0.09, 1e-12);
  // 2000 tokens in rounds of 2.533: about 790 rounds, whose tokens have a deviation of 1.22: four
  // standard errors are 0.17.
  const RunResult result = serve_rounds(drafter_scenario({0.7}, 2000));
  const auto rounds = static_cast<double>(result.speculation->rounds);
  EXPECT_NEAR(1 + static_cast<double>(result.speculation->accepted) / rounds, 2.533, 0.17);
  expect_parts_to_cover(result);
}

TEST(Speculation, AcceptanceOfARequestDoesNotDependOnTheOthers) {
  Scenario one = drafter_scenario({0.6}, 200);
  Scenario four = one;
  four.traffic.requests = four.traffic.concurrency = 4;
  const SpeculationUse alone = *serve_rounds(one).speculation;
  AcceptanceStream first(one.placement.speculation, one.seed, 0);
  std::int64_t accepted = 0;
  for (std::int64_t i = 0; i < alone.rounds; ++i) accepted += first.next();
  EXPECT_EQ(accepted, alone.accepted);
  const RunResult together = serve_rounds(four);
  EXPECT_EQ(together.output_tokens, 4 * 200);
  EXPECT_EQ(together.itl_ms.size(), 4u * 199);
  expect_parts_to_cover(together);
  // Passes of one layer and of four carry several requests.
  EXPECT_LT(together.pools[0].totals.steps, 4 * alone.rounds);
}

TEST(Speculation, RoundsInStepShareTheirVerification) {
  // Two prompts in one pass: 4 x 1640 = 6560 ns. The ids of the first tokens arrive at 6664 and,
  // behind them on the wire, 6668. The drafter has taken the first alone by then (1010 ns); its
  // second and third drafts share passes with the other's (1020 ns each), whose third is alone.
  // Drafts are there at 9714 + 112 and 10724 + 112 ns.
  Scenario s = drafter_scenario({0}, 2);
  s.traffic.requests = s.traffic.concurrency = 2;
  s.placement.speculation.in_step = false;
  const RunResult ready = serve_rounds(s);
  EXPECT_NEAR(ready.requests[0].e2e_ms, (9826 + 4160) * 1e-6, 1e-12);
  EXPECT_NEAR(ready.requests[1].e2e_ms, (9826 + 2 * 4160) * 1e-6, 1e-12);
  EXPECT_EQ(ready.speculation->waiting, Picoseconds(0));
  // Together: eight tokens in 4 x 1080 ns, when the later drafts are there.
  s.placement.speculation.in_step = true;
  const RunResult step = serve_rounds(s);
  EXPECT_NEAR(step.requests[0].e2e_ms, (10836 + 4320) * 1e-6, 1e-12);
  EXPECT_NEAR(step.requests[1].e2e_ms, (10836 + 4320) * 1e-6, 1e-12);
  EXPECT_EQ(step.speculation->waiting, Picoseconds((10836 - 9826) * 1000));
  expect_parts_to_cover(step);
}

TEST(Speculation, StaticChipsDraftOneTokenPerPeriod) {
  // The draft model's 32 prompt tokens enter an "lpu" one after the other, 1010 ns each, and are
  // done at 32320 ns, long after the first token (5280 + 104). Then as before.
  Scenario s = drafter_scenario({0}, 4);
  s.placement.draft.pool = "lpu";
  const RunResult result = serve_rounds(s);
  EXPECT_NEAR(result.requests[0].ttft_ms, 5280e-6, 1e-12);
  EXPECT_EQ(result.speculation->draft_prompt, Picoseconds((32320 - 5384) * 1000));
  EXPECT_NEAR(result.requests[0].e2e_ms, (32320 + 3 * (3 * 1010 + 112 + 4160) + 2 * 104) * 1e-6,
              1e-12);
  expect_parts_to_cover(result);
}

TEST(Speculation, StaticChipsVerifyInPassesOfTheirSlots) {
  // One slot: the four tokens of a round follow each other, 4 x 1010 ns each; so do the prompt's.
  Scenario s = drafter_scenario({0}, 3);
  s.placement.prefill.pool = "lpu";
  s.placement.decode = s.placement.prefill;
  const RunResult result = serve_rounds(s);
  EXPECT_NEAR(result.requests[0].ttft_ms, 32 * 4040 * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[0].e2e_ms - result.requests[0].ttft_ms,
              2 * (104 + 3 * 1010 + 112 + 4 * 4040) * 1e-6, 1e-10);
  EXPECT_EQ(result.pools[0].totals.steps, 32 + 2 * 4);
}

TEST(Speculation, FullPoolsPreemptAndStillAnswerEverybody) {
  // Room for one to three of eight requests in either pool: weights of 5776 B (the draft model's
  // layer 592 x 2 B, its tables 1040 B), 64 B and 16 B of KV per token.
  for (const double tokens : {80, 96, 128, 160, 200, -80, -96, -128, -160, -200}) {
    Scenario s = drafter_scenario({0.5}, 40);
    s.placement.speculation.in_step = tokens > 0;
    s.system.chips["small"] = s.system.chips["big"];
    s.placement.draft.pool = "lpu";
    fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 64 * std::abs(tokens));
    fakes::set(s.system.chips["small"].parameters, "capacity", 2224 + 16 * std::abs(tokens));
    s.traffic.requests = 12;
    s.traffic.concurrency = 8;
    const RunResult result = serve_rounds(s);
    EXPECT_EQ(result.requests.size(), 12u);
    std::int64_t preemptions = 0;
    for (const RequestRecord& r : result.requests) preemptions += r.preemptions;
    EXPECT_GT(preemptions, 0);
    expect_parts_to_cover(result);
    for (const RequestRecord& r : result.requests) {
      EXPECT_GE(r.tpot_ms, r.tpot_floor_ms);
    }
  }
}

TEST(Speculation, ASingleTokenNeedsNoDrafts) {
  const RunResult result = serve_rounds(drafter_scenario({0.5}, 1));
  EXPECT_EQ(result.speculation->rounds, 0);
  EXPECT_EQ(result.pools[1].totals.steps, 0);
}

TEST(Speculation, ATimedRunNeedsTheAcceptance) {
  try {
    serve_rounds(drafter_scenario({}, 4));
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.diagnostics().front().place.line, 8);
  }
}

TEST(Speculation, InterpolatedRoundsAreCloseToSimulatedOnes) {
  // The fake chip is linear in everything but the number of tokens of prompts, so between anchors
  // nothing is lost: rounds of verification and of drafts that catch up are features of their own.
  Scenario s = drafter_scenario({0.8}, 100);
  fakes::set(s.system.chips["big"].parameters, "context", 1);
  s.traffic.requests = s.traffic.concurrency = 6;
  RunOptions options;
  const RunResult result = run(s, fakes::catalogue(), fakes::network(), options);
  EXPECT_GT(result.steps_interpolated, 0);
  EXPECT_LT(result.audit.mean_error, 0.002);
}

}  // namespace
}  // namespace tandem
