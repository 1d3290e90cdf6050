// Steps of SGLang's scheduler and of static batches.
#include "tests/service/scheduler_oracle.hpp"

namespace tandem {
namespace {

using namespace oracle;

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
