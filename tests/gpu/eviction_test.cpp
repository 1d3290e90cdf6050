// Caches that keep so many tokens: the same bits as without eviction while nothing goes, a sliding
// window where there are no sinks, and the reference's choice of tokens.
#include "sim/numerics/ops/eviction.hpp"

#include <gtest/gtest.h>

#include "models/gpu/execute/cache_eviction.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/gpu/eviction_harness.hpp"
#include "tests/gpu/plan_harness.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t text_tokens = 24;

NeuralNetwork network_of_window(std::int64_t window) {
  return evicted_network(grouped_mixer(window), 2);
}
NeuralNetwork network_of_latents() {
  return evicted_network(test::tiny_latent(), 2);
}

/// Behind the last pass.
Tensor logits_of(const NeuralNetwork& network, const Eviction& eviction, std::int64_t per_pass,
                 CtaOrder order = CtaOrder::Canonical) {
  return logits_of_passes(network, eviction, evicted_text(text_tokens), {per_pass, false, order})
      .back();
}

TEST(GpuEviction, ABudgetOfAllTokensChangesNoBit) {
  for (const NeuralNetwork& network : {network_of_window(0), network_of_latents()}) {
    for (const std::int64_t per_pass : {1, 6}) {
      const Tensor all = logits_of(network, {}, per_pass);
      for (const Eviction& eviction : {streaming(text_tokens, 4), heavy(text_tokens),
                                       Eviction{EvictionPolicy::HeavyHitters, 0, 0, 1.0}}) {
        EXPECT_EQ(logits_of(network, eviction, per_pass), all);
      }
      EXPECT_NE(logits_of(network, streaming(12, 4), per_pass), all);
      EXPECT_NE(logits_of(network, heavy(12), per_pass), all);
    }
  }
}

/// Token by token, 7 kept ones and the newest are a window of 8. Distances to recent keys are those
/// of their positions.
TEST(GpuEviction, StreamingWithoutSinksIsASlidingWindow) {
  EXPECT_EQ(logits_of(network_of_window(0), streaming(7, 0), 1),
            logits_of(network_of_window(8), {}, 1));
}

/// One layer keeps of a token what hangs on it alone: texts that differ in evicted tokens, and in
/// how many, go on alike, because positions count within the cache.
TEST(GpuEviction, StreamingForgetsWhatWasBetweenSinksAndRecentTokens) {
  for (const Mixer& mixer : {Mixer(grouped_mixer()), Mixer(test::tiny_latent())}) {
    const NeuralNetwork network = evicted_network(mixer, 1);
    const auto text_of = [](std::int64_t between, std::int32_t filler) {
      std::vector<std::int32_t> text = {7, 9, 4};
      text.insert(text.end(), static_cast<std::size_t>(between), filler);
      for (const std::int32_t token : {21, 22, 55, 24, 3, 17}) text.push_back(token);
      return text;
    };
    const auto passes = [&](std::int64_t between, std::int32_t filler) {
      return logits_of_passes(network, streaming(8, 3), text_of(between, filler));
    };
    EXPECT_EQ(passes(9, 30).back(), passes(9, 40).back());
    EXPECT_LT(share_of_largest(passes(12, 30).back(), passes(5, 30).back()), 2e-5);
    // Of nine tokens the one between is still there.
    EXPECT_GT(share_of_largest(passes(1, 30)[8], passes(1, 40)[8]), 1e-3);
  }
}

/// Several tokens behind a context run naive as a prompt and absorbed as a round of drafts.
TEST(GpuEviction, BothFormsOfLatentAttentionKeepTheSame) {
  const NeuralNetwork network = network_of_latents();
  const std::vector<std::int32_t> text = evicted_text(text_tokens);
  for (const Eviction& eviction : {streaming(9, 2), heavy(9)}) {
    const auto naive = logits_of_passes(network, eviction, text, {3, false});
    const auto absorbed = logits_of_passes(network, eviction, text, {3, true});
    for (std::size_t i = 0; i < naive.size(); ++i) {
      EXPECT_LT(share_of_largest(naive[i], absorbed[i]), 2e-5) << i;
    }
  }
}

TEST(GpuEviction, TheOrderOfCtasChangesNoBit) {
  for (const NeuralNetwork& network : {network_of_window(0), network_of_latents()}) {
    for (const Eviction& eviction : {streaming(8, 2), heavy(8)}) {
      for (const std::int64_t per_pass : {1, 4}) {
        EXPECT_EQ(logits_of(network, eviction, per_pass, CtaOrder::Reversed),
                  logits_of(network, eviction, per_pass));
      }
    }
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
    evict(streaming(tokens, sinks), count, ends);
    EXPECT_EQ(ends.tokens, ops::kept_by_streaming(count, sinks, tokens));
    const auto expected = ops::kept_by_heavy_hitters(kept.sums, heavy(tokens).recent(), tokens);
    evict(heavy(tokens), count, kept);
    EXPECT_EQ(kept.tokens, expected);
  }
}

