// Steps of vLLM's scheduler.
#include "tests/service/scheduler_oracle.hpp"

namespace tandem {
namespace {

using namespace oracle;

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

}  // namespace
}  // namespace tandem
