// Do the reference operators compute what their formulas say, on cases small enough for paper?
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/embedding.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/residual.hpp"
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

TEST(Linear, rows_are_output_channels) {
  const std::vector<float> weight{1, 2, 3, 4, 5, 6};  // [2, 3]
  const std::vector<float> x{1, 10, 100};
  std::vector<float> out(2);
  linear(weight, x, out);
  EXPECT_EQ(out, (std::vector<float>{321, 654}));
}

TEST(Linear, adds_the_bias_before_the_one_rounding) {
  const std::vector<float> weight{1, 2, 3, 4};  // [2, 2]
  const std::vector<float> x{1, 10};
  std::vector<float> out(2);
  linear(weight, x, std::vector<float>{0.5F, -43.0F}, {}, out);
  EXPECT_EQ(out, (std::vector<float>{21.5F, 0.0F}));
  // e4m3 has steps of 2 from 16 to 32: 21.5 is nearest to 22; 43 - 42 = 1 is exact. Rounded before
  // the bias, 21 would tie to 20 and 43 go to 44.
  linear(weight, x, std::vector<float>{0.5F, -42.0F}, {ElementType::Fp8E4m3}, out);
  EXPECT_EQ(out, (std::vector<float>{22.0F, 1.0F}));
}

TEST(Arithmetic, sums_rows_by_weight_in_the_order_of_its_format) {
  // Rows (1, 2) and (3, 4) with a stride of 3, weights 10 and 100: 310 and 420.
  const std::vector<float> rows{1, 2, -9, 3, 4};
  std::vector<float> out(2);
  Arithmetic{}.weighted_sum(std::array{10.0F, 100.0F}, rows, 3, out);
  EXPECT_EQ(out, (std::vector<float>{310, 420}));
  // bfloat16 has steps of 2 from 256 to 512.
  Arithmetic{ElementType::Bfloat16}.weighted_sum(std::array{10.0F, 100.25F}, rows, 3, out);
  EXPECT_EQ(out, (std::vector<float>{310, 420}));  // 310.75 and 421
  // 2^24 + 1 + 1 is 2^24 in float one by one, 2^24 + 2 in double.
  const std::vector<float> a{0x1p24F, 1, 1};
  const std::vector<float> ones(3, 1.0F);
  EXPECT_EQ(Arithmetic{}.dot(a, ones), 0x1p24F);
  EXPECT_EQ(Arithmetic{ElementType::Float16}.dot(a, ones), 0x1p24F + 2);
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

TEST(Softmax, a_sink_takes_its_share_and_infinities_are_shared) {
  // Weights 1 : 2 and a sink of 5: sum 8.
  std::vector<float> values{0, 0.6931472F};
  softmax_with_sink(values, 1.6094379F);
  EXPECT_NEAR(values[0], 1.0 / 8, 1e-6);
  EXPECT_NEAR(values[1], 2.0 / 8, 1e-6);
  const float infinity = std::numeric_limits<float>::infinity();
  values = {infinity, 5, infinity};
  softmax(values);
  EXPECT_EQ(values, (std::vector<float>{0.5F, 0, 0.5F}));
  values = {-infinity, -infinity};
  softmax(values);
  EXPECT_EQ(values, (std::vector<float>{0.5F, 0.5F}));
  values = {-infinity, -infinity};
  softmax_with_sink(values, 0.0F);
  EXPECT_EQ(values, (std::vector<float>{0, 0}));
  values = {3, 4};
  softmax_with_sink(values, infinity);
  EXPECT_EQ(values, (std::vector<float>{0, 0}));
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

TEST(Largest, orders_by_value_then_by_index_and_nan_comes_last) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::array values{1.0F, nan, 7.0F, 3.0F, 7.0F};
  EXPECT_EQ(largest(values, 3), (std::vector<std::int32_t>{2, 4, 3}));
  EXPECT_EQ(largest(values, 9), (std::vector<std::int32_t>{2, 4, 3, 0, 1}));
  EXPECT_TRUE(largest(values, 0).empty());
}

}  // namespace
}  // namespace tandem::ops
