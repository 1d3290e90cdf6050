// Do the reference operators compute what their formulas say, on cases small enough for paper?
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/attention.hpp"
#include "sim/numerics/ops/embedding.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/residual.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "sim/numerics/ops/rope.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/numerics/ops/softmax.hpp"
#include "sim/numerics/ops/swiglu.hpp"

namespace tandem::ops {
namespace {

TEST(Embedding, copies_one_row_and_refuses_others) {
  const std::vector<float> table{1, 2, 3, 4, 5, 6};
  std::vector<float> row(2);
  embedding(table, 2, row);
  EXPECT_EQ(row, (std::vector<float>{5, 6}));
  EXPECT_THROW(embedding(table, 3, row), ModelError);
  EXPECT_THROW(embedding(table, -1, row), ModelError);
}

TEST(RmsNorm, divides_by_the_root_mean_square) {
  // x = (3, 4, 0, 0): mean square 25 / 4, rms 2.5; x / rms = (1.2, 1.6, 0, 0), times weight.
  const std::vector<float> x{3, 4, 0, 0};
  const std::vector<float> weight{1, 0.5F, 7, 7};
  std::vector<float> out(4);
  rmsnorm(x, weight, 0.0F, out);
  EXPECT_FLOAT_EQ(out[0], 1.2F);
  EXPECT_FLOAT_EQ(out[1], 0.8F);
  EXPECT_EQ(out[2], 0.0F);
  // Epsilon stands under the root: zeros with epsilon 0.25 are still zeros, ones give 1 /
  // sqrt 1.25.
  const std::vector<float> ones(4, 1.0F);
  rmsnorm(ones, ones, 0.25F, out);
  EXPECT_FLOAT_EQ(out[3], 0.8944272F);
}

TEST(Linear, rows_are_output_channels) {
  const std::vector<float> weight{1, 2, 3, 4, 5, 6};  // [2, 3]
  const std::vector<float> x{1, 10, 100};
  std::vector<float> out(2);
  linear(weight, x, out);
  EXPECT_EQ(out, (std::vector<float>{321, 654}));
}

TEST(Rope, layouts_rotate_different_pairs_by_the_same_angles) {
  // head_dim 4, theta 100: frequencies 1 and 100^(-1/2) = 0.1. At position 2 the angles are 2, 0.2.
  const auto f = rope_frequencies(4, 100.0, {});
  ASSERT_EQ(f.size(), 2U);
  EXPECT_FLOAT_EQ(f[0], 1.0F);
  EXPECT_FLOAT_EQ(f[1], 0.1F);
  std::vector<float> neighbours{1, 0, 0, 1};
  rope_interleaved(neighbours, f, 2);
  // (1, 0) by 2 -> (cos 2, sin 2); (0, 1) by 0.2 -> (-sin 0.2, cos 0.2).
  EXPECT_FLOAT_EQ(neighbours[0], -0.41614684F);
  EXPECT_FLOAT_EQ(neighbours[1], 0.9092974F);
  EXPECT_FLOAT_EQ(neighbours[2], -0.19866933F);
  EXPECT_FLOAT_EQ(neighbours[3], 0.9800666F);
  // Halves pair (0, 2) and (1, 3): the same two vectors stand there as (1, 0) and (0, 1).
  std::vector<float> halves{1, 0, 0, 1};
  rope_half_split(halves, f, 2);
  EXPECT_FLOAT_EQ(halves[0], -0.41614684F);
  EXPECT_FLOAT_EQ(halves[2], 0.9092974F);
  EXPECT_FLOAT_EQ(halves[1], -0.19866933F);
  EXPECT_FLOAT_EQ(halves[3], 0.9800666F);
}

TEST(Rope, every_head_turns_alike_and_position_zero_turns_nothing) {
  const auto f = rope_frequencies(2, 10000.0, {});
  std::vector<float> heads{1, 2, 1, 2, 3, 4};
  const auto before = heads;
  rope_interleaved(heads, f, 0);
  EXPECT_EQ(heads, before);
  rope_interleaved(heads, f, 5);
  EXPECT_EQ(heads[0], heads[2]);
  EXPECT_EQ(heads[1], heads[3]);
}

TEST(Rope, llama3_scaling_leaves_short_waves_divides_long_ones_and_blends_between) {
  // Llama 3.1: theta 500000, head_dim 128, factor 8, low 1, high 4, original 8192.
  // Wavelength limits: 8192 / 4 = 2048 and 8192 / 1 = 8192.
  const FrequencyScaling scaling{8, 1, 4, 8192};
  const auto plain = rope_frequencies(128, 500000.0, {});
  const auto scaled = rope_frequencies(128, 500000.0, scaling);
  EXPECT_EQ(scaled[0], plain[0]);              // wavelength 2 pi
  EXPECT_FLOAT_EQ(scaled[63], plain[63] / 8);  // wavelength 2.6 million
  // Pair 29: f = 500000^(-58/128) = e^-5.946071 = 0.00261613, wavelength 2401.7, between the
  // limits: s = (8192 / 2401.7 - 1) / 3 = 0.80362; f' = 0.19638 f / 8 + 0.80362 f = 0.82817 f.
  EXPECT_NEAR(scaled[29] / plain[29], 0.82817, 2e-5);
}

TEST(Softmax, is_shift_invariant_and_sums_to_one) {
  // (0, ln 2, ln 4) has weights 1 : 2 : 4.
  std::vector<float> values{100.0F, 100.0F + 0.6931472F, 100.0F + 1.3862944F};
  softmax(values);
  EXPECT_NEAR(values[0], 1.0 / 7, 1e-6);
  EXPECT_NEAR(values[1], 2.0 / 7, 1e-6);
  EXPECT_NEAR(values[2], 4.0 / 7, 1e-6);
  std::vector<float> none;
  softmax(none);
}

TEST(Attention, groups_share_a_kv_head_and_weigh_by_softmax) {
  // Four query heads over two KV heads of width 1, two tokens. Keys (0, ln 3) for KV head 0 and
  // (0, 0) for head 1, q = 1, divisor sqrt 1: weights (1/4, 3/4) and (1/2, 1/2).
  // Values (4, 8) and (10, 20): heads 0, 1 give 1 + 6 = 7, heads 2, 3 give 15.
  const float ln3 = 1.0986123F;
  const std::vector<float> q(4, 1.0F);
  const std::vector<float> k{0, 0, ln3, 0};
  const std::vector<float> v{4, 10, 8, 20};
  std::vector<float> out(4);
  attention({4, 2, 1}, q, k, v, out);
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
  attention({1, 1, 4}, q, k, v, out);
  EXPECT_FLOAT_EQ(out[0], 3.0F);
  EXPECT_FLOAT_EQ(out[3], 12.0F);
}

TEST(SwiGlu, multiplies_silu_of_gate_with_up) {
  // silu(0) = 0; silu(ln 3) = ln 3 x 3/4; a very negative gate gives -0 without overflow.
  const std::vector<float> gate{0, 1.0986123F, -200};
  const std::vector<float> up{5, 4, 3};
  std::vector<float> out(3);
  swiglu(gate, up, out);
  EXPECT_EQ(out[0], 0.0F);
  EXPECT_FLOAT_EQ(out[1], 3.2958369F);
  EXPECT_EQ(out[2], 0.0F);
}

TEST(Residual, adds_in_place) {
  std::vector<float> x{1, 2};
  residual(x, std::array{0.5F, -2.0F});
  EXPECT_EQ(x, (std::vector<float>{1.5F, 0.0F}));
}

TEST(Argmax, lowest_index_wins_ties_and_nan_loses) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(argmax(std::array{1.0F, 3.0F, 3.0F}), 1);
  EXPECT_EQ(argmax(std::array{nan, -1.0F, nan}), 1);
  EXPECT_EQ(argmax(std::array{-2.0F}), 0);
  EXPECT_THROW((void)argmax({}), ModelError);
}

TEST(Sample, follows_the_distribution_and_repeats_with_its_seed) {
  // Logits (0, ln 3): 1/4 and 3/4 at temperature 1; at temperature 1/2 (0, 2 ln 3): 1/10, 9/10.
  const std::array<float, 2> logits{0.0F, 1.0986123F};
  const auto ones = [&](double temperature) {
    RandomStream random(9, "sampling");
    int count = 0;
    for (int i = 0; i < 10000; ++i) {
      count += sample(logits, temperature, random);
    }
    return count;
  };
  EXPECT_NEAR(ones(1.0), 7500, 5 * 43);  // sqrt(10000 x 3/16) = 43
  EXPECT_NEAR(ones(0.5), 9000, 5 * 30);
  EXPECT_EQ(ones(1.0), ones(1.0));
}

TEST(Sample, temperature_zero_is_greedy_and_draws_nothing) {
  RandomStream used(9, "sampling");
  RandomStream fresh(9, "sampling");
  EXPECT_EQ(sample(std::array{1.0F, 2.0F}, 0.0, used), 1);
  EXPECT_EQ(used.next(), fresh.next());
  EXPECT_THROW((void)sample(std::array{1.0F}, -1.0, used), ModelError);
  EXPECT_THROW((void)sample({}, 1.0, used), ModelError);
}

}  // namespace
}  // namespace tandem::ops
