// Steps of the schedulers, worked out by hand from the engines' rules. A step is written as the
// requests in it with their tokens ("0+8 1+2"), behind them "!1" for a preempted request and "&1"
// for one that got room for KV to come.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>

#include "sim/service/batch_scheduler.hpp"

namespace tandem {
namespace {

struct Arrival {
  int step = 1;
  std::int64_t prompt = 0;
  std::int64_t output = 1;
  std::vector<SharedPart> shared = {};
  std::int64_t priority = 0;
  bool comes_with_kv = false;
};

/// Plays requests through a scheduler until all are answered; ids are the order of arrival.
class Play {
 public:
  Play(const Serving& serving, std::int64_t blocks, std::vector<Arrival> arrivals)
      : scheduler_(make_scheduler(serving, blocks)), arrivals_(std::move(arrivals)) {}

  std::vector<std::string> steps() {
    std::vector<std::string> texts;
    while (answered_ < arrivals_.size() && texts.size() < 40) {
      deliver(static_cast<int>(texts.size()) + 1);
      texts.push_back(one_step());
    }
    if (answered_ == arrivals_.size()) {
      EXPECT_EQ(scheduler_->kv().used(), 0) << "blocks are left behind";
    }
    return texts;
  }

 private:
  void deliver(int step) {
    for (Request* request : inbound_) scheduler_->arrive(*request);
    inbound_.clear();
    for (; requests_.size() < arrivals_.size(); scheduler_->add(requests_.back(), with_kv())) {
      const Arrival& next = arrivals_[requests_.size()];
      if (next.step > step) return;
      Request request;
      request.id = static_cast<std::int64_t>(requests_.size());
      request.arrival = Picoseconds(next.step);
      request.prompt = next.prompt;
      request.output = next.output;
      request.shared = next.shared;
      request.priority = next.priority;
      request.generated = next.comes_with_kv ? 1 : 0;
      requests_.push_back(request);
    }
  }

  [[nodiscard]] bool with_kv() const { return arrivals_[requests_.size() - 1].comes_with_kv; }

