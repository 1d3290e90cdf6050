// Groups of requests that share what their prompts begin with, on chips whose costs are worked out
// by hand: a pass of n tokens takes 4 x (1000 + 10 n) ns, KV blocks hold 16 tokens.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/core/random.hpp"
#include "sim/service/batch_scheduler.hpp"
#include "sim/service/service.hpp"
#include "sim/service/shared_blocks.hpp"
#include "tests/step/fakes.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

using fakes::scenario;
using fakes::split_scenario;

RunResult serve_groups(const Scenario& s) {
  RunOptions options;
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

/// One group of `branches` answers of 5 tokens to a prompt of 40.
Scenario branching(std::int64_t branches) {
  Scenario s = scenario();
  s.traffic.branches = branches;
  s.traffic.prompt_tokens = 40;
  s.traffic.output_tokens = 5;
  return s;
}

/// Room for `blocks` KV blocks beside the weights of 5776 B; a token takes 64 B.
void give_blocks(Scenario& s, std::int64_t blocks) {
  fakes::set(s.system.chips["big"].parameters, "capacity",
             static_cast<double>(5776 + 1024 * blocks));
}

/// Agents with 16 tokens of their own behind a prefix of 32; answers of `output` tokens.
Scenario discussing(std::int64_t agents, std::int64_t rounds, std::int64_t output) {
  Scenario s = scenario();
  s.traffic.agents = agents;
  s.traffic.rounds = rounds;
  s.traffic.shared_prefix_tokens = 32;
  s.traffic.prompt_tokens = 16;
  s.traffic.output_tokens = output;
  return s;
}

TEST(Branches, OfferTheirCommonPrefixToCascadeAttention) {
  for (const CascadeAttention mode :
       {CascadeAttention::Off, CascadeAttention::Vllm, CascadeAttention::Always}) {
    const bool cascades = mode != CascadeAttention::Off;
    Serving serving;
    serving.cascade_attention = mode;
    const auto scheduler = make_scheduler(serving, 64);
    std::vector<Request> requests(2);
    for (std::int64_t i = 0; i < 2; ++i) {
      Request& request = requests[static_cast<std::size_t>(i)];
      request.id = i;
      request.shared = {{7, 40}};
      request.prompt = 40;
      request.output = 4;
      scheduler->add(request, false);
    }
    const ScheduledStep prompts = scheduler->schedule();
    for (std::size_t i = 0; i < prompts.sequences.size(); ++i) {
      EXPECT_EQ(prompts.batch.slices[i].prefix_tokens, 0);
      if (BatchScheduler::complete(*prompts.sequences[i], prompts.batch.slices[i])) {
        ++prompts.sequences[i]->request->generated;
      }
    }
    const ScheduledStep decodes = scheduler->schedule();
    ASSERT_EQ(decodes.batch.slices.size(), 2u);
    for (const SequenceSlice& slice : decodes.batch.slices) {
      EXPECT_EQ(slice.prefix, cascades ? 7 : 0);
      EXPECT_EQ(slice.prefix_tokens, cascades ? 32 : 0);  // two whole blocks
    }
  }
}

// Seven requests are too few for vLLM, a prompt of 255 too short: it has 15 whole blocks. Each of
// four passes of eight leaves out 256 tokens per branch in 4 layers of 1 ns per token.
TEST(Branches, ShareTheirPrefixWhereVllmWould) {
  const auto ns = [](CascadeAttention mode, std::int64_t branches, std::int64_t prompt) {
    Scenario s = branching(branches);
    s.traffic.prompt_tokens = prompt;
    s.serving.cascade_attention = mode;
    give_blocks(s, 200);
    for (const auto& [name, value] : {std::pair("context", 1.0), {"shares", 1.0}, {"units", 1.0}}) {
      fakes::set(s.system.chips["big"].parameters, name, value);
    }
    return std::llround(serve_groups(s).groups->e2e_ms[0] * 1e6);
  };
  const auto saved = [&](CascadeAttention mode, std::int64_t branches, std::int64_t prompt) {
    return ns(CascadeAttention::Off, branches, prompt) - ns(mode, branches, prompt);
  };
  EXPECT_EQ(saved(CascadeAttention::Vllm, 8, 256), 4 * 4 * 8 * 256);
  EXPECT_EQ(saved(CascadeAttention::Vllm, 7, 256), 0);
  EXPECT_EQ(saved(CascadeAttention::Vllm, 8, 255), 0);
  EXPECT_EQ(saved(CascadeAttention::Always, 7, 255), 4 * 4 * 7 * 240);
}

TEST(Branches, ComputeTheirPromptOnceAndDecodeSideBySide) {
  // Prompt: 4 x 1400 = 5600 ns, then four passes of three tokens: 4 x 1030 = 4120 ns.
  const RunResult result = serve_groups(branching(3));
  ASSERT_EQ(result.requests.size(), 3u);
  for (const RequestRecord& record : result.requests) {
    EXPECT_DOUBLE_EQ(record.ttft_ms, 5600e-6);
    EXPECT_DOUBLE_EQ(record.tpot_ms, 4120e-6);
  }
  EXPECT_EQ(result.steps, 5);
  EXPECT_EQ(result.output_tokens, 15);
  EXPECT_EQ(result.input_tokens, 40);
  ASSERT_TRUE(result.groups);
  EXPECT_EQ(result.groups->groups, 1);
  EXPECT_EQ(result.groups->prompt_tokens, 40);
  EXPECT_EQ(result.groups->prompt_tokens_alone, 40);
  EXPECT_EQ(result.groups->prompt_tokens_unshared, 120);
  ASSERT_EQ(result.groups->e2e_ms.size(), 1u);
  EXPECT_NEAR(result.groups->e2e_ms[0], (5600 + 4 * 4120) * 1e-6, 1e-12);
}

TEST(Branches, HoldTheFullBlocksOfThePromptOnce) {
  // 40 tokens fill two blocks; each branch copies the third, which takes its 4 computed tokens too.
  Scenario s = branching(3);
  give_blocks(s, 10);
  EXPECT_DOUBLE_EQ(serve_groups(s).pools[0].kv_peak, 0.5);
  give_blocks(s, 5);
  const RunResult result = serve_groups(s);
  EXPECT_DOUBLE_EQ(result.pools[0].kv_peak, 1);
  EXPECT_EQ(result.steps, 5);
  EXPECT_EQ(result.groups->waited_for_kv, 0);
}

TEST(Branches, WaitForKvBlocksAndComputeThePartialBlockAgain) {
  // Four blocks: two branches run, the third begins behind the shared 32 tokens when one is done.
  Scenario s = branching(3);
  give_blocks(s, 4);
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.groups->waited_for_kv, 1);
  EXPECT_EQ(result.groups->waited_for_sequence, 0);
  EXPECT_EQ(result.groups->preemptions, 0);
  EXPECT_EQ(result.groups->prompt_tokens, 40 + 8);
  EXPECT_EQ(result.groups->prompt_tokens_alone, 40);
  // 5600 + 4 x 4080; then 8 + 1 tokens in 4 x 1090 = 4360, then three of 4040.
  EXPECT_NEAR(result.groups->e2e_ms[0], (5600 + 4 * 4080 + 4360 + 3 * 4040) * 1e-6, 1e-12);
}

