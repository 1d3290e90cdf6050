// Do activations, gates and the multi-token combination compute what their formulas say?
#include "sim/numerics/ops/activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/ops/gate.hpp"
#include "sim/numerics/ops/mtp.hpp"
#include "sim/numerics/ops/swiglu.hpp"
#include "tests/numerics/special_values.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

using Values = std::vector<float>;

TEST(Activation, values_on_paper) {
  // sigmoid(ln 3) = 3/4. gelu: Phi(1) = 0.8413447461, Phi(-3) = 1.3498980e-3. gelu_tanh(1) = (1 +
  // tanh(0.7978845608 * 1.044715)) / 2 = (1 + 0.6823839) / 2.
  const float ln3 = std::log(3.0F);
  EXPECT_FLOAT_EQ(sigmoid(ln3), 0.75F);
  EXPECT_FLOAT_EQ(silu(ln3), 0.75F * ln3);
  EXPECT_FLOAT_EQ(gelu(1.0F), 0.84134475F);
  EXPECT_FLOAT_EQ(gelu(-3.0F), -0.0040496940F);
  EXPECT_FLOAT_EQ(gelu_tanh(1.0F), 0.8411920F);
  for (const auto f : {&silu, &gelu, &gelu_tanh}) {
    EXPECT_EQ(f(0.0F), 0.0F);
    EXPECT_EQ(f(100.0F), 100.0F);
  }
  EXPECT_EQ(gelu(infinity), infinity);
  EXPECT_EQ(gelu(-infinity), 0.0F);
  EXPECT_EQ(gelu_tanh(infinity), infinity);
  EXPECT_EQ(gelu_tanh(-infinity), 0.0F);
  EXPECT_TRUE(std::isnan(gelu(std::numeric_limits<float>::quiet_NaN())));
}

TEST(Activation, clamped_swiglu_limits_the_gate_above_and_the_other_on_both_sides) {
  // g = 10 and u = -9 are taken as 7 and -7: 7 sigmoid(11.914) (-6), with 1 - sigmoid(11.914) =
  // e^-11.914 / (1 + e^-11.914) = 6.6960e-6.
  EXPECT_FLOAT_EQ(clamped_swiglu(10.0F, -9.0F), -42.0F * (1 - 6.6960e-6F));
  EXPECT_EQ(clamped_swiglu(10.0F, -9.0F), clamped_swiglu(7.0F, -7.0F));
  EXPECT_EQ(clamped_swiglu(1.0F, 100.0F), clamped_swiglu(1.0F, 7.0F));
  // A gate below -7 is not limited: -10 sigmoid(-17.02) is -4.05802e-7, not -7 sigmoid(-11.914).
  EXPECT_NEAR(static_cast<double>(clamped_swiglu(-10.0F, 0.0F)), -4.05802e-7, 1e-11);
  // The other half has 1 added: u = -1 gives 0.
  EXPECT_EQ(clamped_swiglu(3.0F, -1.0F), 0.0F);
  // Another limit.
  EXPECT_EQ(clamped_swiglu(3.0F, 3.0F, 2.0F), clamped_swiglu(2.0F, 2.0F));
}

TEST(Activation, gated_kinds_multiply_and_silu_has_the_bits_of_swiglu) {
  RandomStream random(1, "swiglu bits");
  Values gate, up;
  for (int i = 0; i < 1000; ++i) {
    gate.push_back(static_cast<float>(4 * random.normal()));
    up.push_back(static_cast<float>(4 * random.normal()));
  }
  Values out(1000), expected(1000);
  gated_activation(ActivationKind::Silu, gate, up, out);
  swiglu(gate, up, expected);
  EXPECT_EQ(out, expected);
  for (std::size_t i = 0; i < 1000; ++i) ASSERT_EQ(out[i], silu(gate[i]) * up[i]);
  gated_activation(ActivationKind::Gelu, gate, up, out);
  EXPECT_EQ(out[7], gelu(gate[7]) * up[7]);
  gated_activation(ActivationKind::GeluTanh, gate, up, out);
  EXPECT_EQ(out[7], gelu_tanh(gate[7]) * up[7]);
  gated_activation(ActivationKind::ClampedSwiglu, gate, up, up);
  EXPECT_EQ(up[7], clamped_swiglu(gate[7], expected[7] / silu(gate[7])));
}

TEST(Activation, without_a_gate_all_but_the_clamped_kind) {
  Values x{1, -1};
  activation(ActivationKind::Gelu, x, x);
  EXPECT_EQ(x, (Values{gelu(1.0F), gelu(-1.0F)}));
  EXPECT_THROW(activation(ActivationKind::ClampedSwiglu, x, x), ModelError);
}

TEST(Activation, interleaved_columns_and_rows_part) {
  Values gate(3), up(3);
  split_interleaved(Values{0, 10, 1, 11, 2, 12}, 1, gate, up);
  EXPECT_EQ(gate, (Values{0, 1, 2}));
  EXPECT_EQ(up, (Values{10, 11, 12}));
  // Rows of two elements: gate row, up row, gate row, up row.
  Values gates(4), ups(4);
  split_interleaved(Values{0, 1, 10, 11, 2, 3, 12, 13}, 2, gates, ups);
  EXPECT_EQ(gates, (Values{0, 1, 2, 3}));
  EXPECT_EQ(ups, (Values{10, 11, 12, 13}));
}

