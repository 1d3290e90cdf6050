// Sessions of several turns: prompts that grow by the answers, thinking in between, and what of
// them is found in the cache. Blocks of 16 tokens; costs are those of the fake chips.
#include <gtest/gtest.h>

#include <map>

#include "sim/service/service.hpp"
#include "sim/service/session_turns.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

RunResult run_exactly(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

/// One user, one session of three turns: 32 new tokens and an answer of 4 each, 1 us to think.
Scenario three_turns() {
  Scenario s = fakes::scenario();
  s.serving.max_batch_tokens = 1000;
  s.traffic.turns = 3;
  s.traffic.think_time_s = 1e-6;
  s.traffic.think_time_is_constant = true;
  return s;
}

TEST(Sessions, TurnsBeginBehindTheTextSoFar) {
  // Turn 0: 4 x (1000 + 320) = 5280 ns and three tokens of 4040: done at 17400. 35 tokens have
  // their KV: 2 blocks, 32 tokens.
  // Turn 1 comes at 18400 with 36 + 32 = 68 tokens, 36 to compute: 4 x (1000 + 360) = 5440.
  // Turn 2: 72 + 32 = 104 tokens, behind the 4 blocks of 71: 40 to compute, 4 x 1400 = 5600.
  const RunResult result = run_exactly(three_turns());
  ASSERT_EQ(result.requests.size(), 3u);
  const std::vector<std::int64_t> prompts = {32, 68, 104}, cached = {0, 32, 64};
  const std::vector<double> arrivals = {0, 18400, 18400 + 5440 + 12120 + 1000};
  const std::vector<double> ttft = {5280, 5440, 5600};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.requests[i].prompt, prompts[i]) << i;
    EXPECT_EQ(result.requests[i].cached_tokens, cached[i]) << i;
    EXPECT_NEAR(result.requests[i].arrival_s, arrivals[i] * 1e-9, 1e-15) << i;
    EXPECT_NEAR(result.requests[i].ttft_ms, ttft[i] * 1e-6, 1e-12) << i;
  }
  ASSERT_TRUE(result.sessions);
  EXPECT_EQ(result.sessions->sessions, 1);
  EXPECT_EQ(result.sessions->turns, 3);
  EXPECT_EQ(result.sessions->cached_tokens, 96);
  EXPECT_EQ(result.sessions->reusable_tokens, 96);
  EXPECT_NEAR(result.sessions->duration_ms.at(0), (36960 + 5600 + 12120) * 1e-6, 1e-12);
}

TEST(Sessions, OfUsersAreSpreadOverAWholeOne) {
  // Two users: the second begins when the first is half through its three turns and thinking.
  Scenario s = three_turns();
  s.traffic.ramp = std::nullopt;
  s.traffic.think_time_s = 1e-3;
  s.traffic.concurrency = 2;
  s.traffic.requests = 2;
  const RunResult result = run_exactly(s);
  const double begin = result.requests.at(3).arrival_s;
  EXPECT_EQ(result.requests[3].turn, 0);
  EXPECT_GT(begin, 1e-3);  // half of two think times, and of three answers
  EXPECT_LT(begin, 1e-3 + 3 * 17.4e-6 / 2);
}

TEST(Sessions, WithoutACacheComputeTheWholeText) {
  // 68 tokens: 4 x 1680; 104: 4 x 2040.
  Scenario s = three_turns();
  s.serving.prefix_cache = false;
  const RunResult result = run_exactly(s);
  EXPECT_NEAR(result.requests.at(1).ttft_ms, 6720e-6, 1e-12);
  EXPECT_NEAR(result.requests.at(2).ttft_ms, 8160e-6, 1e-12);
  EXPECT_EQ(result.sessions->cached_tokens, 0);
  EXPECT_EQ(result.sessions->reusable_tokens, 96);
}

TEST(Sessions, ShareAPrefixWithAllOthers) {
  // 40 tokens before everything: the second session finds 2 blocks of them. Second turns have
  // 40 + 32 + 4 + 32 tokens, of which 75 had their KV: 4 blocks.
  Scenario s = three_turns();
  s.traffic.turns = 2;
  s.traffic.requests = 2;
  s.traffic.shared_prefix_tokens = 40;
  const RunResult result = run_exactly(s);
  ASSERT_EQ(result.requests.size(), 4u);
  const std::vector<std::int64_t> cached = {0, 64, 32, 64};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(result.requests[i].cached_tokens, cached[i]) << i;
  EXPECT_EQ(result.sessions->reusable_tokens, 160);
}