TEST(Branches, WaitForASequence) {
  Scenario s = branching(3);
  s.serving.max_sequences = 2;
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.groups->waited_for_sequence, 1);
  EXPECT_EQ(result.groups->waited_for_kv, 0);
  EXPECT_EQ(result.groups->prompt_tokens, 40 + 8);
}

TEST(Branches, AreGivenAllTheirTokensByThePromptWhereTheyHaveOne) {
  Scenario s = branching(4);
  s.traffic.output_tokens = 1;
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.steps, 1);
  EXPECT_EQ(result.output_tokens, 4);
}

TEST(Branches, FirstOneIsTheRequestThatItWouldBeByItself) {
  Scenario s = branching(3);
  s.traffic.length_spread = 0.5;
  s.traffic.requests = 20;
  const RunResult groups = serve_groups(s);
  s.traffic.branches = 1;
  const RunResult single = serve_groups(s);
  ASSERT_EQ(groups.requests.size(), 60u);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(groups.requests[3 * i].prompt, single.requests[i].prompt);
    EXPECT_EQ(groups.requests[3 * i].output, single.requests[i].output);
    EXPECT_EQ(groups.requests[3 * i + 1].prompt, single.requests[i].prompt);
    EXPECT_DOUBLE_EQ(groups.requests[3 * i].ttft_ms, single.requests[i].ttft_ms);
  }
}

