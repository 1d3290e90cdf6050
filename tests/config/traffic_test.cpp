// Arrivals and traces of a scenario.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

using fixture::diagnostics_of;
using fixture::loader;

/// Four requests in two seconds; the third takes more than the 256 tokens of the model.
class Trace : public testing::Test {
 protected:
  Trace() : path_(std::filesystem::temp_directory_path() / ("r" + std::to_string(getpid()))) {
    path_ += ".csv";
    std::ofstream(path_) << "arrival_s,prompt_tokens,output_tokens,blocks\n"
                            "3,10,4,1\n4,30,8,1 2\n4.5,250,9,1\n5,20,6,3\n";
  }
  ~Trace() override { std::filesystem::remove(path_); }
  [[nodiscard]] std::vector<Override> changes(const std::vector<Override>& more) const {
    std::vector<Override> all{{"traffic.arrivals", "trace"},
                              {"traffic.requests", "null"},
                              {"traffic.trace.file", path_.string()}};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  [[nodiscard]] Traffic traffic(const std::vector<Override>& more) const {
    return loader().scenario("base", changes(more)).traffic;
  }
  [[nodiscard]] std::string complaint(const std::vector<Override>& more) const {
    const auto found = diagnostics_of([&] { (void)traffic(more); });
    return found.size() == 1 ? found[0].message : std::to_string(found.size()) + " complaints";
  }

  std::filesystem::path path_;
};

TEST_F(Trace, BeyondTheModelsContextIsAnErrorOrDropped) {
  EXPECT_EQ(complaint({}),
            "1 of 4 requests of the trace take more than the 256 tokens of 'tiny'; the longest "
            "takes 259; write 'too_long: drop' to leave them out");
  const Traffic kept = traffic({{"traffic.trace.too_long", "drop"}});
  EXPECT_EQ(kept.requests, 3);
  EXPECT_EQ(kept.trace->dropped, 1);
  EXPECT_EQ(kept.trace->requests.back().arrival.count(), 2'000'000'000'000);
  EXPECT_DOUBLE_EQ(kept.rate, 1) << "two more requests in two seconds";
  EXPECT_EQ(kept.prompt_tokens, 20);
  EXPECT_EQ(kept.output_tokens, 6);
}

TEST_F(Trace, IsScaledToARateAndCutToItsFirstRequests) {
  const Traffic scaled = traffic(
      {{"traffic.trace.too_long", "drop"}, {"traffic.rate", "4 req/s"}, {"traffic.requests", "2"}});
  EXPECT_EQ(scaled.rate, 4);
  EXPECT_EQ(scaled.requests, 2);
  EXPECT_EQ(scaled.trace->requests.size(), 2U);
  const Traffic cut = traffic({{"traffic.trace.too_long", "drop"}, {"traffic.requests", "2"}});
  EXPECT_EQ(cut.rate, 1) << "of these two, not of the whole trace";
  EXPECT_EQ(complaint({{"traffic.trace.too_long", "drop"}, {"traffic.requests", "9"}}),
            "the trace has 4 requests; write at most as many, or leave it out");
}

TEST_F(Trace, GivesItsLengthsToOtherArrivals) {
  const Traffic closed = loader()
                             .scenario("base", {{"traffic.trace.file", path_.string()},
                                                {"traffic.trace.too_long", "drop"}})
                             .traffic;
  EXPECT_EQ(closed.arrivals, ArrivalKind::Closed);
  EXPECT_EQ(closed.concurrency, 8);
  EXPECT_EQ(closed.requests, 10) << "more than the trace has: it begins again";
  ASSERT_NE(closed.trace, nullptr);
}

TEST_F(Trace, KeepsTheKeysOfDrawnLengthsAway) {
  EXPECT_EQ(complaint({{"traffic.trace.too_long", "drop"}, {"traffic.length_spread", "50 %"}}),
            "'length_spread' does not go with a trace; leave it out");
  EXPECT_EQ(complaint({{"traffic.trace.format", "azure"}, {"traffic.trace.prompt", "p"}}),
            "'prompt' is for 'format: columns'; leave it out");
  EXPECT_EQ(complaint({{"traffic.trace.file", "gone.csv"}}),
            "cannot read the trace 'gone.csv'; paths start at the folder of the file that names "
            "them");
}

TEST_F(Trace, IsPartOfTheContentKey) {
  const auto hash = [&](const std::vector<Override>& more) {
    return loader().scenario("base", changes(more)).config_hash;
  };
  const std::vector<Override> drop{{"traffic.trace.too_long", "drop"}};
  const std::string before = hash(drop);
  auto blocks = drop;
  blocks.push_back({"traffic.trace.prefix", "blocks"});
  EXPECT_NE(hash(blocks), before);
  auto uncached = blocks;
  uncached.push_back({"serving.prefix_cache", "false"});
  EXPECT_NE(hash(uncached), hash(blocks));
  std::ofstream(path_, std::ios::app) << "6,20,6,3\n";
  EXPECT_NE(hash(drop), before);
}

TEST_F(Trace, GivesPriorities) {
  const Traffic read =
      traffic({{"traffic.trace.too_long", "drop"}, {"traffic.trace.priority", "output_tokens"}});
  EXPECT_EQ(read.trace->requests[1].priority, 8);
}

std::vector<std::string> messages(const std::vector<Override>& changes) {
  std::vector<std::string> texts;
  for (const Diagnostic& problem :
       diagnostics_of([&] { (void)loader().scenario("base", changes); })) {
    texts.push_back(problem.message);
  }
  return texts;
}

TEST(Schedulers, RefuseKeysOfAnotherPolicy) {
  EXPECT_EQ(messages({{"serving.policy", "sglang"}, {"serving.chunked_prefill", "false"}}),
            (std::vector<std::string>{"'chunked_prefill' is for 'policy: vllm_v1'; leave it out"}));
  EXPECT_EQ(messages({{"serving.order", "longest_prefix"}}),
            (std::vector<std::string>{
                "'order: longest_prefix' is for 'policy: sglang'; write 'order: fcfs'"}));
  EXPECT_EQ(messages({{"serving.policy", "static"}, {"serving.conservativeness", "2"}}),
            (std::vector<std::string>{"'conservativeness' is for 'policy: sglang'; leave it out"}));
  EXPECT_TRUE(
      messages({{"serving.policy", "sglang"}, {"serving.order", "longest_prefix"}}).empty());
}

// A spread of a tenth: 247.5 and 9.9 tokens are 247 and 9 at most, 256 of the 256 of 'tiny'.
TEST(Lengths, AreAtMostTheWholeTokensThatCanBeDrawn) {
  const auto drawn = [](const char* prompt, const char* output) {
    return messages({{"traffic.length_spread", "10 %"},
                     {"traffic.prompt_tokens", prompt},
                     {"traffic.output_tokens", output}});
  };
  EXPECT_EQ(drawn("225", "9"), std::vector<std::string>{});
  const std::vector<std::string> found = drawn("226", "9");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("take up to 257 tokens"), std::string::npos) << found[0];
}