  std::string one_step() {
    const ScheduledStep step = scheduler_->schedule();
    std::string text;
    const auto add = [&](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
    for (std::size_t i = 0; i < step.sequences.size(); ++i) {
      add(fmt::format("{}+{}", step.sequences[i]->request->id, step.batch.slices[i].new_tokens));
    }
    for (const Request* request : step.preempted) add(fmt::format("!{}", request->id));
    for (Request* request : step.reserved) {
      add(fmt::format("&{}", request->id));
      inbound_.push_back(request);
    }
    for (std::size_t i = 0; i < step.sequences.size(); ++i) {
      Request& request = *step.sequences[i]->request;
      if (!BatchScheduler::complete(*step.sequences[i], step.batch.slices[i])) continue;
      ++request.generated;
      if (!request.is_done()) continue;
      scheduler_->finish(request);
      ++answered_;
    }
    return text;
  }

  std::unique_ptr<BatchScheduler> scheduler_;
  std::vector<Arrival> arrivals_;
  std::deque<Request> requests_;
  std::vector<Request*> inbound_;
  std::size_t answered_ = 0;
};

using Steps = std::vector<std::string>;

/// vLLM with blocks of four tokens.
Serving vllm(std::int64_t tokens = 100) {
  Serving serving;
  serving.max_batch_tokens = tokens;
  serving.max_sequences = 16;
  serving.kv_block_tokens = 4;
  return serving;
}

Serving without_cache(Serving serving) {
  serving.prefix_cache = false;
  return serving;
}

/// SGLang with pages of one token.
Serving sglang(std::int64_t chunk = 100, double conservativeness = 1) {
  Serving serving = vllm(chunk);
  serving.policy = "sglang";
  serving.kv_block_tokens = 1;
  serving.conservativeness = conservativeness;
  return serving;
}

Steps play(const Serving& serving, std::int64_t blocks, std::vector<Arrival> arrivals) {
  return Play(serving, blocks, std::move(arrivals)).steps();
}

TEST(VllmScheduler, CutsAPromptToTheBudget) {
  EXPECT_EQ(play(vllm(8), 99, {{1, 10, 3}}), (Steps{"0+8", "0+2", "0+1", "0+1"}));
}

TEST(VllmScheduler, GivesTheRestOfTheBudgetToTheNextPrompt) {
  EXPECT_EQ(play(vllm(8), 99, {{1, 6, 2}, {1, 6, 2}}), (Steps{"0+6 1+2", "0+1 1+4", "1+1"}));
}

TEST(VllmScheduler, ServesRunningRequestsBeforeWaitingOnes) {
  EXPECT_EQ(play(vllm(4), 99, {{1, 4, 3}, {1, 6, 1}}), (Steps{"0+4", "0+1 1+3", "0+1 1+3"}));
}

TEST(VllmScheduler, LetsPromptsWaitForOthers) {
  // Steps of 20 tokens, half of which end the wait. The first prompt has nobody to wait beside; the
  // second lets steps 2 to 4 go by.
  Serving serving = vllm(20);
  serving.batch_wait_steps = 3;
  serving.batch_wait_fill = 0.5;
  EXPECT_EQ(play(serving, 99, {{1, 4, 9}, {2, 4, 2}}),
            (Steps{"0+4", "0+1", "0+1", "0+1", "0+1 1+4", "0+1 1+1", "0+1", "0+1", "0+1"}));
  // In step 3 the running token and two prompts are ten.
  EXPECT_EQ(play(serving, 99, {{1, 4, 5}, {2, 4, 1}, {3, 5, 1}}),
            (Steps{"0+4", "0+1", "0+1 1+4 2+5", "0+1", "0+1"}));
}

TEST(VllmScheduler, LetsPromptsWaitUntilEveryGroupHasOne) {
  // Two groups, whole prompts of four in parts of six tokens per step. Both answers are under way
  // when request 2 joins the group of 0, request 3 that of 1 two steps later.
  Serving serving = vllm(12);
  serving.chunked_prefill = false;
  serving.balanced_groups = 2;
  serving.balance_wait_steps = 4;
  EXPECT_EQ(play(serving, 99, {{1, 4, 9}, {1, 4, 9}, {3, 4, 1}, {5, 4, 1}}),
            (Steps{"0+4 1+4", "0+1 1+1", "0+1 1+1", "0+1 1+1", "0+1 1+1 2+4 3+4", "0+1 1+1",
                   "0+1 1+1", "0+1 1+1", "0+1 1+1"}));
  // Steps are counted with and without prompts: the fourth lets request 2 in. Request 3 has no room
  // beside it in its group.
  EXPECT_EQ(play(serving, 99, {{1, 4, 9}, {1, 4, 9}, {2, 4, 1}, {2, 4, 1}, {2, 4, 1}}),
            (Steps{"0+4 1+4", "0+1 1+1 2+4 3+4", "0+1 1+1", "0+1 1+1", "0+1 1+1", "0+1 1+1 4+4",
                   "0+1 1+1", "0+1 1+1", "0+1 1+1"}));
  // A group without an answer waits for nobody.
  EXPECT_EQ(play(serving, 99, {{1, 4, 4}, {2, 4, 1}}), (Steps{"0+4", "0+1 1+4", "0+1", "0+1"}));
}

TEST(VllmScheduler, RunsAtMostMaxSequences) {
  Serving serving = vllm();
  serving.max_sequences = 1;
  EXPECT_EQ(play(serving, 99, {{1, 6, 2}, {1, 6, 2}}), (Steps{"0+6", "0+1", "1+6", "1+1"}));
}

TEST(VllmScheduler, StopsAtAHeadWithoutRoomThoughSmallerOnesWouldFit) {
  // Four blocks: request 1 needs three while request 0 has two, later three.
  EXPECT_EQ(play(vllm(), 4, {{1, 8, 4}, {1, 12, 1}, {1, 4, 1}}),
            (Steps{"0+8", "0+1", "0+1", "0+1", "1+12 2+4"}));
}

TEST(VllmScheduler, PreemptsTheLastAndServesNobodyWaitingInThatStep) {
  // Request 2 would fit behind the preemption of 1, which frees two blocks of which 0 takes one.
  EXPECT_EQ(play(without_cache(vllm()), 4, {{1, 8, 3}, {1, 8, 2}, {1, 4, 1}}),
            (Steps{"0+8 1+8", "0+1 !1", "0+1", "1+9 2+4"}));
}

TEST(VllmScheduler, ARequestPreemptsItselfWhenItIsTheLast) {
  EXPECT_EQ(play(without_cache(vllm()), 3, {{1, 4, 4}, {1, 4, 3}}),
            (Steps{"0+4 1+4", "0+1 !1", "0+1", "0+1", "1+5", "1+1"}));
}

TEST(VllmScheduler, APreemptedRequestGoesToTheHeadOfTheQueue) {
  Serving serving = without_cache(vllm());
  serving.max_sequences = 2;
  EXPECT_EQ(play(serving, 4, {{1, 8, 3}, {1, 8, 2}, {2, 4, 1}}),
            (Steps{"0+8 1+8", "0+1 !1", "0+1", "1+9 2+4"}));
}

TEST(VllmScheduler, APreemptedRequestFindsTheBlocksThatNobodyNeeded) {
  // Two blocks of request 1 stay; request 0 takes the room of the second.
  EXPECT_EQ(play(vllm(), 4, {{1, 8, 3}, {1, 8, 2}}), (Steps{"0+8 1+8", "0+1 !1", "0+1", "1+5"}));
}

TEST(VllmScheduler, WithoutChunksAPromptWaitsForAStepThatTakesItWhole) {
  Serving serving = vllm(8);
  serving.chunked_prefill = false;
  EXPECT_EQ(play(serving, 99, {{1, 6, 2}, {1, 6, 1}}), (Steps{"0+6", "0+1 1+6"}));
}

TEST(VllmScheduler, LongPromptsLeaveRoomForOthers) {
  Serving serving = vllm(8);
  serving.long_prefill_tokens = 4;
  EXPECT_EQ(play(serving, 99, {{1, 10, 1}, {1, 3, 1}}), (Steps{"0+4 1+3", "0+4", "0+2"}));
}

TEST(VllmScheduler, BeginsBehindACachedPrefix) {
  EXPECT_EQ(play(vllm(), 99, {{1, 12, 1, {{7, 8}}}, {2, 12, 1, {{7, 8}}}}), (Steps{"0+12", "1+4"}));
}

TEST(VllmScheduler, FindsBlocksOfTheSameStep) {
  EXPECT_EQ(play(vllm(), 99, {{1, 12, 1, {{7, 8}}}, {1, 12, 1, {{7, 8}}}}), (Steps{"0+12 1+4"}));
}

TEST(VllmScheduler, ComputesTheLastBlockOfAPromptThatIsCachedWhole) {
  EXPECT_EQ(play(vllm(), 99, {{1, 8, 1, {{7, 8}}}, {2, 8, 1, {{7, 8}}}}), (Steps{"0+8", "1+4"}));
}

TEST(VllmScheduler, SharesOnlyFullBlocks) {
  EXPECT_EQ(play(vllm(), 99, {{1, 12, 1, {{7, 6}}}, {2, 12, 1, {{7, 6}}}}), (Steps{"0+12", "1+8"}));
}

TEST(VllmScheduler, CountsSharedBlocksOnce) {
  // Three blocks shared and one of its own each: three requests hold six of six.
  const std::vector<SharedPart> shared{{7, 12}};
  EXPECT_EQ(play(vllm(), 6, {{1, 14, 2, shared}, {2, 14, 2, shared}, {2, 14, 2, shared}}),
            (Steps{"0+14", "0+1 1+2 2+2", "1+1 2+1"}));
}

TEST(VllmScheduler, EvictsThePrefixLeftLongestAgo) {
  // Four blocks hold the prefixes 1 and 2; request 2 takes the room of the first.
  EXPECT_EQ(play(vllm(), 4,
                 {{1, 8, 1, {{1, 8}}},
                  {2, 8, 1, {{2, 8}}},
                  {3, 8, 1},
                  {4, 9, 1, {{2, 8}}},
                  {5, 9, 1, {{1, 8}}}}),
            (Steps{"0+8", "1+8", "2+8", "3+1", "4+9"}));
}

TEST(VllmScheduler, AHitMakesAPrefixTheYoungest) {
  // Prefix 1 is used again before room is needed, so the end of prefix 2 goes.
  EXPECT_EQ(play(vllm(), 5,
                 {{1, 8, 1, {{1, 8}}},
                  {2, 8, 1, {{2, 8}}},
                  {3, 9, 1, {{1, 8}}},
                  {4, 8, 1},
                  {5, 9, 1, {{1, 8}}},
                  {6, 9, 1, {{2, 8}}}}),
            (Steps{"0+8", "1+8", "2+1", "3+8", "4+1", "5+5"}));
}

TEST(VllmScheduler, EvictsTheEndOfAPrefixFirst) {
  // Five blocks: prefix 1 of three blocks and two free; request 1 needs three, so one block goes.
  EXPECT_EQ(play(vllm(), 5, {{1, 12, 1, {{1, 12}}}, {2, 12, 1}, {3, 13, 1, {{1, 12}}}}),
            (Steps{"0+12", "1+12", "2+5"}));
}

TEST(VllmScheduler, KeepsNothingWithoutAPrefixCache) {
  // Sources drop the parts then; so does the test.
  EXPECT_EQ(play(without_cache(vllm()), 99, {{1, 12, 1}, {2, 12, 1}}), (Steps{"0+12", "1+12"}));
}

Serving by_priority() {
  Serving serving = without_cache(vllm());
  serving.order = "priority";
  return serving;
}

TEST(VllmScheduler, ServesPrioritiesBeforeArrivals) {
  Serving serving = by_priority();
  serving.max_sequences = 1;
  EXPECT_EQ(play(serving, 99, {{1, 4, 1, {}, 2}, {1, 4, 1, {}, 0}, {1, 4, 1, {}, 1}}),
            (Steps{"1+4", "2+4", "0+4"}));
}

TEST(VllmScheduler, PreemptsTheLeastPriorityEvenIfItIsInTheStep) {
  // Five blocks. In step 3 request 0 has its token when request 1 needs the block that it holds.
  EXPECT_EQ(play(by_priority(), 5, {{1, 8, 3, {}, 5}, {2, 8, 2, {}, 0}}),
            (Steps{"0+8", "0+1 1+8", "1+1 !0", "0+10"}));
}

TEST(VllmScheduler, APreemptedRequestOfLeastPriorityWaitsBehindBetterOnes) {
  EXPECT_EQ(play(by_priority(), 5, {{1, 8, 3, {}, 5}, {2, 8, 2, {}, 0}, {3, 12, 1, {}, 1}}),
            (Steps{"0+8", "0+1 1+8", "1+1 !0", "2+12", "0+10"}));
}

TEST(VllmScheduler, SetsRoomAsideForKvToCome) {
  EXPECT_EQ(play(vllm(), 99, {{1, 8, 3, {}, 0, true}}), (Steps{"&0", "0+1", "0+1"}));
}

TEST(VllmScheduler, KvToComeWaitsForRoom) {
  // Three blocks each: 8 tokens of the prompt and the first of the answer.
  EXPECT_EQ(play(vllm(), 5, {{1, 8, 3, {}, 0, true}, {1, 8, 2, {}, 0, true}}),
            (Steps{"&0", "0+1", "0+1", "&1", "1+1"}));
}

TEST(SglangScheduler, ComputesPromptsBeforeItDecodes) {
  EXPECT_EQ(play(sglang(), 99, {{1, 4, 3}, {2, 4, 2}}), (Steps{"0+4", "1+4", "0+1 1+1", "0+1"}));
}

TEST(SglangScheduler, LooksForRequestsAfterSomeStepsOfDecoding) {
  // A look after the prompt, before step 2, when nothing has come; the next one three steps of
  // decoding later. The new prompt is begun in step 5, though it came before step 3.
  Serving serving = sglang();
  serving.receive_interval = 3;
  EXPECT_EQ(play(serving, 100, {{1, 4, 7}, {3, 4, 2}}),
            (Steps{"0+4", "0+1", "0+1", "0+1", "1+4", "0+1 1+1", "0+1", "0+1"}));
  // Where nothing runs it is begun at once.
  EXPECT_EQ(play(serving, 100, {{1, 4, 2}, {3, 4, 1}}), (Steps{"0+4", "0+1", "1+4"}));
}

TEST(SglangScheduler, CutsAPromptToTheChunk) {
  EXPECT_EQ(play(sglang(4), 99, {{1, 10, 2}}), (Steps{"0+4", "0+4", "0+2", "0+1"}));
}

TEST(SglangScheduler, FillsTheRestOfAChunkWithTheNextPrompt) {
  EXPECT_EQ(play(sglang(4), 99, {{1, 6, 2}, {1, 3, 1}}), (Steps{"0+4", "0+2 1+2", "1+1", "0+1"}));
}

TEST(SglangScheduler, NoPromptBeginsBehindMaxPrefillTokens) {
  Serving serving = sglang();
  serving.max_prefill_tokens = 10;
  EXPECT_EQ(play(serving, 99, {{1, 6, 1}, {1, 4, 1}, {1, 3, 1}}), (Steps{"0+6", "1+4 2+3"}));
}

TEST(SglangScheduler, KeepsRoomForAnswersOfThoseThatRun) {
  // 20 tokens. Request 1 needs 8; beside request 0 there are 12 less 0.7 of the 7 to come.
  const std::vector<Arrival> arrivals{{1, 8, 8}, {1, 4, 4}};
  EXPECT_EQ(play(sglang(), 20, arrivals), (Steps{"0+8", "0+1", "0+1", "0+1", "0+1", "0+1", "0+1",
                                                 "0+1", "1+4", "1+1", "1+1", "1+1"}));
  EXPECT_EQ(play(sglang(100, 0.01), 20, arrivals)[1], "1+4") << "takes the chance";
}

TEST(SglangScheduler, RetractsTheShortestAnswerOfTheLongestPrompt) {
  // 12 tokens. Both have four tokens when the room is full; request 0 has the longer prompt.
  EXPECT_EQ(play(without_cache(sglang(100, 0.01)), 12, {{1, 4, 6}, {1, 2, 5}}),
            (Steps{"0+4", "1+2", "0+1 1+1", "0+1 1+1", "0+1 1+1", "1+1 !0", "0+8", "0+1"}));
}

TEST(SglangScheduler, ARetractedRequestGoesToTheEndOfTheQueue) {
  // Request 2 needs 11 of 12 tokens and waits from step 3 on.
  EXPECT_EQ(play(without_cache(sglang(100, 0.01)), 12, {{1, 4, 6}, {1, 2, 5}, {3, 10, 1}}),
            (Steps{"0+4", "1+2", "0+1 1+1", "0+1 1+1", "0+1 1+1", "1+1 !0", "2+10", "0+8", "0+1"}));
}

TEST(SglangScheduler, TakesTheLongestCachedPrefixFirst) {
  Serving serving = sglang(12);
  const std::vector<Arrival> arrivals{{1, 8, 1, {{1, 8}}}, {2, 12, 1}, {2, 12, 1, {{1, 8}}}};
  EXPECT_EQ(play(serving, 99, arrivals), (Steps{"0+8", "1+12", "2+4"}));
  serving.order = "longest_prefix";
  EXPECT_EQ(play(serving, 99, arrivals), (Steps{"0+8", "2+4 1+8", "1+4"}));
}

TEST(SglangScheduler, LeavesWhatAnotherWillCacheForLater) {
  // The tree learns of a prefix when the step is over: request 1 computes it again if it begins
  // now.
  Serving serving = sglang(60);
  const std::vector<SharedPart> prefix{{1, 40}};
  const std::vector<Arrival> arrivals{{1, 44, 1, prefix}, {1, 44, 1, prefix}, {1, 16, 1}};
  EXPECT_EQ(play(serving, 199, arrivals), (Steps{"0+44 1+16", "1+28 2+16"}));
  serving.order = "longest_prefix";
  EXPECT_EQ(play(serving, 199, arrivals), (Steps{"0+44 2+16", "1+4"}));
}

TEST(SglangScheduler, ServesLongQueuesAsTheyCame) {
  Serving serving = sglang(8);
  serving.order = "longest_prefix";
  std::vector<Arrival> arrivals{{1, 8, 1, {{1, 8}}}};
  for (int i = 0; i < 129; ++i) arrivals.push_back({2, 8, 1});
  arrivals.push_back({2, 9, 1, {{1, 8}}});
  EXPECT_EQ(play(serving, 999, arrivals)[1], "1+8");
  arrivals.erase(arrivals.begin() + 1, arrivals.begin() + 3);
  EXPECT_EQ(play(serving, 999, arrivals)[1].substr(0, 5), "128+1");
}

Serving static_batches() {
  Serving serving = vllm();
  serving.policy = "static";
  return serving;
}

TEST(StaticScheduler, NothingJoinsABatch) {
  EXPECT_EQ(play(static_batches(), 99, {{1, 4, 3}, {1, 4, 1}, {2, 4, 1}}),
            (Steps{"0+4 1+4", "0+1", "0+1", "2+4"}));
}

TEST(StaticScheduler, SetsRoomAsideForWholeAnswers) {
  // Four blocks: three for request 0 and its answer, two for request 1 and its.
  EXPECT_EQ(play(static_batches(), 4, {{1, 4, 5}, {1, 4, 4}}),
            (Steps{"0+4", "0+1", "0+1", "0+1", "0+1", "1+4", "1+1", "1+1", "1+1"}));
}

TEST(StaticScheduler, ComputesAllPromptsBeforeItDecodes) {
  Serving serving = static_batches();
  serving.max_batch_tokens = 6;
  EXPECT_EQ(play(serving, 99, {{1, 4, 2}, {1, 4, 2}}), (Steps{"0+4 1+2", "1+2", "0+1 1+1"}));
}

}  // namespace
}  // namespace tandem