TEST(ActivationProperty, close_to_their_formulas_in_double) {
  for (int i = 0; i < test::property_cases(1000); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "activation");
    const auto x = static_cast<float>((2 * random.uniform() - 1) * 14);
    const auto u = static_cast<float>((2 * random.uniform() - 1) * 10);
    const auto w = static_cast<double>(x);
    const double s = w / (1 + std::exp(-w));
    ASSERT_NEAR(static_cast<double>(silu(x)), s, 3e-7 * std::fabs(s));
    // Relative down to where e^-x^2/2 is no longer a normal float.
    const double g = 0.5 * w * std::erfc(-w / std::numbers::sqrt2);
    ASSERT_NEAR(static_cast<double>(gelu(x)), g, 2e-7 * std::fabs(g) + 1e-43);
    const double inner = std::sqrt(2 / std::numbers::pi) * (w + 0.044715 * w * w * w);
    ASSERT_NEAR(static_cast<double>(gelu_tanh(x)), 0.5 * w * (1 + std::tanh(inner)), 5e-7);
    const double a = std::min(w, 7.0);
    const double b = std::clamp(static_cast<double>(u), -7.0, 7.0);
    const double c = a / (1 + std::exp(-1.702 * a)) * (b + 1);
    // The argument of e is rounded twice: |1.702 x| <= 24 leaves 3e-6 of relative error.
    ASSERT_NEAR(static_cast<double>(clamped_swiglu(x, u)), c, 4e-6 * std::fabs(c) + 1e-9);
  }
}

TEST(Gate, scales_by_the_sigmoid) {
  // sigmoid(0) = 1/2, sigmoid(ln 3) = 3/4, and of -200 it is 0.
  Values x{8, 8, 8};
  sigmoid_gate(x, Values{0, std::log(3.0F), -200});
  EXPECT_FLOAT_EQ(x[0], 4.0F);
  EXPECT_FLOAT_EQ(x[1], 6.0F);
  EXPECT_EQ(x[2], 0.0F);
  Values y{2, -4};
  sigmoid_gate(y, 0.0F);
  EXPECT_EQ(y, (Values{1, -2}));
  scale(y, 3.0F);
  EXPECT_EQ(y, (Values{3, -6}));
}

TEST(Softcap, bends_towards_the_cap) {
  // 30 tanh(30 / 30) = 30 * 0.7615942; far beyond, the cap itself; a small value stays itself.
  Values x{30, -1e9F, 0.001F};
  softcap(x, 30.0F);
  EXPECT_FLOAT_EQ(x[0], 22.847825F);
  EXPECT_EQ(x[1], -30.0F);
  EXPECT_FLOAT_EQ(x[2], 0.001F);
  softcap(x, 0.0F);
  EXPECT_EQ(x[1], -30.0F);
}

TEST(MultiTokenPrediction, the_embedding_is_the_first_half) {
  // e = (3, 4) has mean square 12.5, h = (6, 8) has 50: both norm to (0.6, 0.8) sqrt 2. enorm (1,
  // 1), hnorm (10, 100): the vector is sqrt 2 (0.6, 0.8, 6, 80).
  const Values enorm{1, 1}, hnorm{10, 100};
  const Values projection{1, 0, 0, 0, 0, 1, 1, 1};
  const Values e{3, 4};
  Values h{6, 8};
  mtp_combine({enorm, hnorm, projection}, e, h, 0.0F, {}, h);
  EXPECT_FLOAT_EQ(h[0], 0.6F * 1.41421356F);
  EXPECT_FLOAT_EQ(h[1], 86.8F * 1.41421356F);
}

TEST(MultiTokenPrediction, bfloat16_rounds_the_norms_and_the_result) {
  // e = 1, h = -1 norm to 1 and -1; enorm 1 + 2^-9 rounds to 1 (a tie goes to even), hnorm 1: 1 *
  // 256 - 1 * 255 + ... = 1 with the rounded norm, 1.5 with the unrounded one. In a row of (256,
  // -1) the sum 257 rounds to 256.
  const Values norm_e{1 + 0x1p-9F, 1 + 0x1p-9F}, norm_h{1, 1};
  const Values e{1, 1}, h{-1, -1};
  const Values projection{256, 0, 255, 0, 256, 0, -1, 0};
  Values out(2);
  mtp_combine({norm_e, norm_h, projection}, e, h, 0.0F, {ElementType::Bfloat16}, out);
  EXPECT_EQ(out, (Values{1, 256}));
  mtp_combine({norm_e, norm_h, projection}, e, h, 0.0F, {}, out);
  EXPECT_EQ(out, (Values{1.5F, 257.5F}));
}

}  // namespace
}  // namespace tandem::ops