TEST(Sessions, OnPoolsForPromptsFindNoAnswersThere) {
  // Answers of 20 tokens: 51 have their KV after turn 0, 3 blocks in one pool; the pool of the
  // prompts has 32 of them. After turn 1, with 84 tokens, it has 5 blocks, one pool 6.
  Scenario s = three_turns();
  s.traffic.output_tokens = 20;
  EXPECT_EQ(run_exactly(s).sessions->cached_tokens, 48 + 96);
  s.placement.mode = PlacementMode::Disaggregated;
  s.placement.decode.pool = "lpu";
  s.placement.decode.pipeline = 2;
  EXPECT_EQ(run_exactly(s).sessions->cached_tokens, 32 + 80);
}

TEST(Sessions, LoseWhatOthersPushOut) {
  // Room for 16 blocks of 16 tokens. Two sessions of one user each; the first turn of one takes
  // 100 + 4 tokens, 7 blocks, and leaves 6 full ones; both together leave 12. Second turns with
  // 204 + 4 tokens take 13 blocks: they find the 6 of their session, and take 4 free blocks and 3
  // of the other session's 6, from its end. The other one finds 3.
  Scenario s = three_turns();
  fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 64 * 16 * 16);
  s.traffic.turns = 2;
  s.traffic.prompt_tokens = 100;
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  s.traffic.ramp = Picoseconds(40'000'000);  // the second user begins when the first one is done
  s.traffic.think_time_s = 100e-6;
  const RunResult result = run_exactly(s);
  EXPECT_EQ(result.requests.at(1).cached_tokens, 96);
  EXPECT_EQ(result.requests.at(3).cached_tokens, 48);
}

/// Answers everything at once, and notes what came.
class AnswersAtOnce final : public RequestInlet, public AnswerSink {
 public:
  void arrived(Request& request, Picoseconds now) override {
    request.first_token = request.finish = now;
    seen.push_back(request);
    turns->answered(request, now);
  }
  void answered(Request&, Picoseconds) override { ++sessions; }
  SessionTurns* turns = nullptr;
  std::vector<Request> seen;
  std::int64_t sessions = 0;
};

TEST(Sessions, HaveTheTurnsAndThinkTimesAsked) {
  Traffic traffic;
  traffic.turns = 4;
  traffic.turns_spread = 0.5;
  traffic.think_time_s = 2;
  traffic.length_spread = 0.5;
  traffic.prompt_tokens = 20;
  traffic.first_prompt_tokens = 200;
  traffic.output_tokens = 10;
  CalendarAgenda agenda;
  AnswersAtOnce service;
  SessionTurns turns(traffic, 16, true, 3, agenda, service);
  turns.connect(service);
  service.turns = &turns;
  constexpr std::int64_t sessions = 3000;
  std::deque<Request> first;
  for (std::int64_t i = 0; i < sessions; ++i) {
    Request request;
    request.id = i;
    request.prompt = 20;
    request.output = 10;
    first.push_back(request);
    turns.arrived(first.back(), Picoseconds(0));
  }
  agenda.run();
  EXPECT_EQ(service.sessions, sessions);
  std::map<std::int64_t, std::vector<const Request*>> by_session;
  for (const Request& request : service.seen) by_session[request.session].push_back(&request);
  std::map<std::size_t, int> lengths;
  double think_s = 0, later = 0;
  for (const auto& [session, own] : by_session) {
    ++lengths[own.size()];
    EXPECT_GE(own.front()->prompt, 100);
    EXPECT_LE(own.front()->prompt, 300);
    for (std::size_t i = 1; i < own.size(); ++i) {
      const std::int64_t fresh = own[i]->prompt - own[i - 1]->prompt - own[i - 1]->output;
      EXPECT_GE(fresh, 10);
      EXPECT_LE(fresh, 30);
      EXPECT_GT(own[i]->id, own[i - 1]->id);
      think_s += to_seconds(own[i]->arrival - own[i - 1]->finish);
      later += 1;
    }
  }
  // 2 to 6 turns, 600 sessions of each (standard deviation 22).
  for (std::size_t n = 2; n <= 6; ++n) EXPECT_NEAR(lengths[n], 600, 6 * 22) << n;
  EXPECT_EQ(lengths.size(), 5u);
  // Exponential: the mean of some 9000 has a standard error of 2 / sqrt(9000).
  EXPECT_NEAR(think_s / later, 2, 6 * 0.0211);
}

}  // namespace
}  // namespace tandem
