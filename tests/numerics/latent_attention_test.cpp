// Do the two forms of latent attention weigh alike, and does the indexer choose the right tokens?
#include "sim/numerics/ops/latent_attention.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace tandem::ops {
namespace {

using LatentForm = void (*)(const LatentShape&, std::span<const float>, LatentUp, const CacheRows&,
                            const CacheRows&, std::span<const std::int32_t>, const Arithmetic&,
                            std::span<float>);

class LatentAttention : public testing::TestWithParam<LatentForm> {
 protected:
  /// One head, every width 1; W_uk = 2, W_uv = 3; latents 0 and 1, rotated keys 0 and `key`.
  static float attend(const LatentShape& shape, std::vector<float> q, float key,
                      std::vector<std::int32_t> chosen) {
    std::vector<float> out(1);
    GetParam()(shape, q, std::vector<float>{2, 3}, {std::vector<float>{0, -7, 1}, 2, 2},
               {std::vector<float>{0, key}, 1, 2}, chosen, {}, out);
    return out[0];
  }
};

TEST_P(LatentAttention, weighs_by_latent_and_rotated_key) {
  // Scores 0 and (2 q_n + key q_r) / sqrt 2. q_n = ln 3 / sqrt 2 gives ln 3: 3/4 of 3 x 1 = 2.25.
  const LatentShape shape{.heads = 1, .kv_rank = 1, .nope_dim = 1, .rope_dim = 1, .value_dim = 1};
  EXPECT_NEAR(attend(shape, {0.7768362F, 0}, 5, {}), 2.25, 1e-6);
  // The rotated key alone: 2 x ln 3 / sqrt 2 over sqrt 2.
  EXPECT_NEAR(attend(shape, {0, 0.7768362F}, 2, {}), 2.25, 1e-6);
  // Twice the scale: ln 9, 9/10 of 3.
  LatentShape scaled = shape;
  scaled.scale_factor = 2;
  EXPECT_NEAR(attend(scaled, {0.7768362F, 0}, 5, {}), 2.7, 1e-6);
}

TEST_P(LatentAttention, sees_only_the_chosen_tokens) {
  const LatentShape shape{.heads = 1, .kv_rank = 1, .nope_dim = 1, .rope_dim = 1, .value_dim = 1};
  EXPECT_EQ(attend(shape, {0.7768362F, 0}, 5, {0}), 0.0F);
  EXPECT_EQ(attend(shape, {0.7768362F, 0}, 5, {1}), 3.0F);
  EXPECT_NEAR(attend(shape, {0.7768362F, 0}, 5, {0, 1}), 2.25, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Forms, LatentAttention,
                         testing::Values(&latent_attention_naive, &latent_attention_absorbed),
                         [](const testing::TestParamInfo<LatentForm>& form) {
                           return form.index == 0 ? "naive" : "absorbed";
                         });

TEST(Indexer, adds_weighted_positive_products_over_heads) {
  // Key (1, 1): products 1 and -1, 2 x 1 + 3 x 0 = 2. Key (-1, -2): -1 and 2, 0 + 6. The third
  // element of each row is no part of the key.
  const IndexerShape shape{.heads = 2, .head_dim = 2, .top_k = 1};
  const std::vector<float> keys{1, 1, 50, -1, -2, 50};
  EXPECT_EQ(index_scores(shape, std::vector<float>{1, 0, 0, -1}, std::vector<float>{2, 3},
                         {keys, 3, 2}, {}),
            (std::vector<float>{2, 6}));
}

TEST(Indexer, chooses_the_largest_in_order_of_position_and_the_earlier_of_equals) {
  using Tokens = std::vector<std::int32_t>;
  EXPECT_EQ(choose_top(std::vector<float>{2, 6, 1, 7}, 2), (Tokens{1, 3}));
  EXPECT_EQ(choose_top(std::vector<float>{5, 1, 5, 5}, 2), (Tokens{0, 2}));
  EXPECT_EQ(choose_top(std::vector<float>{5, 1}, 2048), (Tokens{0, 1}));
}

}  // namespace
}  // namespace tandem::ops