/// 0.2 of 10 tokens is 2; where 0.2 of them would be none but sinks, one more stays.
TEST(GpuEviction, SharesCountTheTokensSoFar) {
  const Eviction fifth{EvictionPolicy::StreamingLlm, 0, 4, 0.2};
  EXPECT_EQ(fifth.kept(3), 3);
  EXPECT_EQ(fifth.kept(10), 5);
  EXPECT_EQ(fifth.kept(1000), 200);
  EXPECT_EQ(fifth.behind(1000), streaming(200, 4));
}

Stage long_stage(const Eviction& eviction, NeuralNetwork network = network_of_window(0)) {
  network.max_context = 100000;
  Stage stage =
      whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16});
  stage.eviction = eviction;
  return stage;
}

/// Attention meets 1000 kept keys and the new one, whatever came before.
TEST(GpuEviction, PassesCostTheTokensThatStay) {
  const GpuChip chip(large_chip(), Software{});
  for (const NeuralNetwork& network : {network_of_window(0), network_of_latents()}) {
    const auto time_at = [&](const Eviction& eviction, std::int64_t context) {
      return chip.simulate(long_stage(eviction, network), {{{0, context, 1, true}}}, nullptr).time;
    };
    EXPECT_EQ(time_at(streaming(1000, 4), 50000), time_at({}, 1000));
    EXPECT_EQ(time_at({EvictionPolicy::StreamingLlm, 0, 4, 0.02}, 50000), time_at({}, 1000));
    EXPECT_LT(time_at(streaming(1000, 4), 50000), time_at({}, 50000));
    EXPECT_GT(time_at(heavy(1000), 50000), time_at(streaming(1000, 4), 50000));
    EXPECT_LT(time_at(heavy(1000), 50000), time_at({}, 50000));
  }
}

/// Chunks of a prompt make keys and values of the latents that stay alone.
TEST(GpuEviction, ChunksOfPromptsCostTheTokensThatStay) {
  const GpuChip chip(large_chip(), Software{});
  for (const NeuralNetwork& network : {network_of_window(0), network_of_latents()}) {
    const auto time_at = [&](const Eviction& eviction, std::int64_t context) {
      return chip.simulate(long_stage(eviction, network), {{{0, context, 500, true}}}, nullptr)
          .time;
    };
    EXPECT_EQ(time_at(streaming(1000, 4), 50000), time_at({}, 1000));
  }
}

/// K and V of 2 heads of 16 in bfloat16 are 128 bytes per layer; heavy hitters keep a float each. A
/// latent of 16 with a key of 8 are 48 bytes, and one float for all heads.
TEST(GpuEviction, MemoryOfARequestIsBounded) {
  EXPECT_EQ(long_stage({}).cache_bytes(50000), Bytes(50000 * 2 * 128));
  EXPECT_EQ(long_stage(streaming(1000, 4)).cache_bytes(50000), Bytes(1000 * 2 * 128));
  EXPECT_EQ(long_stage(heavy(1000)).cache_bytes(50000), Bytes(1000 * 2 * (128 + 2 * 4)));
  const Eviction tenth{EvictionPolicy::HeavyHitters, 0, 0, 0.1};
  EXPECT_EQ(long_stage(tenth, network_of_latents()).cache_bytes(50000), Bytes(5000 * 2 * (48 + 4)));
}

TEST(GpuEviction, PlansHoldTheClosedFormsOfSums) {
  const GpuParams params = params_of(large_chip());
  const Batch batch{{{0, 3000, 1, true}, {1, 100, 300, true}, {2, 2000, 3, true, 0, 2, true}}};
  for (const NeuralNetwork& network : {network_of_window(0), network_of_latents()}) {
    std::int64_t met = 0;
    for (const Kernel& kernel : lower(long_stage(heavy(1000), network), batch).kernels) {
      const auto* attention = std::get_if<AttentionKernel>(&kernel.shape);
      const auto* latent = std::get_if<LatentAttentionKernel>(&kernel.shape);
      if (attention == nullptr && latent == nullptr) continue;
      EXPECT_TRUE(attention != nullptr ? attention->sums_keys : latent->sums_keys);
      expect_closed_forms(params, kernel);
      ++met;
    }
    EXPECT_GE(met, 2);
  }
}

/// One query of 4 heads over 1000 latents of 16 with keys of 8.
TEST(GpuEviction, WorkOfSumsOverLatentsIsCountedByHand) {
  LatentAttentionKernel plain{{{1, 1000}}, 4, 16, 8};
  LatentAttentionKernel summed = plain;
  summed.sums_keys = true;
  const KernelWork a = work_of(kernel_of(plain)), b = work_of(kernel_of(summed));
  EXPECT_EQ(b.matrix - a.matrix, Flops(2 * 24 * 4000));
  EXPECT_EQ(b.vector - a.vector, Flops(4 * 4000 + 1000));
  EXPECT_EQ(b.special - a.special, Flops(4000));
  EXPECT_EQ(b.read_bytes - a.read_bytes, Bytes(4000));
  EXPECT_EQ(b.write_bytes - a.write_bytes, Bytes(4000));
}

TEST(GpuEviction, SparseAttentionRefuses) {
  Stage stage = whole_model(test::dsv32_tiny(), {});
  stage.eviction = heavy(8);
  EXPECT_THROW((void)lower(stage, {{{0, 0, 4, true}}}), ModelError);
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
