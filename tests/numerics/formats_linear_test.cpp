// Are the products in format exact where they claim to be, and near the real product elsewhere?
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/formats/linear_quantised.hpp"
#include "tests/support/property.hpp"

namespace tandem::formats {
namespace {

TEST(LinearQuantised, int8_pair_by_hand) {
  // Row 0 amax 127: s = 1; row 1 amax 254: s = 2. x amax 63.5: s = .5, codes 127 -2 3.
  const std::vector<float> weight{127, 1, -2, 254, 0, 4};
  const QuantisedTensor w = quantise(weight, 2, 3, find_quant_format("int8"));
  std::vector<float> out(2);
  linear_in_precision(w, std::vector<float>{63.5F, -1, 1.5F}, find_precision("int8"), out);
  // Row 0: (127*127 - 2 - 6) * .5 * 1 = 16121 / 2; row 1: (127*127 + 0 + 6) * .5 * 2 = 16135.
  EXPECT_EQ(out, (std::vector<float>{8060.5F, 16135.0F}));
}

TEST(LinearQuantised, fp8_block_scales_each_run_of_128_columns) {
  // Columns 0..127 of weight and x are 448 (s = 1), columns 128 and 129 are 1 (s = 1/448, code
  // 448).
  std::vector<float> weight(130, 448.0F);
  weight[128] = weight[129] = 1.0F;
  const QuantisedTensor w = quantise(weight, 1, 130, find_quant_format("fp8_block"));
  std::vector<float> out(1);
  linear_in_precision(w, weight, find_precision("fp8_block"), out);
  // 128 * 448^2 = 25,690,112 exactly; the second run adds (2 * 448^2 / 448) / 448 = 2 within float.
  EXPECT_NEAR(out[0], 25690114.0F, 2.0F);
}

TEST(LinearQuantised, weight_only_multiplies_the_dequantised_row_with_bfloat16) {
  // int8 row amax 127: s = 1. x = 1 + 2^-8 + 2^-9 rounds to 1 + 2^-7 in bfloat16, 3 is kept.
  const QuantisedTensor w = quantise(std::vector<float>{127, -2}, 1, 2, find_quant_format("int8"));
  std::vector<float> out(1);
  linear_in_precision(w, std::vector<float>{0x1.018p0F, 3}, find_precision("int8_wo"), out);
  EXPECT_EQ(out[0], 127 * 0x1.02p0F - 6);
}

TEST(LinearQuantised, nvfp4_of_both_sides) {
  // weight {6, 3}: g = 448; sf = 448, scale 448 / 448 = 1, codes 6 3. x {12, -4}: g = 224, scale 2,
  // codes 6 -2. (36 - 6) * 2 * 1 = 60.
  const QuantisedTensor w = quantise(std::vector<float>{6, 3}, 1, 2, find_quant_format("nvfp4"));
  std::vector<float> out(1);
  linear_in_precision(w, std::vector<float>{12, -4}, find_precision("nvfp4"), out);
  EXPECT_FLOAT_EQ(out[0], 60.0F);
}

TEST(LinearQuantised, refuses_sizes_formats_and_zero_points_that_do_not_fit) {
  const std::vector<float> row(32, 1.0F);
  const QuantisedTensor w = quantise(row, 1, 32, find_quant_format("int8"));
  const QuantisedTensor two_bit = quantise(row, 1, 32, find_quant_format("int2_g32"));
  std::vector<float> out(1);
  std::vector<float> two(2);
  const QuantFormat& int8 = find_quant_format("int8");
  EXPECT_THROW(linear_quantised(w, std::vector<float>(31), int8, out), ModelError);
  EXPECT_THROW(linear_quantised(w, row, int8, two), ModelError);
  EXPECT_THROW(linear_quantised(two_bit, row, int8, out), ModelError);
  EXPECT_THROW(linear_in_precision(w, row, find_precision("fp8"), out), ModelError);
  const std::vector<float> wide(131073, 1.0F);
  EXPECT_THROW(linear_quantised(quantise(wide, 1, 131073, int8), wide, int8, out), ModelError);
}

/// A named precision with stored weights, or any storage formats on the two sides.
Precision draw_precision(int number, RandomStream& random) {
  std::vector<Precision> choices;
  for (const Precision& precision : precisions()) {
    if (precision.weight) choices.push_back(precision);
  }
  std::vector<QuantFormat> sides;
  for (const QuantFormat& format : quant_formats()) {
    if (!format.has_zero_point() && !format.whole_groups) sides.push_back(format);
  }
  const auto any_side = [&] {
    return sides[static_cast<std::size_t>(
        random.integer(0, static_cast<std::int64_t>(sides.size()) - 1))];
  };
  if (number % 2 == 0) {
    return choices[static_cast<std::size_t>(number / 2) % choices.size()];
  }
  return {"any pair", ElementType::Bfloat16, any_side(), any_side()};
}

TEST(LinearQuantised, equals_the_double_product_of_what_is_stored) {
  const int cases = test::property_cases(300);
  for (int number = 0; number < cases; ++number) {
    RandomStream random(static_cast<std::uint64_t>(number), "linear in format");
    const Precision precision = draw_precision(number, random);
    const std::int64_t rows = random.integer(1, 5);
    const std::int64_t cols = random.integer(0, 2) == 0 ? 1 : random.integer(1, 400);
    SCOPED_TRACE("case " + std::to_string(number) + ": " + std::string(precision.weight->name) +
                 " x " + std::string(precision.activation ? precision.activation->name : "kept") +
                 ' ' + std::to_string(rows) + " x " + std::to_string(cols));
    std::vector<float> values(static_cast<std::size_t>(rows * cols));
    std::vector<float> x(static_cast<std::size_t>(cols));
    for (float& value : values) value = static_cast<float>(random.normal());
    for (float& value : x) value = static_cast<float>(random.normal() * 3);
    const QuantisedTensor w = quantise(values, rows, cols, *precision.weight);
    std::vector<float> out(static_cast<std::size_t>(rows));
    linear_in_precision(w, x, precision, out);
    std::vector<float> stored_x = x;
    if (precision.activation) {
      stored_x = quantise(x, 1, cols, *precision.activation).dequantise();
    } else {
      for (float& value : stored_x) value = round_to(precision.element, value);
    }
    const std::vector<float> stored_w = w.dequantise();
    for (std::int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        const double term = static_cast<double>(stored_w[static_cast<std::size_t>(r * cols + c)]) *
                            static_cast<double>(stored_x[static_cast<std::size_t>(c)]);
        sum += term;
        magnitude += std::abs(term);
      }
      // Float roundings: code * scale twice per term, three per run, one per sum of up to 25 runs.
      ASSERT_NEAR(out[static_cast<std::size_t>(r)], sum, magnitude * 30 * 0x1p-24);
    }
  }
}

}  // namespace
}  // namespace tandem::formats
