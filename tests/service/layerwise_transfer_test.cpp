// KV that leaves layer by layer while prompts are computed, by hand: layers of the fake chip take
// 1000 + 10 x tokens ns each and leave 16 B per token; the wire takes 1 ns per byte and 100 ns.
#include "sim/service/layerwise_transfer.hpp"

#include <gtest/gtest.h>

#include "sim/account/accounting.hpp"
#include "sim/service/service.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

// A decode pass of the two static stages, and of one chip with all four layers.
constexpr double static_pass = 4264, one_chip_pass = 4040;

Scenario by_layers() {
  Scenario s = fakes::split_scenario();
  s.placement.kv_transfer = KvTransferKind::Layers;
  return s;
}

RunResult served(const Scenario& s, TimelineRecorder* timeline = nullptr) {
  RunOptions options;
  options.exact = true;
  options.timeline = timeline;
  return run(s, fakes::catalogue(), fakes::network(), options);
}

// 32 tokens: a layer every 1320 ns, 512 B each: the wire is free again before the next layer comes.
// The last one leaves at 5280; in one piece all 2048 B would.
TEST(KvByLayers, OnAFastWireOnlyTheLastLayerIsSeen) {
  const RunResult result = served(by_layers());
  EXPECT_EQ(result.kv_transfers, 1);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 5280e-6);
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 612 + 3 * static_pass) * 1e-6, 1e-12);
  EXPECT_EQ(result.links.at("wire").bytes.count(), 2048 + 3 * 24);
  EXPECT_LE(result.requests[0].tpot_floor_ms, result.requests[0].tpot_ms);
}

// 1000 tokens: a layer every 11 us, 16 us on the wire: what the first one waits for, then the wire.
TEST(KvByLayers, OnASlowWireOnlyTheFirstLayerIsWaitedFor) {
  Scenario s = by_layers();
  s.traffic.prompt_tokens = 1000;
  s.serving.max_batch_tokens = 1000;
  const RunResult result = served(s);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 44000e-6);
  EXPECT_NEAR(result.requests[0].e2e_ms, (11000 + 64000 + 100 + 3 * static_pass) * 1e-6, 1e-12);
}

// Two chunks of 64 tokens, 1640 ns per layer; 1024 B of each chunk and layer.
TEST(KvByLayers, ChunksOfAPromptGoOneByOne) {
  Scenario s = by_layers();
  s.traffic.prompt_tokens = 128;
  const RunResult result = served(s);
  EXPECT_DOUBLE_EQ(result.requests[0].ttft_ms, 13120e-6);
  EXPECT_NEAR(result.requests[0].e2e_ms, (13120 + 1124 + 3 * static_pass) * 1e-6, 1e-12);
  EXPECT_EQ(result.links.at("wire").bytes.count(), 128 * 64 + 3 * 24);
}

// Two prompts in one pass share the wire at the end of every layer: the second one's last layer is
// there 512 ns after the first one's, while the first station has that for 2020 ns.
TEST(KvByLayers, OfTwoPromptsQueueOnTheWire) {
  Scenario s = by_layers();
  s.traffic.requests = s.traffic.concurrency = 2;
  s.traffic.output_tokens = 2;
  const RunResult result = served(s);
  EXPECT_NEAR(result.requests[0].e2e_ms, (6560 + 612 + static_pass) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (6560 + 612 + 2020 + static_pass) * 1e-6, 1e-12);
}

// Room for one request of 36 tokens, as in Service.DecodeWaitsForAFreeSlot: all layers of the
// second wait for it and leave together.
TEST(KvByLayers, WaitForRoom) {
  Scenario s = by_layers();
  const auto stages = partition_pipeline(s.model, s.placement.decode.precision, 2, 0);
  const auto weights = std::max(stages[0].weight_bytes(), stages[1].weight_bytes()).count();
  fakes::set(s.system.chips["small"].parameters, "capacity",
             static_cast<double>(weights + 32 * 50));
  s.traffic.requests = s.traffic.concurrency = 2;
  const RunResult result = served(s);
  const double first_done = 6560 + 612 + 3 * static_pass;
  EXPECT_NEAR(result.requests[0].e2e_ms, first_done * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[1].e2e_ms, (first_done + 2148 + 3 * static_pass) * 1e-6, 1e-12);
}

TEST(KvByLayers, ReachChipsThatBatch) {
  Scenario s = by_layers();
  s.placement.decode.pool = "gpu";
  s.placement.decode.pipeline = 1;
  const RunResult result = served(s);
  EXPECT_NEAR(result.requests[0].e2e_ms, (5280 + 612 + 3 * one_chip_pass) * 1e-6, 1e-12);
}

