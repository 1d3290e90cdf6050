// Whole runs on chips whose costs are worked out by hand in the comments.
#include "sim/service/service.hpp"

#include <gtest/gtest.h>

#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

using fakes::scenario;
using fakes::split_scenario;

RunResult serve(const Scenario& s, RunOptions options = {}) {
  options.exact = true;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

TEST(Service, OneRequestTakesItsPrefillAndOneStepPerFurtherToken) {
  // Prefill of 32 tokens: 4 x (1000 + 10 x 32) = 5280 ns. Each further token:
  // 4 x (1000 + 10) = 4040 ns; three of them: e2e = 5280 + 12120 = 17400 ns.
  const RunResult result = serve(scenario());
  ASSERT_EQ(result.requests.size(), 1u);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 5280e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, 4040e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].e2e_ms, 17400e-6);
  EXPECT_DOUBLE_EQ(result.simulated_s, 17400e-9);
  EXPECT_EQ(result.steps, 4);
  EXPECT_EQ(result.itl_ms.size(), 3u);
  // The fake floor is half of every step.
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_floor_ms, 2640e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_floor_ms, 2020e-6);
  EXPECT_DOUBLE_EQ(result.pools[0].busy, 1.0);
}

TEST(Service, AnalyticalRunTakesTheFloors) {
  RunOptions options;
  options.fidelity = Fidelity::Analytical;
  const RunResult result = serve(scenario(), options);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 2640e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, 2020e-6);
}

TEST(Service, TwoRequestsShareEveryStep) {
  // Prefill of 2 x 32 = 64 tokens (the whole budget) in one step: 4 x (1000 + 640) = 6560 ns; then
  // three steps of two tokens: 4 x 1020 = 4080 ns.
  Scenario s = scenario();
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  const RunResult result = serve(s);
  for (const RequestRecord& record : result.requests) {
    EXPECT_DOUBLE_EQ(record.ttft_ms, 6560e-6);
    EXPECT_DOUBLE_EQ(record.tpot_ms, 4080e-6);
  }
}

TEST(Service, LongPromptIsPrefilledInChunksOfTheBudget) {
  // 100 tokens under a budget of 64: 4 x (1000 + 640) = 6560 and 4 x (1000 + 360) = 5440 ns.
  Scenario s = scenario();
  s.traffic.prompt_tokens = 100;
  const RunResult result = serve(s);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 12000e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_floor_ms, 6000e-6);
  EXPECT_EQ(result.steps, 5);
}

TEST(Service, DecodesRideAlongWithTheChunksOfAnotherPrompt) {
  // One user at a time, two requests at constant distance 6000 ns: the second arrives while the
  // first decodes (prefill ends at 6280, its arrival is at 1000; step 2 ends at 10320). At 10320
  // the first has two of four tokens and the second waits with 32: one step of 33 tokens.
  Scenario s = scenario();
  s.traffic.arrivals = ArrivalKind::Constant;
  s.traffic.rate = 1e9 / 6000;
  s.traffic.requests = 2;
  const RunResult result = serve(s);
  // First: arrives 6000, prefill until 11280, decode until 15320 (second arrives at 12000), mixed
  // step 4 x (1000 + 330) = 5320 until 20640, then a step of two: 4080 until 24720.
  EXPECT_DOUBLE_EQ(result.requests[0].arrival_s, 6000e-9);
  EXPECT_NEAR(result.requests[0].e2e_ms, 18720e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].ttft_ms, (20640 - 12000) * 1e-6, 1e-12);
}

