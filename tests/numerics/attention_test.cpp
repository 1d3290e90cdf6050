// Does attention weigh, cap, window and sink as its formulas say, on cases small enough for paper?
#include "sim/numerics/ops/attention.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace tandem::ops {
namespace {

TEST(Attention, groups_share_a_kv_head_and_weigh_by_softmax) {
  // Four query heads over two KV heads of width 1, two tokens. Keys (0, ln 3) for KV head 0 and
  // (0, 0) for head 1, q = 1, divisor sqrt 1: weights (1/4, 3/4) and (1/2, 1/2).
  // Values (4, 8) and (10, 20): heads 0, 1 give 1 + 6 = 7, heads 2, 3 give 15.
  const float ln3 = 1.0986123F;
  const std::vector<float> q(4, 1.0F);
  const std::vector<float> k{0, 0, ln3, 0};
  const std::vector<float> v{4, 10, 8, 20};
  std::vector<float> out(4);
  attention({.heads = 4, .kv_heads = 2, .head_dim = 1}, q, k, v, out);
  EXPECT_FLOAT_EQ(out[0], 7.0F);
  EXPECT_FLOAT_EQ(out[1], 7.0F);
  EXPECT_FLOAT_EQ(out[2], 15.0F);
  EXPECT_FLOAT_EQ(out[3], 15.0F);
}

TEST(Attention, divides_scores_by_the_root_of_the_width) {
  // Width 4: q . k = 4 x 0.5493061 = 2.1972246 = ln 9; over sqrt 4 it is ln 3, so 1/4 and 3/4.
  const std::vector<float> q(4, 1.0F);
  const std::vector<float> k{0, 0, 0, 0, 0.5493061F, 0.5493061F, 0.5493061F, 0.5493061F};
  const std::vector<float> v{0, 0, 0, 0, 4, 8, 12, 16};
  std::vector<float> out(4);
  attention({.heads = 1, .kv_heads = 1, .head_dim = 4}, q, k, v, out);
  EXPECT_FLOAT_EQ(out[0], 3.0F);
  EXPECT_FLOAT_EQ(out[3], 12.0F);
}

/// One head of width 1 and q = 1 over `k` and `v`.
float attend(const AttentionShape& shape, const std::vector<float>& k, const std::vector<float>& v,
             const std::vector<float>& sinks, const Arithmetic& arithmetic = {}) {
  const auto tokens = static_cast<std::int64_t>(k.size());
  std::vector<float> out(1);
  attention(shape, std::vector<float>{1}, {k, 1, tokens}, {v, 1, tokens}, sinks, arithmetic, out);
  return out[0];
}

TEST(Attention, a_window_sees_its_own_key_and_those_just_before) {
  const AttentionShape two{.heads = 1, .kv_heads = 1, .head_dim = 1, .window = 2};
  EXPECT_FLOAT_EQ(attend(two, {9, 0, 0}, {100, 4, 8}, {}), 6.0F);
  const AttentionShape one{.heads = 1, .kv_heads = 1, .head_dim = 1, .window = 1};
  EXPECT_EQ(attend(one, {9, 0, 0}, {100, 4, 8}, {}), 8.0F);
  const AttentionShape wide{.heads = 1, .kv_heads = 1, .head_dim = 1, .window = 7};
  EXPECT_FLOAT_EQ(attend(wide, {0, 0, 0, 0}, {1, 2, 3, 6}, {}), 3.0F);
}

TEST(Attention, a_given_scale_replaces_the_root_of_the_width) {
  // Score ln 3 x 0.5 x 2 = ln 3: weights 1/4, 3/4.
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 0.5};
  EXPECT_FLOAT_EQ(attend(shape, {0, 2.1972246F}, {4, 8}, {}), 7.0F);
}

TEST(Attention, the_soft_cap_bends_scores_before_the_softmax) {
  // 2 tanh(1.2347742 / 2) = ln 3: weights 1/4, 3/4. A huge score caps at 2: e^2 / (1 + e^2) =
  // 0.8807971 of 8.
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 1, .softcap = 2};
  EXPECT_NEAR(attend(shape, {0, 1.2347742F}, {4, 8}, {}), 7.0F, 2e-6);
  EXPECT_NEAR(attend(shape, {0, 1e30F}, {0, 8}, {}), 7.0463767F, 2e-6);
}

TEST(Attention, a_sink_takes_its_share_and_adds_nothing) {
  // Weights 1 : 1 and a sink of weight 2: 1/4 each, (4 + 8) / 4 = 3. A sink of -inf is none.
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 1};
  EXPECT_FLOAT_EQ(attend(shape, {0, 0}, {4, 8}, {0.6931472F}), 3.0F);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(attend(shape, {0, 0}, {4, 8}, {-infinity}), 6.0F);
  // A sink far above the score: m is the sink's, so the weight is e^-90 = 8.194e-40 and not 1 /
  // inf.
  EXPECT_NEAR(attend(shape, {0}, {1e38F}, {90}), 0.0819401F, 1e-6);
  EXPECT_EQ(attend(shape, {0, 0}, {4, 8}, {1e30F}), 0.0F);
}

TEST(Attention, weights_are_rounded_to_the_format_before_the_values_weigh_in) {
  // Scores 0 and ln 2: 1/3 and 2/3, in e4m3 0.34375 and 0.6875 (steps of 1/32 and 1/16). Of 12 and
  // 14: 4.125 + 9.625 = 13.75, nearest 14. Exact weights would give 13.33, nearest 13.
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 0.69314718056};
  EXPECT_EQ(attend(shape, {0, 1}, {12, 14}, {}, {ElementType::Fp8E4m3}), 14.0F);
}

TEST(Attention, scores_beyond_the_range_of_float_give_numbers) {
  const AttentionShape shape{.heads = 1, .kv_heads = 1, .head_dim = 1, .scale = 3e38};
  EXPECT_EQ(attend(shape, {9, 0, 9}, {4, 100, 8}, {}), 6.0F);  // both +inf
  EXPECT_EQ(attend(shape, {-9, -9}, {4, 8}, {}), 6.0F);        // both -inf
  EXPECT_EQ(attend(shape, {-9, -9}, {4, 8}, {0.0F}), 0.0F);    // all to the sink
  EXPECT_EQ(attend(shape, {-1, -0.9999F}, {4, 8}, {}), 8.0F);  // far apart and finite
}

TEST(Attention, strides_skip_what_lies_between_rows_and_no_tokens_give_zero) {
  // Two KV heads of width 1 in rows of 3 (k) and 4 (v); equal scores.
  const std::vector<float> k{1, 1, -99, 1, 1};
  const std::vector<float> v{4, 10, -99, -99, 8, 20};
  std::vector<float> out(2);
  const AttentionShape shape{.heads = 2, .kv_heads = 2, .head_dim = 1};
  attention(shape, std::vector<float>{1, 1}, {k, 3, 2}, {v, 4, 2}, {}, {}, out);
  EXPECT_EQ(out, (std::vector<float>{6, 15}));
  attention(shape, std::vector<float>{1, 1}, {{}, 3, 0}, {{}, 4, 0}, {}, {}, out);
  EXPECT_EQ(out, (std::vector<float>{0, 0}));
}

}  // namespace
}  // namespace tandem::ops