// Tokens of the prompt pass two static stages of 2020 ns one by one; hidden states take 116 ns. The
// last token's enters at 31 x 2020 and leaves the second stage 2020 + 116 + 2020 later; its last
// layer's 16 B arrive after 116 ns, the token itself (8 B) after 108.
TEST(KvByLayers, LeaveStaticChipsTokenByToken) {
  Scenario s = by_layers();
  std::swap(s.placement.prefill, s.placement.decode);
  const RunResult result = served(s);
  const double last = 31 * 2020 + 2020 + 116 + 2020;
  EXPECT_NEAR(result.requests[0].ttft_ms, (last + 108) * 1e-6, 1e-12);
  EXPECT_NEAR(result.requests[0].e2e_ms, (last + 116 + 3 * one_chip_pass) * 1e-6, 1e-12);
}

// A single token needs no room elsewhere, and nothing moves.
TEST(KvByLayers, OfOneTokenStay) {
  Scenario s = by_layers();
  s.traffic.output_tokens = 1;
  s.traffic.requests = 3;
  const RunResult result = served(s);
  EXPECT_EQ(result.kv_transfers, 0);
  EXPECT_EQ(result.links.count("wire"), 0U);
}

// The prompt's KV is under way from the end of the first layer to the last one's arrival.
TEST(KvByLayers, StandInTheTimeline) {
  TimelineRecorder timeline;
  (void)served(by_layers(), &timeline);
  std::ostringstream trace;
  timeline.write_chrome_trace(trace);
  const std::string text = trace.str();
  const auto at = text.find("KV by layers");
  ASSERT_NE(at, std::string::npos);
  const std::string event = text.substr(text.rfind('\n', at), 120);
  EXPECT_NE(event.find("1.320000"), std::string::npos) << event;
  EXPECT_NE(event.find("4.572000"), std::string::npos) << event;  // 5.892 - 1.320
}

// Windows, states and latents: pieces of all chunks add up to what goes in one piece.
TEST(KvByLayers, AddUpToTheWhole) {
  for (const NeuralNetwork& network :
       {test::gptoss_tiny(), test::qwen35_tiny(), test::dsv3_tiny(), test::gemma3_tiny()}) {
    Scenario s = by_layers();
    s.model = network;
    StageStore store;
    const PoolModel from(s, s.placement.prefill, 0, fakes::catalogue(), fakes::network(), store);
    const PoolModel to(s, s.placement.decode, 0, fakes::catalogue(), fakes::network(), store);
    Bytes whole(0), parts(0);
    for (const KvPiece& piece : kv_pieces(from, to)) whole += piece.size(33);
    for (const LayerPiece& layer : layer_pieces(from, to)) {
      for (const auto& [first, end] : {std::pair{0, 5}, std::pair{5, 20}, std::pair{20, 33}}) {
        parts += layer.size(first, end - first, 33);
      }
    }
    EXPECT_EQ(parts, whole) << network.name;
  }
}

// Time from the first token to the second one's pass, by bytes of KV: without layers it is the
// whole transfer; with them, what the computing of later layers does not hide.
TEST(KvByLayers, HideMoreTheFasterTheWireIs) {
  for (const std::int64_t tokens : {16, 64, 100, 200, 400, 1600}) {
    Scenario s = by_layers();
    s.traffic.prompt_tokens = tokens;
    s.serving.max_batch_tokens = 2000;
    s.traffic.output_tokens = 2;
    const RunResult result = served(s);
    const auto layer = static_cast<double>(1000 + 10 * tokens);
    const auto wire = static_cast<double>(16 * tokens);
    const double arrived = std::max(4 * layer + wire, layer + 4 * wire) + 100;
    EXPECT_NEAR(result.requests[0].e2e_ms, (arrived + static_pass) * 1e-6, 1e-12) << tokens;
  }
}

// Spare chips cost and draw their 100 W, and serve nothing.
TEST(Spares, CostAndDrawStaticPower) {
  Scenario s = fakes::scenario();
  const RunResult without = served(s);
  s.placement.prefill.spares = s.placement.decode.spares = 3;
  const RunResult with = served(s);
  EXPECT_EQ(with.pools[0].chips, without.pools[0].chips);
  EXPECT_EQ(with.pools[0].spares, 3);
  EXPECT_EQ(with.requests[0].e2e_ms, without.requests[0].e2e_ms);
  const Accounting books = account(s, with), before = account(s, without);
  EXPECT_NEAR(books.energy_j->chips_static, 4 * before.energy_j->chips_static, 1e-15);
  EXPECT_NEAR(*books.average_power_w - *before.average_power_w, 300, 1e-6);
}

}  // namespace
}  // namespace tandem
