// Do the closed forms give the published figures for the shapes of published models, and the totals
// derived by hand where the parts differ?
#include <gtest/gtest.h>

#include <numeric>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/floor.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem {
namespace {

KernelWork work_in_bfloat16(KernelShape shape) {
  Kernel kernel;
  kernel.shape = std::move(shape);
  return work_of(kernel);
}

double ratio(Flops operations, Bytes bytes) {
  return static_cast<double>(operations.count()) / static_cast<double>(bytes.count());
}

/// DeepSeek-V3: 128 heads, KV rank 512, 128 + 64 dimensions, values of 128.
LatentAttentionKernel absorbed_v3(std::int64_t context) {
  return {{{1, context}}, 128, 512, 64};
}

TEST(PublishedWork, absorbed_latent_attention_of_deepseek_v3) {
  // Per cached token: 2 * 128 * (2 * 512 + 64) = 278,528 operations, 576 elements = 1152 B.
  const KernelWork one = work_in_bfloat16(absorbed_v3(1000));
  EXPECT_EQ(one.matrix, Flops(278'528'000));
  const KernelWork two = work_in_bfloat16(absorbed_v3(2000));
  EXPECT_EQ(two.read_bytes - one.read_bytes, Bytes(1'152'000));
  // 278,528 / 1152 = 241.8: "242 FLOP/B", next to the compute bound of today's chips.
  EXPECT_NEAR(ratio(two.matrix - one.matrix, two.read_bytes - one.read_bytes), 242, 0.5);
}

TEST(PublishedWork, naive_latent_attention_of_deepseek_v3) {
  // Per pair: 2 * 128 * 192 for the score and 2 * 128 * 128 for the values = 81,920 operations.
  AttentionKernel naive;
  naive.spans = {{1, 1000}};
  naive.heads = naive.kv_heads = 128;
  naive.head_dim = 192;
  naive.value_dim = 128;
  naive.shared_key_dim = 64;
  naive.cached = false;
  const KernelWork work = work_in_bfloat16(naive);
  EXPECT_EQ(work.matrix, Flops(81'920'000));
  // q: 128 * 192 * 2 B; per key 128 heads of 128 + 128 made from the latent and 64 shared: 65,664
  // B.
  EXPECT_EQ(work.read_bytes, Bytes(49'152 + 65'664'000));
  EXPECT_EQ(work.write_bytes, Bytes(128 * 128 * 2));
}

TEST(PublishedWork, sparse_attention_reads_and_computes_what_it_selects) {
  LatentAttentionKernel sparse = absorbed_v3(100'000);
  sparse.selected = 2048;
  const KernelWork work = work_in_bfloat16(sparse);
  EXPECT_EQ(work.matrix, Flops(278'528 * 2048));
  // q 128 * 576 * 2 B, 2048 rows of 1152 B, 2048 numbers of 4 B.
  EXPECT_EQ(work.read_bytes, Bytes(147'456 + 2'359'296 + 8'192));
  // The indexer looks at every token: 64 heads of 128, 2 * 64 * 128 = 16,384 operations each.
  const KernelWork indexer = work_in_bfloat16(IndexerKernel{{{1, 100'000}}, 64, 128, 2048});
  EXPECT_EQ(indexer.matrix, Flops(1'638'400'000));
  EXPECT_EQ(indexer.write_bytes, Bytes(8192));
}

GatedDeltaKernel qwen_delta(std::int64_t value_heads, DeltaPhase phase, QuerySpan span) {
  ops::GatedDeltaShape shape;
  shape.key_heads = 16;
  shape.value_heads = value_heads;
  shape.key_dim = shape.value_dim = 128;
  return {{span}, shape, phase};
}

TEST(PublishedWork, recurrent_gated_delta_of_qwen) {
  // 7 * 32 * 128 * 128 = 3,670,016 (3.67 M) and beta (v - .), 2 * 32 * 128 = 8192; twice that for
  // 64 value heads (7.34 M).
  for (const std::int64_t heads : {32, 64}) {
    const KernelWork work = work_in_bfloat16(qwen_delta(heads, DeltaPhase::Recurrent, {1, 100}));
    const std::int64_t scale = heads / 32;
    EXPECT_EQ(work.matrix + work.vector, Flops(scale * (3'670'016 + 8'192)));
    EXPECT_EQ(work.special, Flops(heads));
    // State in float, read and written: 2 * 4 * 32 * 128 * 128 = 4 MiB (8 MiB).
    const std::int64_t state = scale * 32 * 128 * 128 * 4;
    // q and k of 16 * 128, v of heads * 128, in bfloat16; two gates per head in float.
    EXPECT_EQ(work.read_bytes, Bytes(state + (2 * 2048 + heads * 128) * 2 + 8 * heads));
    EXPECT_EQ(work.write_bytes, Bytes(state + heads * 128 * 2));
    // 7 / 8 operations per byte of state.
    EXPECT_NEAR(ratio(work.matrix + work.vector, Bytes(2 * state)), 0.875, 0.002);
  }
}

TEST(PublishedWork, chunked_gated_delta_of_qwen) {
  // Per token and head 6 * 64 * 128 + 4 * 64 * 128 + 6 * 128 * 128 + 64^2 / 3 = 181,589.3; times 32
  // heads 5.81 M, times 64 heads 11.6 M. (64^3 - 64) / 3 per chunk in place of 64^3 / 3.
  const KernelWork a = work_in_bfloat16(qwen_delta(32, DeltaPhase::Chunked, {64 * 10, 64 * 10}));
  EXPECT_EQ(a.matrix, Flops(std::int64_t{10} * 32 * (64 * (49'152 + 32'768 + 98'304) + 87'360)));
  EXPECT_NEAR(static_cast<double>(a.matrix.count()) / 640, 5.81e6, 0.005e6);
  const KernelWork b = work_in_bfloat16(qwen_delta(64, DeltaPhase::Chunked, {64 * 10, 64 * 10}));
  EXPECT_NEAR(static_cast<double>(b.matrix.count()) / 640, 11.6e6, 0.05e6);
  // A ragged tail of 3 tokens: per head 6 * 9 * 128 + 4 * 9 * 128 + 6 * 3 * 16384 + (27 - 3) / 3.
  const KernelWork tail = work_in_bfloat16(qwen_delta(32, DeltaPhase::Chunked, {643, 643}));
  EXPECT_EQ(tail.matrix - a.matrix, Flops(32 * (6'912 + 4'608 + 294'912 + 8)));
  // A sequence that starts has no state to read.
  EXPECT_EQ(a.write_bytes - Bytes(640 * 32 * 128 * 2), Bytes(2'097'152));
  EXPECT_EQ(a.read_bytes, Bytes(640 * ((2 * 2048 + 4096) * 2 + 2 * 32 * 4)));
}

TEST(PublishedWork, decode_intensity_of_grouped_queries_is_heads_per_kv_head) {
  // 4 * H * hd operations over 2 * KV * hd elements of 2 B: H / KV = 4 (8B) and 8 (70B).
  for (const std::int64_t heads : {32, 64}) {
    AttentionKernel shape;
    shape.heads = heads;
    shape.kv_heads = 8;
    shape.head_dim = 128;
    shape.spans = {{1, 4096}};
    Kernel kernel;
    kernel.shape = shape;
    const Bytes kv = resident_bytes(kernel) + Bytes(2 * 8 * 128 * 2);  // and the new token's
    EXPECT_DOUBLE_EQ(ratio(work_of(kernel).matrix, kv), static_cast<double>(heads) / 8);
  }
}

TEST(PublishedWork, short_convolution_of_qwen) {
  // 8192 channels of 4 taps: 2 * 4 * 8192 = 65,536 and silu 2 * 8192 per token.
  const KernelWork work = work_in_bfloat16(ShortConvolutionKernel{{{1, 9}}, 8192, 4});
  EXPECT_EQ(work.vector, Flops(65'536 + 16'384));
  // Reads the token and three earlier ones; writes the result and its place in the ring.
  EXPECT_EQ(work.read_bytes, Bytes(4 * 8192 * 2));
  EXPECT_EQ(work.write_bytes, Bytes(2 * 8192 * 2));
}

ops::Router router_v3() {
  ops::Router router;
  router.rule = ops::RouterRule::SigmoidBias;
  router.experts = 256;
  router.top_k = 8;
  router.scale = 2.5;
  router.bias = true;
  router.groups = 8;
  router.top_groups = 4;
  router.group_score = ops::GroupScore::SumOfTop2;
  return router;
}

TEST(PublishedWork, router_of_deepseek_v3) {
  // Per token: sigmoid 256 adds, 512 special; bias 256; group scores 256 + 8, choice of groups 8;
  // choice among 4 * 32 = 128; renormalise 2 * 8 and one division; scale 8.
  const KernelWork work = work_in_bfloat16(RouterKernel{1, router_v3()});
  EXPECT_EQ(work.vector, Flops(256 + 256 + 264 + 8 + 128 + 16 + 8));
  EXPECT_EQ(work.special, Flops(513));
}

TEST(ExpertRows, batch_of_256_gives_8_tokens_to_each_expert_of_deepseek_v3) {
  // 256 * 8 / 256 = 8; 256 (1 - (1 - 8/256)^256) = 256 (1 - e^(256 ln 0.96875)) = 255.92 -> 256.
  const std::vector<std::int64_t> rows = expert_rows(256, router_v3());
  EXPECT_EQ(rows, std::vector<std::int64_t>(256, 8));
}

TEST(ExpertRows, few_tokens_touch_few_experts) {
  // One token: its 8. Two: 256 (1 - 0.96875^2) = 15.75 -> 16 experts, one row each.
  EXPECT_EQ(expected_experts(1, 8, 256), 8);
  EXPECT_EQ(expected_experts(2, 8, 256), 16);
  // 32 tokens: 0.96875^32 = 0.36207: 163.3 -> 163 experts share 256 rows: 93 get 2, 70 get 1.
  const std::vector<std::int64_t> rows = expert_rows(32, router_v3());
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 2), 93);
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 1), 70);
  EXPECT_EQ(std::count(rows.begin(), rows.end(), 0), 93);
}

TEST(ExpertRows, follow_a_measured_load_and_refuse_a_wrong_one) {
  ops::Router router;
  router.experts = 4;
  router.top_k = 1;
  // Touched in expectation: 3 whole ones and 1 - (1 - 0.1)^10 = 0.65 and 0 of the last: 0.99 + 0.97
  // + 0.65 = 2.6 -> 3 experts; 7 rows beyond one each go 4.2, 2.1, 0.7 -> 4, 2, 0; the one left
  // over to the largest.
  EXPECT_EQ(expert_rows(10, router, {{0.3, 0.6, 0.1, 0}}), (std::vector<std::int64_t>{3, 6, 1, 0}));
  EXPECT_THROW((void)expert_rows(1, router, {{1, 1}}), ModelError);
  EXPECT_THROW((void)expert_rows(1, router, {{1, 1, -1, 1}}), ModelError);
  router.top_k = 5;
  EXPECT_THROW((void)expert_rows(1, router), ModelError);
}

TEST(ExpertRows, all_rows_are_somewhere_and_no_expert_sees_a_token_twice) {
  for (std::int64_t tokens = 0; tokens < 200; ++tokens) {
    for (const bool measured : {false, true}) {
      ops::Router router;
      router.experts = 3 + tokens % 7;
      router.top_k = 1 + tokens % 3;
      RoutingLoad load;
      for (std::int64_t e = 0; measured && e < router.experts; ++e) {
        load.shares.push_back(static_cast<double>(1 + e * e % 5));
      }
      const std::vector<std::int64_t> rows = expert_rows(tokens, router, load);
      EXPECT_EQ(std::accumulate(rows.begin(), rows.end(), std::int64_t{0}), tokens * router.top_k);
      for (const std::int64_t row : rows) EXPECT_LE(row, tokens);
    }
  }
}

}  // namespace
}  // namespace tandem
