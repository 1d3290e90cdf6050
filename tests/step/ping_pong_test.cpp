// Rounds of micro-batches by hand; times in nanoseconds.
#include "sim/step/ping_pong.hpp"

#include <gtest/gtest.h>

namespace tandem {
namespace {

Picoseconds at_ns(std::int64_t count) {
  return Picoseconds(1000 * count);
}

FeedForwardVisit visit(std::size_t gang, std::int64_t there, std::int64_t service,
                       std::int64_t back) {
  return {gang, at_ns(there), {at_ns(service)}, at_ns(back)};
}

/// Equal micro-batches.
PingPong round_of(const std::vector<Picoseconds>& legs, const std::vector<FeedForwardVisit>& visits,
                  std::size_t micro_batches, PassTrace* trace = nullptr) {
  return ping_pong(std::vector<MicroBatchWay>(micro_batches, MicroBatchWay{legs, visits}), trace);
}

// 10 of mixing, 5 there, at 15 the program (20 long, looping from 0) is under way: slot at 20,
// until 40, back at 45, 10 more.
TEST(PingPong, AnActivationWaitsForItsSlot) {
  const PingPong round = round_of({at_ns(10), at_ns(10)}, {visit(0, 5, 20, 5)}, 1);
  EXPECT_EQ(round.time, at_ns(55));
  EXPECT_EQ(round.slot_wait, at_ns(5));
  EXPECT_EQ(round.bridge, at_ns(10));
  EXPECT_EQ(round.mixing, at_ns(20));
  EXPECT_EQ(round.feeding, at_ns(20));
  EXPECT_EQ(round.mixer_wait, at_ns(0));
}

// The second micro-batch mixes from 10 to 20, is there at 25, takes the slot at 40 (the one at 20
// is the first's), is back at 65: 75.
TEST(PingPong, EveryTurnServesOneMicroBatch) {
  const PingPong round = round_of({at_ns(10), at_ns(10)}, {visit(0, 5, 20, 5)}, 2);
  EXPECT_EQ(round.time, at_ns(75));
  EXPECT_EQ(round.gang_busy, at_ns(40));
}

// Three passes of 20, 20 and 8, there at 15: turns at 20, 40 and 60, through at 68; back at 73, 83.
TEST(PingPong, EveryPassTakesATurnOfItsOwn) {
  const FeedForwardVisit three{0, at_ns(5), {at_ns(20), at_ns(20), at_ns(8)}, at_ns(5)};
  const PingPong round = round_of({at_ns(10), at_ns(10)}, {three}, 1);
  EXPECT_EQ(round.time, at_ns(83));
  EXPECT_EQ(round.slot_wait, at_ns(5));
  EXPECT_EQ(round.feeding, at_ns(48));
}

// Two layers on one gang, in turns of 50. Layer 0 with two passes: turns at 50 and 100, through at
// 120; layer 1's one pass: mixed to 130, turn at 170, through at 200; 210.
TEST(PingPong, PassesOfALayerWaitForTheOtherLayersOfTheirGang) {
  const FeedForwardVisit two{0, at_ns(0), {at_ns(20), at_ns(20)}, at_ns(0)};
  const PingPong round = round_of({at_ns(10), at_ns(10), at_ns(10)}, {two, visit(0, 0, 30, 0)}, 1);
  EXPECT_EQ(round.time, at_ns(210));
  EXPECT_EQ(round.slot_wait, at_ns((120 - 10 - 40) + 40));
}

// As EveryTurnServesOneMicroBatch, but the second mixes for 30 and feeds for 8 of its turn: 10 to
// 40, there at 45, turn at 60 to 68, back at 73, mixes to 78. The first's is the longer pass.
TEST(PingPong, MicroBatchesGoTheirOwnWays) {
  const PingPong round = ping_pong({{{at_ns(10), at_ns(10)}, {visit(0, 5, 20, 5)}},
                                    {{at_ns(30), at_ns(5)}, {visit(0, 5, 8, 5)}}});
  EXPECT_EQ(round.time, at_ns(78));
  EXPECT_EQ(round.gang_busy, at_ns(28));
}

// The second micro-batch of EveryTurnServesOneMicroBatch, span by span.
TEST(PingPong, ATraceShowsEveryStretchOfTheWay) {
  PassTrace trace;
  (void)round_of({at_ns(10), at_ns(10)}, {visit(0, 5, 20, 5)}, 2, &trace);
  std::vector<std::tuple<std::string, Picoseconds, Picoseconds>> second;
  for (const PassSpan& span : trace) {
    if (span.track == "micro-batch 1") second.emplace_back(span.label, span.start, span.end);
  }
  const std::vector<std::tuple<std::string, Picoseconds, Picoseconds>> expected = {
      {"wait", at_ns(0), at_ns(10)},          {"mixers", at_ns(10), at_ns(20)},
      {"bridge", at_ns(20), at_ns(25)},       {"slot_wait", at_ns(25), at_ns(40)},
      {"feed_forward", at_ns(40), at_ns(60)}, {"bridge", at_ns(60), at_ns(65)},
      {"mixers", at_ns(65), at_ns(75)}};
  EXPECT_EQ(second, expected);
}

// Two layers on one gang: programs of 20 and 30 in turns of 50; layer 0 at 0, 50, ..., layer 1 at
// 20, 70, ... Leaves at 10, there at 10: slot 50 to 70; mixes to 80: slot 120 to 150; 160.
TEST(PingPong, AGangLoopsOverItsLayers) {
  const PingPong round =
      round_of({at_ns(10), at_ns(10), at_ns(10)}, {visit(0, 0, 20, 0), visit(0, 0, 30, 0)}, 1);
  EXPECT_EQ(round.time, at_ns(160));
  EXPECT_EQ(round.slot_wait, at_ns(40 + 40));
}

// Mixers and blocks of equal length, a gang per layer, no bridge: with two micro-batches both sides
// are always at work. 8 layers of 10: the second micro-batch ends 10 behind the first.
TEST(PingPong, TwoMicroBatchesKeepBothSidesBusy) {
  std::vector<FeedForwardVisit> visits;
  for (std::size_t l = 0; l < 8; ++l) visits.push_back(visit(l, 0, 10, 0));
  std::vector<Picoseconds> legs(9, at_ns(10));
  legs.back() = at_ns(0);
  const PingPong one = round_of(legs, visits, 1);
  const PingPong two = round_of(legs, visits, 2);
  EXPECT_EQ(one.time, at_ns(160));
  EXPECT_EQ(two.time, at_ns(170));
}

TEST(PingPong, ChipsOfTheMixersTakeWhoeverComesFirst) {
  const PingPong round = round_of({at_ns(10), at_ns(10)}, {visit(0, 0, 1, 0)}, 3);
  // Third: 20 to 30; back at 31. First: 11 waits until 30, 40; second 50; third 60.
  EXPECT_EQ(round.time, at_ns(60));
  EXPECT_EQ(round.mixer_wait, at_ns(30 - 11));
}

}  // namespace
}  // namespace tandem
