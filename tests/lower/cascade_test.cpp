// Attention in two parts where requests share a prefix.
#include "sim/lower/cascade.hpp"

#include <gtest/gtest.h>

#include "sim/lower/kernel.hpp"
#include "tests/lower/networks.hpp"

namespace tandem {
namespace {

SequenceSlice sharing(std::int64_t prefix, std::int64_t tokens, std::int64_t context) {
  return {.context = context, .prefix = prefix, .prefix_tokens = tokens};
}

TEST(Cascade, QueriesOfOnePrefixStandTogetherOverIt) {
  const std::vector<SequenceSlice> slices = {
      sharing(7, 64, 80), {.context = 100}, sharing(7, 64, 90), sharing(9, 32, 40)};
  const Cascade cascade = cascade_of(slices);
  EXPECT_EQ(cascade.prefixes, (std::vector<QuerySpan>{{2, 64}}));
  EXPECT_EQ(cascade.own, (std::vector<QuerySpan>{{1, 17}, {1, 101}, {1, 27}, {1, 41}}));
  EXPECT_EQ(cascade.queries, 2);
}

TEST(Cascade, PromptsAndLonelyRequestsHaveNone) {
  SequenceSlice prompt = sharing(7, 64, 64);
  prompt.new_tokens = 5;
  EXPECT_FALSE(cascade_of({sharing(7, 64, 80), prompt}).exists());
  EXPECT_FALSE(cascade_of({{.context = 80}, {.context = 80}}).exists());
}

/// Decodes behind the same prefix.
std::vector<SequenceSlice> decodes(std::int64_t requests, std::int64_t prefix_tokens) {
  return std::vector<SequenceSlice>(static_cast<std::size_t>(requests),
                                    sharing(7, prefix_tokens, prefix_tokens + 50));
}

// 32 heads over 8 on 132 SMs, n requests, t tiles of 128 keys: together one wave of 32 CTAs, t
// long, against ceil(8 n t / 132) without: 16 requests take ceil(0.97 t), 17 ceil(1.03 t).
TEST(Cascade, OfVllmPaysFromAWaveOfCtasOn) {
  const CascadeChip h100{32, 8, 132};
  EXPECT_FALSE(vllm_cascades(decodes(16, 4096), h100));
  EXPECT_TRUE(vllm_cascades(decodes(17, 4096), h100));
  // 129 queries are two tiles per head: 64 CTAs in one wave, 5 tiles long, against 40 waves.
  EXPECT_TRUE(vllm_cascades(decodes(129, 640), h100));
  // One head: cascade's single CTA per tile of queries against 16 of splitting, all in one wave.
  EXPECT_FALSE(vllm_cascades(decodes(8, 4096), {4, 1, 1000}));
}

TEST(Cascade, OfVllmNeedsAPrefixOf256TokensAndEightRequests) {
  const CascadeChip small{32, 8, 1};
  EXPECT_TRUE(vllm_cascades(decodes(8, 256), small));
  EXPECT_FALSE(vllm_cascades(decodes(8, 255), small));
  EXPECT_FALSE(vllm_cascades(decodes(7, 256), small));
  EXPECT_FALSE(vllm_cascades({}, small));
}

TEST(Cascade, OfVllmNeedsEveryRequestOfThePass) {
  const CascadeChip small{32, 8, 1};
  std::vector<SequenceSlice> slices = decodes(8, 512);
  slices.push_back(sharing(9, 512, 600));
  EXPECT_FALSE(vllm_cascades(slices, small));
  slices.back() = {.context = 0, .new_tokens = 100};
  EXPECT_FALSE(vllm_cascades(slices, small));
}

// Heads of their own, and several tokens per request: nothing splits keys, so it pays always.
TEST(Cascade, OfVllmPaysWhereKeysAreNotSplit) {
  EXPECT_TRUE(vllm_cascades(decodes(8, 256), {32, 32, 132}));
  std::vector<SequenceSlice> rounds = decodes(8, 256);
  for (SequenceSlice& slice : rounds) {
    slice.new_tokens = 3;
    slice.in_round = true;
  }
  EXPECT_TRUE(vllm_cascades(rounds, {32, 8, 132}));
}

TEST(Cascade, SharesNothingWhereItIsTurnedOff) {
  std::vector<SequenceSlice> slices = decodes(8, 512);
  share_no_prefix(slices);
  EXPECT_FALSE(cascade_of(slices).exists());
}

/// Sums over the kernels of attention, merges left out.
KernelWork attention_of(const Stage& stage, const Batch& batch) {
  KernelWork sum;
  for (const Kernel& kernel : lower(stage, batch).kernels) {
    if (std::holds_alternative<AttentionKernel>(kernel.shape)) {
      const KernelWork own = work_of(kernel);
      sum.matrix += own.matrix;
      sum.read_bytes += own.read_bytes;
    }
  }
  return sum;
}

// Every query still meets every key; of a prefix of 64 tokens that three share, two copies of keys
// and values are not read, and the queries enter both parts.
TEST(Cascade, ReadsThePrefixOnceAndComputesAllOfIt) {
  const NeuralNetwork network = test::llama_8b();
  const auto& a = std::get<GroupedAttention>(network.kinds.front().mixer);
  const Stage stage =
      whole_model(network, {ElementType::Bfloat16, ElementType::Bfloat16, ElementType::Bfloat16});
  Batch together, alone;
  for (const std::int64_t context : {70, 80, 90}) {
    together.slices.push_back(sharing(1, 64, context));
    alone.slices.push_back({.context = context});
  }
  const KernelWork cascade = attention_of(stage, together);
  const KernelWork plain = attention_of(stage, alone);
  EXPECT_EQ(cascade.matrix, plain.matrix);
  const std::int64_t saved = 2 * 64 * 2 * a.kv_width() * 2;
  const std::int64_t queries = 3 * a.q_width() * 2;
  EXPECT_EQ(plain.read_bytes - cascade.read_bytes, Bytes((saved - queries) * network.layers()));
}

}  // namespace
}  // namespace tandem