TEST(Service, FullKvPreemptsTheLastRequestWhichIsComputedAgain) {
  // KV per token: 4 layers x 8 elements x 2 B = 64 B. Weights (bf16): per layer
  // 8 x (8 + 8) + 64 + 3 x 128 + 16 = 592, x 4 = 2368; embedding and head 2 x 256, norm 8: 2888
  // parameters = 5776 B. Capacity 5776 + 64 x 80 B: 80 tokens = 5 blocks of 16.
  // Two prompts of 32 take 4 blocks; the first then takes the fifth for its 33rd token and the
  // second finds none and is preempted, because it is the last.
  Scenario s = scenario();
  fakes::set(s.system.chips["big"].parameters, "capacity", 5776 + 64 * 80);
  s.serving.prefix_cache = false;
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  const RunResult result = serve(s);
  EXPECT_EQ(result.requests[0].preemptions, 0);
  EXPECT_EQ(result.requests[1].preemptions, 1);
  EXPECT_DOUBLE_EQ(result.pools[0].kv_peak, 1.0);
  // First: 6560 + 3 x 4040 = 18680. Second: computes 33 tokens again at 18680 in
  // 4 x (1000 + 330) = 5320 ns, then two more tokens of 4040 ns: 32080.
  EXPECT_NEAR(result.requests[0].e2e_ms, 18680e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, 32080e-6, 1e-12);
}

TEST(Service, KvOfAPromptCrossesTheBridgeInTheReceiversFormat) {
  // KV of 32 tokens in bf16: 4 x 8 x 2 B x 32 = 2048 B; fp8 at the receiver: 1024 B in two pieces
  // of 2 layers (512 B each) one behind the other on the wire: 1024 + 100 ns.
  Scenario s = split_scenario();
  s.placement.decode.precision.kv_cache = ElementType::Fp8E4m3;
  const RunResult result = serve(s);
  EXPECT_EQ(result.kv_transfers, 1);
  EXPECT_EQ(result.pools[0].name, "prefill");
  EXPECT_EQ(result.pools[1].name, "decode");
  // Decode pass: two stages of 2 x 1010 ns, hidden states 8 x 2 B = 16 ns + 100 ns, and the token
  // (8 B) back: 108 ns. 4040 + 116 + 108 = 4264 ns; three of them after the KV has come.
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 5280e-6);
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 1124 + 3 * 4264) * 1e-6, 1e-12);
  // On the wire: the KV, and per decode pass 16 + 8 bytes.
  EXPECT_EQ(result.links.at("wire").bytes.count(), 1024 + 3 * 24);
}

TEST(Service, TransfersOfTwoPromptsQueueOnTheWire) {
  // Prefill of both ends at 6560 ns. bf16: 2048 B each: the second's KV arrives 2048 ns after the
  // first's, at 6560 + 4096 + 100.
  Scenario s = split_scenario();
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  s.traffic.output_tokens = 2;
  const RunResult result = serve(s);
  // One pass each, 4264 ns; they are 2048 ns apart, the first station needs 2020 ns: no wait.
  EXPECT_NEAR(result.requests[0].e2e_ms, (6560 + 2148 + 4264) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (6560 + 4196 + 4264) * 1e-6, 1e-12);
}

TEST(Service, DecodeWaitsForAFreeSlot) {
  // Room for one request of 36 tokens, three blocks of 16, on the decode chips: their stage of two
  // layers holds 32 B of KV per token. The second prompt's KV leaves only when the first request
  // is done.
  Scenario s = split_scenario();
  const Stage stage = partition_pipeline(s.model, s.placement.decode.precision, 2, 0).back();
  const Stage first = partition_pipeline(s.model, s.placement.decode.precision, 2, 0).front();
  const auto weights = std::max(stage.weight_bytes(), first.weight_bytes()).count();
  fakes::set(s.system.chips["small"].parameters, "capacity",
             static_cast<double>(weights + 32 * 50));
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  const RunResult result = serve(s);
  EXPECT_EQ(result.pools[1].kv_slots, 1);
  const double first_done = 6560 + 2148 + 3 * 4264;
  EXPECT_NEAR(result.requests[0].e2e_ms, first_done * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (first_done + 2148 + 3 * 4264) * 1e-6, 1e-12);
}

