// Does lowering give the stated kernels in the stated order, and are their work totals those
// derived by hand?
#include "sim/lower/kernel.hpp"

#include <gtest/gtest.h>

#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/lower/networks.hpp"

namespace tandem {
namespace {

using test::llama_8b;
using test::tiny_network;

/// A decoding sequence with 3 tokens of context, and a prefill chunk of 4 that is not sampled.
Batch mixed_batch() {
  return {{{7, 3, 1, true}, {8, 0, 4, false}}};
}

std::vector<std::string_view> ordered_roles(const KernelGraph& graph) {
  std::vector<std::string_view> roles;
  for (const Kernel& kernel : graph.kernels) roles.push_back(kernel.role);
  return roles;
}

KernelWork total_of(const KernelGraph& graph) {
  KernelWork total;
  for (const Kernel& kernel : graph.kernels) {
    const KernelWork work = work_of(kernel);
    total.matrix += work.matrix;
    total.weight_bytes += work.weight_bytes;
    total.write_bytes += work.write_bytes;
  }
  return total;
}

TEST(Lower, roles_in_order) {
  const KernelGraph graph = lower(whole_model(tiny_network(), {}), mixed_batch());
  const std::vector<std::string_view> layer{
      "attention_norm", "qkv_projection",     "rope",       "attention",      "output_projection",
      "ffn_norm",       "gate_up_projection", "activation", "down_projection"};
  std::vector<std::string_view> expected{"embedding"};
  for (int i = 0; i < 2; ++i) expected.insert(expected.end(), layer.begin(), layer.end());
  for (const char* role : {"final_norm", "lm_head", "sample"}) expected.emplace_back(role);
  EXPECT_EQ(ordered_roles(graph), expected);
  EXPECT_EQ(graph.kernels[0].layer, -1);
  EXPECT_EQ(graph.kernels[1].layer, 0);
  EXPECT_EQ(graph.kernels[10].layer, 1);
  EXPECT_EQ(graph.kernels.back().layer, -1);
}

TEST(Lower, dependencies_follow_the_data) {
  const KernelGraph graph = lower(whole_model(tiny_network(), {}), mixed_batch());
  using Indices = std::vector<std::int32_t>;
  // 0 embedding; layer 0 is 1..9, layer 1 is 10..18, head 19..21. The output projection adds the
  // layer's input (0 or 9), the down projection adds the output projection's result (5 or 14).
  const std::vector<Indices> expected{{},   {0},    {1},      {2},  {3},  {4, 0}, {5},     {6},
                                      {7},  {8, 5}, {9},      {10}, {11}, {12},   {13, 9}, {14},
                                      {15}, {16},   {17, 14}, {18}, {19}, {20}};
  ASSERT_EQ(graph.kernels.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(graph.kernels[i].depends_on, expected[i]) << i;
  }
}

TEST(Lower, totals_of_the_tiny_network) {
  const KernelGraph graph = lower(whole_model(tiny_network(), {}), mixed_batch());
  const KernelWork total = total_of(graph);
  // 5 tokens. Per layer: qkv 2*5*16*8 = 1280, output 2*5*8*8 = 640, gate_up 2*5*24*8 = 1920,
  // down 2*5*8*12 = 960: 4800. Pairs: 4 (decode) + 1+2+3+4 = 14; attention 4*4*2*14 = 448.
  // Two layers 10496; head over one sampled row 2*10*8 = 160.
  EXPECT_EQ(total.matrix, Flops(10656));
  // Weights: 2 layers x 496 + final norm 8 + head 80 = 1080 parameters of 2 bytes.
  EXPECT_EQ(total.weight_bytes, Bytes(2160));
}

TEST(Lower, a_stage_in_the_middle_has_layers_only_and_waits_for_nobody) {
  Stage stage = whole_model(tiny_network(), {});
  stage.first_layer = 1;
  stage.layers = 1;
  stage.has_embedding = false;
  stage.head_end = 0;
  const KernelGraph graph = lower(stage, mixed_batch());
  ASSERT_EQ(graph.kernels.size(), 9U);
  EXPECT_EQ(graph.kernels[0].layer, 1);
  EXPECT_TRUE(graph.kernels[0].depends_on.empty());
  EXPECT_EQ(graph.kernels[4].depends_on, (std::vector<std::int32_t>{3}));
}

TEST(Lower, a_head_stage_computes_its_rows_for_sampled_tokens_only) {
  Stage stage = whole_model(tiny_network(), {});
  stage.layers = 0;
  stage.has_embedding = false;
  stage.head_begin = 4;
  stage.head_end = 7;
  const KernelGraph graph = lower(stage, mixed_batch());
  EXPECT_EQ(ordered_roles(graph),
            (std::vector<std::string_view>{"final_norm", "lm_head", "sample"}));
  const auto& gemm = std::get<GemmKernel>(graph.kernels[1].shape);
  EXPECT_EQ(gemm.m, 1);
  EXPECT_EQ(gemm.n, 3);
  EXPECT_TRUE(lower(stage, {{{8, 0, 4, false}}}).kernels.empty());
}

TEST(Lower, refuses_an_empty_slice_and_gives_nothing_for_an_empty_batch) {
  const Stage stage = whole_model(tiny_network(), {});
  EXPECT_THROW((void)lower(stage, {{{1, 5, 0, true}}}), ModelError);
  EXPECT_THROW((void)lower(stage, {{{1, -1, 1, true}}}), ModelError);
  EXPECT_TRUE(lower(stage, {}).kernels.empty());
}

TEST(Lower, llama_8b_flops_per_decoded_token) {
  // Projections per layer 4096*4096 + 2*4096*1024 + 4096*4096 + 3*4096*14336 = 218,103,808
  // parameters; 32 layers and a head of 128256*4096 give 7,504,658,432, two operations each
  // = 15,009,316,864. Attention over 1024 keys: 4*32*128*1024 in 32 layers = 536,870,912.
  const KernelGraph graph = lower(whole_model(llama_8b(), {}), {{{1, 1023, 1, true}}});
  EXPECT_EQ(total_of(graph).matrix, Flops(15'546'187'776));
  // Published size: 8.03 billion with the embedding table; here all but that table, 2 bytes each.
  EXPECT_EQ(total_of(graph).weight_bytes, Bytes(2 * (8'030'261'248 - 525'336'576)));
}

TEST(WorkOf, rope_appends_kv_in_the_type_of_the_cache) {
  // 5 tokens, 4 + 2 heads of 2: pairs 5*6 = 30, six operations each = 180. Reads q, k, v in
  // bfloat16: 5*(4+4)*2*2 = 160 B. Writes q 80 B, and K and V as fp8: 2*5*2*2 = 40 B.
  const Kernel kernel{
      "rope", 0, ElementType::Bfloat16, RopeKernel{5, 4, 2, 2, ElementType::Fp8E4m3}, {}};
  const KernelWork work = work_of(kernel);
  EXPECT_EQ(work.vector, Flops(180));
  EXPECT_EQ(work.read_bytes, Bytes(160));
  EXPECT_EQ(work.write_bytes, Bytes(120));
}

TEST(WorkOf, attention_reads_each_kv_head_once) {
  AttentionKernel shape{{{1, 4}, {4, 4}},    4, 2, 2, 0, true, ElementType::Bfloat16,
                        ElementType::Float16};
  const KernelWork work = work_of({"attention", 0, ElementType::Bfloat16, shape, {}});
  // q: 5*4*2*2 B = 80; K and V: 2 * 8 keys * 2 heads * 2 * 2 B = 128.
  EXPECT_EQ(work.read_bytes, Bytes(208));
  EXPECT_EQ(work.write_bytes, Bytes(80));
  // 14 pairs x 4 heads: one exponential each, and a division for each of 5*4 rows.
  EXPECT_EQ(work.special, Flops(76));
}

TEST(WorkOf, element_wise_kernels) {
  const auto norm = work_of({"n", 0, ElementType::Float16, NormKernel{3, 8}, {}});
  EXPECT_EQ(norm.vector, Flops(96));        // 4 per element
  EXPECT_EQ(norm.bytes(), Bytes(16 + 96));  // weight 8*2; in and out 3*8*2 each
  const auto act = work_of({"a", 0, ElementType::Float32, ActivationKernel{2, 6}, {}});
  EXPECT_EQ(act.special, Flops(24));
  EXPECT_EQ(act.read_bytes, Bytes(96));  // gate and up: 2*12*4
  EXPECT_EQ(act.write_bytes, Bytes(48));
  const auto gemm = work_of({"g",
                             0,
                             ElementType::Bfloat16,
                             GemmKernel{2, 3, 5, ElementType::Fp8E4m3, ElementType::Bfloat16, true},
                             {}});
  EXPECT_EQ(gemm.matrix, Flops(60));
  EXPECT_EQ(gemm.weight_bytes, Bytes(15));
  EXPECT_EQ(gemm.read_bytes, Bytes(2 * (10 + 6)));
  EXPECT_EQ(gemm.write_bytes, Bytes(12));
  EXPECT_EQ(gemm.vector, Flops(6));
}

TEST(WorkOf, visible_pairs_equal_a_count_one_by_one) {
  RandomStream random(41, "attention");
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t kv = random.integer(1, 40);
    const std::int64_t q = random.integer(1, kv);
    const std::int64_t window = random.integer(0, 1) == 0 ? 0 : random.integer(1, 50);
    std::int64_t pairs = 0;
    std::set<std::int64_t> keys;
    for (std::int64_t position = kv - q; position < kv; ++position) {
      for (std::int64_t key = 0; key <= position; ++key) {
        if (window == 0 || position - key < window) {
          ++pairs;
          keys.insert(key);
        }
      }
    }
    const AttentionKernel shape{{{q, kv}},        1, 1, 1, window, true, ElementType::Int8,
                                ElementType::Int8};
    const KernelWork work = work_of({"attention", 0, ElementType::Int8, shape, {}});
    ASSERT_EQ(work.matrix, Flops(4 * pairs)) << q << " " << kv << " " << window;
    ASSERT_EQ(work.read_bytes, Bytes(q + 2 * static_cast<std::int64_t>(keys.size())));
  }
}

TEST(KeyOf, shapes_count_and_places_do_not) {
  const Kernel a{"qkv_projection", 0, ElementType::Bfloat16, GemmKernel{1, 2, 3}, {}};
  Kernel b = a;
  b.layer = 5;
  b.depends_on = {4};
  EXPECT_EQ(key_of(a), key_of(b));
  b.shape = GemmKernel{2, 1, 3};
  EXPECT_NE(key_of(a), key_of(b));
  b.shape = GemmKernel{1, 2, 3, ElementType::Fp8E4m3};
  EXPECT_NE(key_of(a), key_of(b));
  const Kernel norm{"n", 0, ElementType::Bfloat16, NormKernel{4, 8}, {}};
  const Kernel embedding{"e", 0, ElementType::Bfloat16, EmbeddingKernel{4, 8}, {}};
  EXPECT_NE(key_of(norm), key_of(embedding));
}

}  // namespace
}  // namespace tandem
