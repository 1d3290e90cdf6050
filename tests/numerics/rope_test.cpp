// Do rotations turn the right pairs by the right angles, and are frequencies scaled as published?
#include "sim/numerics/ops/rope.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::ops {
namespace {

Rope rope_of(double theta, std::int64_t rotated) {
  Rope rope;
  rope.theta = theta;
  rope.rotated = rotated;
  return rope;
}

TEST(Rope, layouts_rotate_different_pairs_by_the_same_angles) {
  // head_dim 4, theta 100: frequencies 1 and 100^(-1/2) = 0.1. At position 2 the angles are 2, 0.2.
  const auto f = rope_frequencies(rope_of(100, 4), 4);
  ASSERT_EQ(f.size(), 2U);
  EXPECT_FLOAT_EQ(f[0], 1.0F);
  EXPECT_FLOAT_EQ(f[1], 0.1F);
  std::vector<float> neighbours{1, 0, 0, 1};
  rotate_heads(neighbours, 4, f, RopeLayout::Interleaved, 1.0, 2);
  // (1, 0) by 2 -> (cos 2, sin 2); (0, 1) by 0.2 -> (-sin 0.2, cos 0.2).
  EXPECT_FLOAT_EQ(neighbours[0], -0.41614684F);
  EXPECT_FLOAT_EQ(neighbours[1], 0.9092974F);
  EXPECT_FLOAT_EQ(neighbours[2], -0.19866933F);
  EXPECT_FLOAT_EQ(neighbours[3], 0.9800666F);
  // Halves pair (0, 2) and (1, 3): the same two vectors stand there as (1, 0) and (0, 1).
  std::vector<float> halves{1, 0, 0, 1};
  rotate_heads(halves, 4, f, RopeLayout::HalfSplit, 1.0, 2);
  EXPECT_FLOAT_EQ(halves[0], -0.41614684F);
  EXPECT_FLOAT_EQ(halves[2], 0.9092974F);
  EXPECT_FLOAT_EQ(halves[1], -0.19866933F);
  EXPECT_FLOAT_EQ(halves[3], 0.9800666F);
}

TEST(Rope, every_head_turns_alike_and_position_zero_turns_nothing) {
  const auto f = rope_frequencies(rope_of(10000, 2), 2);
  std::vector<float> heads{1, 2, 1, 2, 3, 4};
  const auto before = heads;
  rotate_heads(heads, 2, f, RopeLayout::Interleaved, 1.0, 0);
  EXPECT_EQ(heads, before);
  rotate_heads(heads, 2, f, RopeLayout::Interleaved, 1.0, 5);
  EXPECT_EQ(heads[0], heads[2]);
  EXPECT_EQ(heads[1], heads[3]);
}

TEST(Rope, llama3_scaling_leaves_short_waves_divides_long_ones_and_blends_between) {
  // Llama 3.1: theta 500000, head_dim 128, factor 8, low 1, high 4, original 8192.
  // Wavelength limits: 8192 / 4 = 2048 and 8192 / 1 = 8192.
  const Rope llama = rope_of(500000, 128);
  Rope llama31 = llama;
  llama31.scaling = Llama3Scaling{8, 1, 4, 8192};
  const auto plain = rope_frequencies(llama, 128);
  const auto scaled = rope_frequencies(llama31, 128);
  EXPECT_EQ(scaled[0], plain[0]);              // wavelength 2 pi
  EXPECT_FLOAT_EQ(scaled[63], plain[63] / 8);  // wavelength 2.6 million
  // Pair 29: f = 500000^(-58/128) = e^-5.946071 = 0.00261613, wavelength 2401.7, between the
  // limits: s = (8192 / 2401.7 - 1) / 3 = 0.80362; f' = 0.19638 f / 8 + 0.80362 f = 0.82817 f.
  EXPECT_NEAR(scaled[29] / plain[29], 0.82817, 2e-5);
  // An independent Python derivation of all pairs prints for these five.
  EXPECT_NEAR(scaled[16], 3.7606e-2, 5e-7);
  EXPECT_NEAR(scaled[32], 5.2485e-4, 5e-9);
  EXPECT_NEAR(scaled[48], 6.6479e-6, 5e-11);
  EXPECT_NEAR(scaled[63], 3.0689e-7, 5e-12);
}

Rope yarn_rope(double theta, const YarnScaling& yarn) {
  Rope rope = rope_of(theta, 64);
  rope.scaling = yarn;
  return rope;
}

TEST(Rope, yarn_of_deepseek_v3) {
  // theta 1e4, 64 dims, x40 of 4096, beta 32 / 1. corr(32) = 64 ln(4096 / 201.06) / (2 ln 1e4) =
  // 10.47, corr(1) = 22.51: 10 and 23. m = 0.1 ln 40 + 1 = 1.368888, its square 1.873854.
  const Rope rope = yarn_rope(10000, {40, 4096, 32, 1, true, 1, 1});
  EXPECT_EQ(yarn_range(rope).low, 10);
  EXPECT_EQ(yarn_range(rope).high, 23);
  EXPECT_EQ(rope_magnitude(rope), 1.0);
  EXPECT_NEAR(yarn_softmax_factor(rope), 1.873854, 5e-7);
  // Pair 8 is kept: 1e4^(-1/4). Pair 16: 0.01 (6/13 / 40 + 7/13) = 0.0055. Pairs 24 and 31 are
  // divided by 40: 1e-3 / 40 and 1e4^(-31/32) / 40.
  const auto f = rope_frequencies(rope, 64);
  ASSERT_EQ(f.size(), 32U);
  EXPECT_EQ(f[0], 1.0F);
  EXPECT_FLOAT_EQ(f[8], 0.1F);
  EXPECT_FLOAT_EQ(f[16], 5.5e-3F);
  EXPECT_FLOAT_EQ(f[24], 2.5e-5F);
  EXPECT_NEAR(f[31], 3.3338e-6, 5e-11);
}

TEST(Rope, yarn_of_kimi_k2) {
  // theta 5e4, x32 of 4096, beta 1 / 1: both ends are corr(1) = 19.16, floored 19, raised 20.
  const Rope rope = yarn_rope(50000, {32, 4096, 1, 1, true, 1, 1});
  EXPECT_EQ(yarn_range(rope).low, 19);
  EXPECT_EQ(yarn_range(rope).high, 20);
  EXPECT_NEAR(yarn_softmax_factor(rope), 1.813260, 5e-7);  // (0.1 ln 32 + 1)^2
  const auto f = rope_frequencies(rope, 64);
  EXPECT_NEAR(f[8], 6.6874e-2, 5e-7);    // 5e4^(-1/4)
  EXPECT_NEAR(f[16], 4.4721e-3, 5e-8);   // 5e4^(-1/2)
  EXPECT_NEAR(f[24], 9.3459e-6, 5e-11);  // 5e4^(-3/4) / 32
  EXPECT_NEAR(f[31], 8.7644e-7, 5e-12);
}

TEST(Rope, yarn_of_gpt_oss) {
  // theta 1.5e5, x32 of 4096, beta 32 / 1, ends not rounded to pairs; the factor is on cosine and
  // sine, not on the softmax.
  const Rope rope = yarn_rope(150000, {32, 4096, 32, 1, false, 1, 0});
  EXPECT_NEAR(yarn_range(rope).low, 8.0928, 5e-5);
  EXPECT_NEAR(yarn_range(rope).high, 17.3980, 5e-5);
  EXPECT_NEAR(rope_magnitude(rope), 1.346574, 5e-7);
  EXPECT_EQ(yarn_softmax_factor(rope), 1.0);
  const auto f = rope_frequencies(rope, 64);
  EXPECT_NEAR(f[8], 5.0813e-2, 5e-7);
  EXPECT_NEAR(f[16], 4.5648e-4, 5e-9);
  EXPECT_NEAR(f[24], 4.1000e-6, 5e-11);
  EXPECT_NEAR(f[31], 3.0235e-7, 5e-12);
}

TEST(Rope, yarn_keeps_its_range_in_the_head_and_its_ramp_finite) {
  // 8 dims, theta 1e4, original 4: corr(32) < 0 gives 0, corr(1) = 8 ln(4 / 2 pi) / 18.4 = -0.196
  // raised to 0. Low = high: the ramp is 0.001 wide, so pair 0 is kept and pair 1 divided.
  Rope rope = rope_of(10000, 8);
  rope.scaling = YarnScaling{.factor = 4, .original_context = 4};
  EXPECT_EQ(yarn_range(rope).low, 0);
  EXPECT_NEAR(yarn_range(rope).high, 0.001, 1e-12);
  const auto f = rope_frequencies(rope, 8);
  EXPECT_EQ(f[0], 1.0F);
  EXPECT_FLOAT_EQ(f[1], 0.025F);
  rope.scaling = YarnScaling{.factor = 1, .original_context = 4096};
  EXPECT_EQ(rope_magnitude(rope), 1.0);
}

TEST(Rope, linear_scaling_divides_every_frequency) {
  Rope rope = rope_of(100, 4);
  rope.scaling = LinearScaling{8};
  const auto f = rope_frequencies(rope, 4);
  EXPECT_FLOAT_EQ(f[0], 0.125F);
  EXPECT_FLOAT_EQ(f[1], 0.0125F);
  EXPECT_EQ(rope_magnitude(rope), 1.0);
  EXPECT_EQ(yarn_softmax_factor(rope), 1.0);
  EXPECT_THROW((void)yarn_range(rope), ModelError);
}

TEST(Rope, partial_rotation_takes_the_first_dimensions_or_the_first_pairs) {
  // Head of 8, 4 rotate, theta 1e4. FirstDims: a head of 4, frequencies 1 and 0.01. Proportional:
  // the first 2 of 4 pairs of the head of 8, 1 and 1e4^(-2/8) = 0.1, then zeros.
  const Rope first = rope_of(10000, 4);
  EXPECT_EQ(rope_frequencies(first, 8), (std::vector<float>{1.0F, 0.01F}));
  Rope whole = first;
  whole.partial = PartialRotary::Proportional;
  EXPECT_EQ(rope_frequencies(whole, 8), (std::vector<float>{1.0F, 0.1F, 0, 0}));
  whole.scaling = YarnScaling{.factor = 2, .original_context = 4096};
  EXPECT_THROW((void)rope_frequencies(whole, 8), ModelError);
}

TEST(Rope, partial_rotation_moves_only_its_dimensions) {
  // One pair of angle pi / 2 (rounded to float) in a head of 4. FirstDims, halves of 2: pair (0,
  // 1), and (1, 2) -> (-2, 1). Frequencies (pi / 2, 0) over halves of 4: pair (0, 2), (1, 3) ->
  // (-3, 1).
  const float quarter = 1.5707964F;
  std::vector<float> head{1, 2, 3, 4};
  rotate_heads(head, 4, std::vector<float>{quarter}, RopeLayout::HalfSplit, 1.0, 1);
  EXPECT_NEAR(head[0], -2, 1e-6);
  EXPECT_NEAR(head[1], 1, 1e-6);
  EXPECT_EQ(head[2], 3);
  EXPECT_EQ(head[3], 4);
  head = {1, 2, 3, 4};
  rotate_heads(head, 4, std::vector<float>{quarter, 0}, RopeLayout::HalfSplit, 1.0, 1);
  EXPECT_NEAR(head[0], -3, 1e-6);
  EXPECT_NEAR(head[2], 1, 1e-6);
  EXPECT_EQ(head[1], 2);
  EXPECT_EQ(head[3], 4);
}

TEST(Rope, magnitude_multiplies_what_rotates_and_nothing_else) {
  std::vector<float> head{1, 2, 3, 4};
  rotate_heads(head, 4, std::vector<float>{1.0F}, RopeLayout::Interleaved, 1.5, 0);
  EXPECT_EQ(head, (std::vector<float>{1.5F, 3.0F, 3, 4}));
}

}  // namespace
}  // namespace tandem::ops