TEST(Service, PassesOfManyRequestsFillThePipeline) {
  // Eight requests decode on two stages of 2020 ns: a pass can start every 2020 ns, and a request
  // needs 4264 ns per pass by itself, so three keep the pipeline busy. In a long run the distance
  // of tokens is 2020 ns.
  Scenario s = split_scenario();
  s.traffic.prompt_tokens = 8;
  s.traffic.requests = 8;
  s.traffic.concurrency = 8;
  s.traffic.output_tokens = 501;
  const RunResult result = serve(s);
  EXPECT_NEAR(result.simulated_s / (8 * 500), 2020e-9, 2020e-9 * 0.01);
  EXPECT_NEAR(result.pools[1].bottleneck_busy, 1.0, 0.01);
}

TEST(Service, PromptTokensFollowEachOtherThroughStaticChips) {
  // Monolithic on two static stages of 2020 ns (no head part for prompt tokens but the last): the
  // 32 tokens enter every 2020 ns; the last enters at 31 x 2020 and needs 4264 ns.
  Scenario s = scenario();
  s.placement.prefill.pool = "lpu";
  s.placement.prefill.pipeline = 2;
  s.placement.decode = s.placement.prefill;
  const RunResult result = serve(s);
  EXPECT_NEAR(result.requests[0].ttft_ms, (31 * 2020 + 4264) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[0].tpot_ms, 4264e-6, 1e-12);
}

TEST(Service, PromptTokensShareThePassesOfStaticChipsWithBatchSlots) {
  // The same with four batch slots: 8 passes of four tokens, 2 x (1000 + 4 x 10) ns per stage. The
  // hidden states of four tokens take 100 + 64 ns, the token back 108 ns.
  Scenario s = scenario();
  fakes::set(s.system.chips["small"].parameters, "slots", 4);
  s.placement.prefill.pool = "lpu";
  s.placement.prefill.pipeline = 2;
  s.placement.decode = s.placement.prefill;
  const RunResult result = serve(s);
  const double last = 2080 + 164 + 2080 + 108;
  EXPECT_NEAR(result.requests[0].ttft_ms, (7 * 2080 + last) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[0].tpot_ms, 4264e-6, 1e-12);
}

TEST(Service, PassesOfStaticChipsAreNoWiderThanTheirTokensGain) {
  // 10 ns per layer and 1000 ns per token: two tokens at once would take 4020 ns per stage, and
  // the four tokens of the prompt 4020 + 2 x 4020 + 132 + 108 ns. One by one, they enter every
  // 2020 ns and the last needs 4264 ns.
  Scenario s = scenario();
  ParameterSet& chip = s.system.chips["small"].parameters;
  fakes::set(chip, "slots", 4);
  fakes::set(chip, "base", 10);
  fakes::set(chip, "token", 1000);
  s.placement.prefill.pool = "lpu";
  s.placement.prefill.pipeline = 2;
  s.placement.decode = s.placement.prefill;
  s.traffic.prompt_tokens = 4;
  const RunResult result = serve(s);
  EXPECT_NEAR(result.requests[0].ttft_ms, (3 * 2020 + 4264) * 1e-6, 1e-12);
}

TEST(Service, HeadChipsWorkSideBySide) {
  // Two stages of layers and two head chips: 500 ns of head each, in parallel. Hidden states reach
  // the second of them behind the first on an idle wire each: 116 ns; tokens return in 108 ns.
  Scenario s = split_scenario();
  fakes::set(s.system.chips["small"].parameters, "head", 500);
  s.placement.decode.head_chips = 2;
  const RunResult result = serve(s);
  EXPECT_EQ(result.pools[1].chips, 4);
  EXPECT_NEAR(result.requests[0].tpot_ms * 3,
              (2148 + 3 * (2020 + 116 + 2020 + 116 + 500 + 108)) * 1e-6, 1e-12);
}

