// Caches that keep so many tokens: the same bits as without eviction while nothing goes, a sliding
// window where there are no sinks, and the reference's choice of tokens.
#include "sim/numerics/ops/eviction.hpp"

#include <gtest/gtest.h>

#include "models/gpu/execute/cache_eviction.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "tests/gpu/plan_harness.hpp"
#include "tests/gpu/test_chips.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t text_tokens = 24;
constexpr Eviction streaming(std::int64_t tokens, std::int64_t sinks) {
  return {EvictionPolicy::StreamingLlm, tokens, sinks};
}
constexpr Eviction heavy(std::int64_t tokens) {
  return {EvictionPolicy::HeavyHitters, tokens, 0};
}

NeuralNetwork network_of_window(std::int64_t window) {
  DenseDecoder net;
  net.name = "evicted";
  net.layers = 2;
  net.hidden = 64;
  net.heads = 4;
  net.kv_heads = 2;
  net.head_dim = 16;
  net.intermediate = 96;
  net.vocabulary = 60;
  net.max_context = text_tokens;
  NeuralNetwork network = network_of(net);
  for (LayerKind& kind : network.kinds) {
    std::get<GroupedAttention>(kind.mixer).shape.window = window;
  }
  return network;
}

Tensor logits_of(const NeuralNetwork& network, const Eviction& eviction, std::int64_t per_pass,
                 CtaOrder order = CtaOrder::Canonical) {
  const GpuChip chip(large_chip(), Software{});
  Stage stage =
      whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
  stage.eviction = eviction;
  const auto loaded = load_on_gpu(chip, stage, random_weights(network, 5), text_tokens, order);
  StageData out;
  for (std::int64_t at = 0; at < text_tokens; at += per_pass) {
    StageData in;
    for (std::int64_t i = at; i < at + per_pass; ++i) {
      in.tokens.push_back(static_cast<std::int32_t>((i * 11 + 3) % 60));
    }
    (void)loaded->run({{{0, at, per_pass, true}}}, in, out);
  }
  return out.logits;
}

TEST(GpuEviction, ABudgetOfAllTokensChangesNoBit) {
  const NeuralNetwork network = network_of_window(0);
  const Tensor all = logits_of(network, {}, 1);
  for (const Eviction& eviction : {streaming(text_tokens, 4), heavy(text_tokens)}) {
    EXPECT_EQ(logits_of(network, eviction, 1), all);
    EXPECT_EQ(logits_of(network, eviction, 6), all);
  }
  EXPECT_NE(logits_of(network, streaming(12, 4), 1), all);
  EXPECT_NE(logits_of(network, heavy(12), 1), all);
}

/// Token by token, 7 kept ones and the newest are a window of 8. Distances to recent keys are those
/// of their positions.
TEST(GpuEviction, StreamingWithoutSinksIsASlidingWindow) {
  EXPECT_EQ(logits_of(network_of_window(0), streaming(7, 0), 1),
            logits_of(network_of_window(8), {}, 1));
}

TEST(GpuEviction, TheOrderOfCtasChangesNoBit) {
  const NeuralNetwork network = network_of_window(0);
  for (const Eviction& eviction : {streaming(8, 2), heavy(8)}) {
    EXPECT_EQ(logits_of(network, eviction, 4, CtaOrder::Reversed), logits_of(network, eviction, 4));
  }
}

TEST(GpuEviction, KeepsWhatTheReferenceKeeps) {
  RandomStream random(2, "eviction");
  for (int round = 0; round < 200; ++round) {
    KeptTokens kept;
    const std::int64_t count = random.integer(2, 40);
    for (std::int64_t i = 0; i < count; ++i) {
      kept.tokens.push_back(i);
      kept.sums.push_back(static_cast<float>(random.integer(0, 9)));  // many are equal
    }
    const std::int64_t tokens = random.integer(1, 30);
    const std::int64_t sinks = random.integer(0, tokens - 1);
    KeptTokens ends = kept;
    evict(streaming(tokens, sinks), ends);
    EXPECT_EQ(ends.tokens, ops::kept_by_streaming(count, sinks, tokens));
    const auto expected = ops::kept_by_heavy_hitters(kept.sums, heavy(tokens).recent(), tokens);
    evict(heavy(tokens), kept);
    EXPECT_EQ(kept.tokens, expected);
  }
}

Stage long_stage(const Eviction& eviction) {
  NeuralNetwork network = network_of_window(0);
  network.max_context = 100000;
  Stage stage =
      whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16});
  stage.eviction = eviction;
  return stage;
}

/// Attention meets 1000 kept keys and the new one, whatever came before.
TEST(GpuEviction, PassesCostTheTokensThatStay) {
  const GpuChip chip(large_chip(), Software{});
  const auto time_at = [&](const Eviction& eviction, std::int64_t context) {
    return chip.simulate(long_stage(eviction), {{{0, context, 1, true}}}, nullptr).time;
  };
  EXPECT_EQ(time_at(streaming(1000, 4), 50000), time_at({}, 1000));
  EXPECT_LT(time_at(streaming(1000, 4), 50000), time_at({}, 50000));
  EXPECT_GT(time_at(heavy(1000), 50000), time_at(streaming(1000, 4), 50000));
  EXPECT_LT(time_at(heavy(1000), 50000), time_at({}, 50000));
}

/// K and V of 2 heads of 16 in bfloat16 are 128 bytes per layer; heavy hitters keep a float each.
TEST(GpuEviction, MemoryOfARequestIsBounded) {
  EXPECT_EQ(long_stage({}).cache_bytes(50000), Bytes(50000 * 2 * 128));
  EXPECT_EQ(long_stage(streaming(1000, 4)).cache_bytes(50000), Bytes(1000 * 2 * 128));
  EXPECT_EQ(long_stage(heavy(1000)).cache_bytes(50000), Bytes(1000 * 2 * (128 + 2 * 4)));
}

TEST(GpuEviction, PlansHoldTheClosedFormsOfSums) {
  const GpuParams params = params_of(large_chip());
  const Batch batch{{{0, 3000, 1, true}, {1, 100, 300, true}}};
  for (const Kernel& kernel : lower(long_stage(heavy(1000)), batch).kernels) {
    if (std::holds_alternative<AttentionKernel>(kernel.shape)) expect_closed_forms(params, kernel);
  }
}

TEST(GpuEviction, EvictedCachesStayWhereTheyAre) {
  const NeuralNetwork network = network_of_window(0);
  const GpuChip chip(large_chip(), Software{});
  Stage stage =
      whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
  stage.eviction = streaming(2, 1);
  const auto loaded = load_on_gpu(chip, stage, random_weights(network, 5), text_tokens);
  StageData in, out;
  in.tokens = {1, 2, 3};
  (void)loaded->run({{{0, 0, 3, true}}}, in, out);
  EXPECT_THROW((void)loaded->export_kv(0), ModelError);
  EXPECT_THROW(loaded->keep(0, 2), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
