// Do the norms divide by what their formulas say, on paper's cases and on random vectors?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/layernorm.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "tests/numerics/draw.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

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

TEST(RmsNorm, one_plus_weights_are_distances_from_one) {
  // x / rms = (1.2, 1.6, 0, 0) as above; weights 0 and -0.5 mean 1 and 0.5.
  const std::vector<float> x{3, 4, 0, 0};
  std::vector<float> out(4);
  rmsnorm_one_plus(x, std::vector<float>{0, -0.5F, 7, 7}, 0.0F, out);
  EXPECT_FLOAT_EQ(out[0], 1.2F);
  EXPECT_FLOAT_EQ(out[1], 0.8F);
  rmsnorm_unweighted(x, 0.0F, out);
  EXPECT_FLOAT_EQ(out[1], 1.6F);
}

TEST(RmsNorm, heads_are_normalised_each_by_itself) {
  // Heads (3, 4) and (30, 40): rms 5 / sqrt 2 and ten times that, so both become the same.
  std::vector<float> heads{3, 4, 30, 40};
  rmsnorm_heads(heads, 2, std::vector<float>{1, 2}, 0.0F, false);
  EXPECT_FLOAT_EQ(heads[0], 0.84852814F);  // 3 sqrt 2 / 5
  EXPECT_FLOAT_EQ(heads[1], 2.2627417F);   // 2 x 4 sqrt 2 / 5
  EXPECT_FLOAT_EQ(heads[2], heads[0]);
  heads = {3, 4};
  rmsnorm_heads(heads, 2, std::vector<float>{0, 1}, 0.0F, true);
  EXPECT_FLOAT_EQ(heads[1], 2.2627417F);
}

TEST(LayerNorm, centres_and_divides_by_the_biased_deviation) {
  // Mean 2.5, variance (2.25 + 0.25 + 0.25 + 2.25) / 4 = 1.25; with epsilon 1 the root is 1.5:
  // (-1, -1/3, 1/3, 1), times 3 plus 10.
  const std::vector<float> x{1, 2, 3, 4};
  const std::vector<float> weight(4, 3.0F);
  std::vector<float> out(4);
  layernorm(x, weight, std::vector<float>(4, 10.0F), 1.0F, out);
  EXPECT_FLOAT_EQ(out[0], 7.0F);
  EXPECT_FLOAT_EQ(out[1], 9.0F);
  EXPECT_FLOAT_EQ(out[2], 11.0F);
  EXPECT_FLOAT_EQ(out[3], 13.0F);
  layernorm(x, weight, {}, 1.0F, out);
  EXPECT_FLOAT_EQ(out[3], 3.0F);
}

/// (x - centre) / sqrt(mean((x - centre)^2) + epsilon) in double.
std::vector<double> normalised(const std::vector<float>& x, double centre, double epsilon) {
  double squares = 0;
  for (const float value : x) squares += (value - centre) * (value - centre);
  const double root = std::sqrt(squares / static_cast<double>(x.size()) + epsilon);
  std::vector<double> result;
  for (const float value : x) result.push_back((value - centre) / root);
  return result;
}

TEST(Norms, agree_with_double_on_random_vectors) {
  for (int number = 0; number < test::property_cases(240); ++number) {
    SCOPED_TRACE(number);
    RandomStream random(static_cast<std::uint64_t>(number), "norms");
    const auto width = static_cast<std::size_t>(number < 8 ? number + 1 : random.integer(1, 300));
    const double size = std::pow(10.0, static_cast<double>(random.integer(-3, 3)));
    const auto x = test::draw_normals(random, width, size);
    const auto weight = test::draw_normals(random, width);
    const auto bias = test::draw_normals(random, width);
    const double epsilon = number % 2 == 0 ? 1e-5 : 1e-6;
    const auto single = static_cast<float>(epsilon);
    const auto about_zero = normalised(x, 0, epsilon);
    double mean = 0;
    for (const float value : x) mean += value / static_cast<double>(width);
    const auto about_mean = normalised(x, mean, epsilon);
    std::vector<float> plain(width), plus(width), bare(width), layer(width);
    rmsnorm(x, weight, single, plain);
    rmsnorm_one_plus(x, weight, single, plus);
    rmsnorm_unweighted(x, single, bare);
    layernorm(x, weight, bias, single, layer);
    for (std::size_t i = 0; i < width; ++i) {
      const double w = weight[i];
      EXPECT_NEAR(plain[i], w * about_zero[i], 1e-5 * (1 + std::abs(w * about_zero[i])));
      EXPECT_NEAR(plus[i], (1 + w) * about_zero[i], 1e-5 * (1 + std::abs(about_zero[i])) * 4);
      EXPECT_NEAR(bare[i], about_zero[i], 1e-5 * (1 + std::abs(about_zero[i])));
      // The mean's rounding is relative to the largest x, not to the deviation; a lone element is
      // its own mean.
      EXPECT_NEAR(layer[i], w * about_mean[i] + bias[i], 2e-5 * (4 + std::abs(w * about_mean[i])));
    }
    // A norm over heads is the norm of each, bit by bit.
    std::vector<float> heads = x;
    heads.insert(heads.end(), x.begin(), x.end());
    rmsnorm_heads(heads, static_cast<std::int64_t>(width), weight, single, number % 3 == 0);
    const auto& alone = number % 3 == 0 ? plus : plain;
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), heads.begin()));
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), heads.begin() + static_cast<std::ptrdiff_t>(width)));
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace tandem::ops