TEST(Service, GpuPipelineKeepsSeveralBatchesInFlight) {
  // Two stages of 2 x (1000 + 10 x tokens) ns. Request 0 alone fills the first batch (64 tokens,
  // 3280 ns per stage), request 1 enters stage 0 at 3280 while 0 is on stage 1.
  Scenario s = scenario();
  s.placement.prefill.pipeline = 2;
  s.placement.decode = s.placement.prefill;
  s.traffic.prompt_tokens = 64;
  s.traffic.output_tokens = 1;
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  const RunResult result = serve(s);
  // Hidden states of 64 tokens: 1024 B = 1124 ns with latency; token back 108 ns.
  const double alone = 3280 + 1124 + 3280 + 108;
  EXPECT_NEAR(result.requests[0].e2e_ms, alone * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (alone + 3280) * 1e-6, 1e-12);
}

TEST(Service, ReplicasShareTheLoad) {
  Scenario s = scenario();
  s.placement.prefill.replicas = 2;
  s.placement.decode = s.placement.prefill;
  s.traffic.requests = 2;
  s.traffic.concurrency = 2;
  const RunResult result = serve(s);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 5280e-6);  // as if alone
  EXPECT_DOUBLE_EQ(result.requests[1].ttft_ms, 5280e-6);
}

TEST(Service, SoftwareOverheadIsPaidOnEveryStep) {
  Scenario s = scenario();
  fakes::set(s.software.parameters, "step_overhead", 1e-6);
  fakes::set(s.software.parameters, "sequence_overhead", 5e-7);
  const RunResult result = serve(s);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, (5280 + 1500) * 1e-6);
  EXPECT_DOUBLE_EQ(result.requests[0].tpot_ms, (4040 + 1500) * 1e-6);
}

TEST(Service, PoissonArrivalsDependOnTheSeedAlone) {
  Scenario s = scenario();
  s.traffic.arrivals = ArrivalKind::Poisson;
  s.traffic.rate = 1e5;
  s.traffic.requests = 200;
  s.traffic.length_spread = 0.5;
  const RunResult a = serve(s);
  const RunResult b = serve(s);
  RunOptions other;
  other.seed = 2;
  const RunResult c = serve(s, other);
  bool differs = false;
  for (std::size_t i = 0; i < a.requests.size(); ++i) {
    EXPECT_EQ(a.requests[i].arrival_s, b.requests[i].arrival_s);
    EXPECT_EQ(a.requests[i].e2e_ms, b.requests[i].e2e_ms);
    differs = differs || a.requests[i].arrival_s != c.requests[i].arrival_s;
    EXPECT_GE(a.requests[i].prompt, 16);
    EXPECT_LE(a.requests[i].prompt, 48);
  }
  EXPECT_TRUE(differs);
  // 200 gaps of mean 10 us: the last arrival is at 2 ms +- 4 x 10 us x sqrt(200).
  EXPECT_NEAR(a.requests.back().arrival_s, 2e-3, 4e-5 * 14.2);
}

TEST(Service, AModelThatDoesNotFitIsAnErrorAtThePlacement) {
  // Needs 5776 B of weights and 36 tokens x 64 B = 2304 B of KV; the chip has 5776 + 1000 B.
  Scenario s = scenario();
  fakes::set(s.system.chips["big"].parameters, "capacity", 6776);
  try {
    serve(s);
    FAIL();
  } catch (const ConfigError& error) {
    ASSERT_EQ(error.diagnostics().size(), 1u);
    const Diagnostic& d = error.diagnostics().front();
    EXPECT_EQ(d.place.file, "fake.yaml");
    EXPECT_EQ(d.place.line, 7);
    EXPECT_NE(d.message.find("tiny does not fit on pool 'gpu' (big)"), std::string::npos);
    EXPECT_NE(d.message.find("pipeline: 2"), std::string::npos) << d.message;
  }
}

TEST(Service, MorePlacedChipsThanThePoolHasIsAnError) {
  Scenario s = scenario();
  s.placement.prefill.replicas = 9;
  EXPECT_THROW(serve(s), ConfigError);
}

}  // namespace
}  // namespace tandem