TEST(Branches, KvOfTheirPromptCrossesOnce) {
  // 32 tokens: 2048 B; each of three decode passes per branch takes 16 + 8 B over the wire.
  Scenario s = split_scenario();
  s.traffic.branches = 2;
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.kv_transfers, 1);
  EXPECT_EQ(result.links.at("wire").bytes.count(), 2048 + 2 * 3 * 24);
  EXPECT_EQ(result.groups->prompt_tokens, 32);
  for (const RequestRecord& record : result.requests) EXPECT_DOUBLE_EQ(record.ttft_ms, 5280e-6);
  // The second branch enters one station time (2020 ns) behind the first.
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 2148 + 3 * 4264) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (5280 + 2148 + 2020 + 3 * 4264) * 1e-6, 1e-12);
}

TEST(Branches, TakeOverTheSlotOfTheOneThatIsDone) {
  Scenario s = split_scenario();
  s.traffic.branches = 3;
  const Stage stage = partition_pipeline(s.model, s.placement.decode.precision, 2, 0).back();
  const Stage first = partition_pipeline(s.model, s.placement.decode.precision, 2, 0).front();
  const auto weights = std::max(stage.weight_bytes(), first.weight_bytes()).count();
  fakes::set(s.system.chips["small"].parameters, "capacity",
             static_cast<double>(weights + 32 * 50));
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.pools[1].kv_slots, 1);
  EXPECT_EQ(result.groups->waited_for_sequence, 2);
  EXPECT_EQ(result.kv_transfers, 1);
  EXPECT_EQ(result.groups->prompt_tokens, 32);
  EXPECT_NEAR(result.groups->e2e_ms[0], (5280 + 2148 + 9 * 4264) * 1e-6, 1e-12);
}

TEST(Agents, ComputeThePrefixOnceAndWhatWasWrittenOncePerRound) {
  // Whole blocks: answers of 8 from two agents fill one. S + a p + (r - 1) (a O + a p).
  const RunResult result = serve_groups(discussing(2, 3, 8));
  ASSERT_EQ(result.requests.size(), 6u);
  EXPECT_EQ(result.groups->prompt_tokens, 32 + 2 * 16 + 2 * (2 * 8 + 2 * 16));
  EXPECT_EQ(result.groups->prompt_tokens_alone, result.groups->prompt_tokens);
  EXPECT_EQ(result.groups->prompt_tokens_unshared, 2 * 48 + 4 * 64);
  EXPECT_EQ(result.input_tokens, result.groups->prompt_tokens);
  EXPECT_EQ(result.output_tokens, 6 * 8);
}

TEST(Agents, TakeOneGroupOfPassesPerRound) {
  // First round: 48 + 16 prompt tokens, 6560 ns, and three passes of two tokens, 4080 ns each.
  // Second: prompts of 32 + 8 + 16 tokens behind the 32 that fill blocks: 2 x 24 in 5920 ns.
  const RunResult result = serve_groups(discussing(2, 2, 4));
  EXPECT_EQ(result.steps, 8);
  EXPECT_NEAR(result.groups->e2e_ms[0], (6560 + 5920 + 6 * 4080) * 1e-6, 1e-12);
  EXPECT_EQ(result.groups->prompt_tokens, 48 + 16 + 24 + 24);
  EXPECT_EQ(result.groups->prompt_tokens_alone, result.groups->prompt_tokens);
}