// Of two turns of 119.9 and 9.9 tokens the second has 119 + 9 + 119 in its prompt and 9 to answer.
TEST(Lengths, OfTheLastTurnAreThoseOfAllBefore) {
  const auto drawn = [](const char* batch) {
    return messages({{"traffic.length_spread", "10 %"},
                     {"traffic.prompt_tokens", "109"},
                     {"traffic.output_tokens", "9"},
                     {"traffic.turns", "2"},
                     {"serving.max_sequences", "8"},
                     {"serving.chunked_prefill", "false"},
                     {"serving.max_batch_tokens", batch}});
  };
  EXPECT_EQ(drawn("247"), std::vector<std::string>{});
  const std::vector<std::string> found = drawn("246");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("one of 247 tokens never finds it"), std::string::npos) << found[0];
}

TEST(Arrivals, OfUsersMayStartTogether) {
  const auto start_of = [](const std::vector<Override>& changes) {
    return loader().scenario("base", changes).traffic.ramp;
  };
  EXPECT_FALSE(start_of({}));
  EXPECT_EQ(start_of({{"traffic.start", "together"}}), Picoseconds(0));
  EXPECT_EQ(
      messages({{"traffic.arrivals", "poisson"},
                {"traffic.rate", "1 req/s"},
                {"traffic.start", "together"}}),
      (std::vector<std::string>{"'start' does not go with arrivals 'poisson'; leave it out"}));
}

TEST(Arrivals, NeedTheKeysOfTheirKind) {
  EXPECT_EQ(messages({{"traffic.arrivals", "ramp"}, {"traffic.rate", "1 req/s"}}),
            (std::vector<std::string>{
                "arrivals 'ramp' need the key 'end_rate', e.g. 'end_rate: 16 req/s'",
                "arrivals 'ramp' need the key 'ramp_time', e.g. 'ramp_time: 60 s'"}));
  EXPECT_EQ(messages({{"traffic.arrivals", "trace"}}),
            (std::vector<std::string>{
                "arrivals 'trace' need the key 'trace', e.g. 'trace: {file: requests.csv}'"}));
  EXPECT_EQ(
      messages({{"traffic.arrivals", "poisson"},
                {"traffic.rate", "1 req/s"},
                {"traffic.burstiness", "2"}}),
      (std::vector<std::string>{"'burstiness' does not go with arrivals 'poisson'; leave it out"}));
  const Traffic bursts = loader()
                             .scenario("base", {{"traffic.arrivals", "gamma"},
                                                {"traffic.rate", "1 req/s"},
                                                {"traffic.burstiness", "2"}})
                             .traffic;
  EXPECT_EQ(bursts.burstiness, 2);
}

}  // namespace
}  // namespace tandem