TEST(Agents, LoseThePrefixToOthersWhenKvIsShort) {
  Scenario s = discussing(3, 3, 8);
  s.traffic.requests = 6;
  s.traffic.concurrency = 3;
  give_blocks(s, 9);
  const RunResult result = serve_groups(s);
  EXPECT_EQ(result.requests.size(), 54u);
  EXPECT_GT(result.groups->prompt_tokens, result.groups->prompt_tokens_alone);
  EXPECT_GT(result.groups->preemptions, 0);
}

TEST(Groups, AllEndHoweverShortKvAndSequencesAre) {
  const auto cases = static_cast<std::uint64_t>(test::property_cases(30));
  for (std::uint64_t seed = 1; seed <= cases; ++seed) {
    RandomStream draw(seed, "groups");
    const bool has_agents = draw.integer(0, 1) == 1;
    Scenario s = has_agents ? discussing(draw.integer(2, 4), draw.integer(1, 3), 6)
                            : branching(draw.integer(2, 6));
    s.traffic.requests = 8;
    s.traffic.concurrency = draw.integer(1, 8);
    s.traffic.length_spread = 0.5;
    s.serving.max_sequences = draw.integer(1, 8);
    s.seed = seed;
    give_blocks(s, draw.integer(10, 16));
    const RunResult result = serve_groups(s);
    EXPECT_EQ(result.groups->groups, 8);
    EXPECT_GE(result.groups->prompt_tokens, result.groups->prompt_tokens_alone);
    EXPECT_LE(result.pools[0].kv_peak, 1);
  }
}

Request sharing(std::int64_t key, std::int64_t prompt) {
  Request request;
  request.shared = {{key, prompt}};
  request.prompt = prompt;
  return request;
}

TEST(SharedBlocks, AreMadeOnceAndIdleWhenNobodyHoldsThem) {
  SharedBlocks blocks(16);
  const Request first = sharing(1, 40), second = sharing(1, 40);
  EXPECT_EQ(blocks.tokens_here(first), 0);
  EXPECT_EQ(blocks.missing(first, 0, 3), 3);
  EXPECT_EQ(blocks.take(first, 0, 3), 0);
  EXPECT_EQ(blocks.tokens_here(second), 0);
  blocks.fill(first, 31);
  EXPECT_EQ(blocks.tokens_here(second), 16) << "the second block is not full";
  blocks.fill(first, 40);
  EXPECT_EQ(blocks.tokens_here(second), 32);
  EXPECT_EQ(blocks.missing(second, 0, 3), 1);
  EXPECT_EQ(blocks.take(second, 0, 3), 0);
  EXPECT_EQ(blocks.release(first, 3), 1);
  EXPECT_EQ(blocks.idle(), 0);
  EXPECT_EQ(blocks.release(second, 3), 3);
  EXPECT_EQ(blocks.idle(), 2);
  EXPECT_EQ(blocks.take(first, 0, 3), 2);
  EXPECT_EQ(blocks.idle(), 0);
}

TEST(SharedBlocks, GoInTheOrderInWhichTheyWereLeftAndNeverWhileHeld) {
  SharedBlocks blocks(16);
  const Request one = sharing(1, 32), two = sharing(2, 32), three = sharing(3, 32);
  for (const Request* request : {&one, &two, &three}) {
    blocks.take(*request, 0, 2);
    blocks.fill(*request, 32);
  }
  blocks.release(two, 2);
  blocks.release(one, 2);
  EXPECT_TRUE(blocks.evict(two, 2));  // not its own
  EXPECT_EQ(blocks.tokens_here(two), 16);
  EXPECT_EQ(blocks.tokens_here(one), 0);
  EXPECT_FALSE(blocks.evict(three, 3)) << "two are idle";
  EXPECT_EQ(blocks.idle(), 2);
  EXPECT_TRUE(blocks.evict(three, 1));  // the last block of the part
  EXPECT_EQ(blocks.idle(), 1);
  EXPECT_EQ(blocks.missing(two, 0, 2), 1);
  EXPECT_TRUE(blocks.evict(three, 1));
  EXPECT_EQ(blocks.tokens_here(two), 0);
  EXPECT_FALSE(blocks.evict(one, 1));
  EXPECT_EQ(blocks.tokens_here(three), 16);  // its last token is to be computed
}

}  // namespace
}  // namespace tandem
