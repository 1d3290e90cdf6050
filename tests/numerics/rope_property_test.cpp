// Do rotations keep what a rotation keeps, in both layouts, for random heads and scalings?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/rope.hpp"
#include "tests/numerics/draw.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

struct RopeCase {
  Rope rope;
  std::int64_t head_dim = 0;
  std::int64_t heads = 0;
};

RopeScaling draw_scaling(int number, RandomStream& random) {
  const double factor = 1 + 40 * random.uniform();
  const std::int64_t original = std::int64_t{1} << random.integer(8, 14);
  switch (number % 4) {
    case 1:
      return Llama3Scaling{factor, 1 + random.uniform(), 3 + 3 * random.uniform(), original};
    case 2:
      return YarnScaling{factor, original, 32, 1, number % 8 < 4, 1, random.uniform()};
    case 3:
      return LinearScaling{factor};
    default:
      return {};
  }
}

RopeCase draw_rope_case(int number) {
  RandomStream random(static_cast<std::uint64_t>(number), "rope");
  RopeCase drawn;
  drawn.rope.theta = std::pow(10.0, 2 + 5 * random.uniform());
  drawn.rope.rotated = number % 6 == 0 ? 2 : 2 * random.integer(1, 32);
  drawn.head_dim = drawn.rope.rotated + (number % 3 == 0 ? 0 : 2 * random.integer(0, 9));
  drawn.rope.layout = number % 2 == 0 ? RopeLayout::Interleaved : RopeLayout::HalfSplit;
  drawn.rope.scaling = draw_scaling(number, random);
  if (number % 5 == 0 && !std::holds_alternative<YarnScaling>(drawn.rope.scaling)) {
    drawn.rope.partial = PartialRotary::Proportional;
  }
  drawn.heads = number % 7 == 0 ? 1 : random.integer(1, 5);
  return drawn;
}

/// Frequency of a pair in double, from the published formulas.
double derived_frequency(const Rope& rope, std::int64_t head_dim, std::int64_t pair) {
  const bool whole = rope.partial == PartialRotary::Proportional;
  if (2 * pair >= rope.rotated) return 0;
  const auto d = static_cast<double>(whole ? head_dim : rope.rotated);
  const double f = std::exp(-2.0 * static_cast<double>(pair) / d * std::log(rope.theta));
  const double two_pi = 2 * std::numbers::pi;
  if (const auto* s = std::get_if<LinearScaling>(&rope.scaling)) return f / s->factor;
  if (const auto* s = std::get_if<Llama3Scaling>(&rope.scaling)) {
    // The blend written as one clamp: smooth = (original f / 2 pi - low) / (high - low).
    const double turns = static_cast<double>(s->original_context) * f / two_pi;
    const double smooth = std::clamp(
        (turns - s->low_frequency_factor) / (s->high_frequency_factor - s->low_frequency_factor),
        0.0, 1.0);
    return f * ((1 - smooth) / s->factor + smooth);
  }
  if (const auto* s = std::get_if<YarnScaling>(&rope.scaling)) {
    // The pair that turns `beta` times within the original context: theta^(2i/d) = L / (2 pi beta).
    const auto turning = [&](double beta) {
      const double ratio = static_cast<double>(s->original_context) / (two_pi * beta);
      return d / 2 * std::log(ratio) / std::log(rope.theta);
    };
    double low = turning(s->beta_fast);
    double high = turning(s->beta_slow);
    if (s->truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, d - 1);
    if (low == high) high += 0.001;
    const double ramp = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
    return f * (ramp / s->factor + 1 - ramp);
  }
  return f;
}

TEST(RopeProperty, frequencies_are_the_formulas) {
  for (int number = 0; number < test::property_cases(160); ++number) {
    SCOPED_TRACE(number);
    const RopeCase c = draw_rope_case(number);
    const auto f = rope_frequencies(c.rope, c.head_dim);
    const bool whole = c.rope.partial == PartialRotary::Proportional;
    ASSERT_EQ(2 * static_cast<std::int64_t>(f.size()), whole ? c.head_dim : c.rope.rotated);
    for (std::size_t i = 0; i < f.size(); ++i) {
      const double expected = derived_frequency(c.rope, c.head_dim, static_cast<std::int64_t>(i));
      ASSERT_NEAR(f[i], expected, 2e-7 * expected) << "pair " << i;
    }
  }
}

TEST(RopeProperty, rotations_are_complex_products) {
  for (int number = 0; number < test::property_cases(120); ++number) {
    SCOPED_TRACE(number);
    const RopeCase c = draw_rope_case(number + 1000);
    RandomStream random(static_cast<std::uint64_t>(number), "rope heads");
    const auto f = rope_frequencies(c.rope, c.head_dim);
    const double magnitude = rope_magnitude(c.rope);
    const std::int64_t position = random.integer(0, 4000);
    const auto before = test::draw_normals(random, static_cast<std::size_t>(c.heads * c.head_dim));
    auto after = before;
    rotate_heads(after, c.head_dim, f, c.rope.layout, magnitude, position);
    std::vector<double> expected(before.begin(), before.end());
    for (std::size_t h = 0; h < before.size(); h += static_cast<std::size_t>(c.head_dim)) {
      for (std::size_t i = 0; i < f.size(); ++i) {
        const bool pairs = c.rope.layout == RopeLayout::Interleaved;
        const std::size_t re = h + (pairs ? 2 * i : i);
        const std::size_t im = h + (pairs ? 2 * i + 1 : i + f.size());
        const double angle = static_cast<double>(position) * f[i];
        const double radius = magnitude * std::hypot(before[re], before[im]);
        const double turned = std::atan2(before[im], before[re]) + angle;
        expected[re] = radius * std::cos(turned);
        expected[im] = radius * std::sin(turned);
      }
    }
    // The angle is rounded to float: 2^-24 of up to 4000 radians, 2.4e-4, is the largest error.
    for (std::size_t i = 0; i < after.size(); ++i) {
      ASSERT_NEAR(after[i], expected[i], 3e-4 * magnitude * 6) << "element " << i;
      if (f.size() * 2 <= i % static_cast<std::size_t>(c.head_dim)) {
        ASSERT_EQ(after[i], before[i]);
      }
    }
  }
}

double product(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

TEST(RopeProperty, products_see_relative_positions_only_and_norms_stay) {
  for (int number = 0; number < test::property_cases(100); ++number) {
    SCOPED_TRACE(number);
    const RopeCase c = draw_rope_case(number + 2000);
    RandomStream random(static_cast<std::uint64_t>(number), "rope products");
    const auto f = rope_frequencies(c.rope, c.head_dim);
    const auto q = test::draw_normals(random, static_cast<std::size_t>(c.head_dim));
    const auto k = test::draw_normals(random, static_cast<std::size_t>(c.head_dim));
    const auto turned = [&](std::vector<float> head, std::int64_t position) {
      rotate_heads(head, c.head_dim, f, c.rope.layout, 1.0, position);
      return head;
    };
    const std::int64_t near = random.integer(0, 100);
    const std::int64_t apart = random.integer(0, 100);
    const std::int64_t shift = random.integer(0, 300);
    const double here = product(turned(q, near + apart), turned(k, near));
    const double there = product(turned(q, near + apart + shift), turned(k, near + shift));
    const double size = std::sqrt(product(q, q) * product(k, k));
    ASSERT_NEAR(here, there, 1e-4 * size);
    const auto moved = turned(q, near + shift);
    ASSERT_NEAR(product(moved, moved), product(q, q), 1e-6 * product(q, q));
  }
}

TEST(RopeProperty, layouts_are_one_rotation_permuted) {
  for (int number = 0; number < test::property_cases(60); ++number) {
    SCOPED_TRACE(number);
    const RopeCase c = draw_rope_case(number + 3000);
    RandomStream random(static_cast<std::uint64_t>(number), "rope layouts");
    const auto f = rope_frequencies(c.rope, c.head_dim);
    auto pairs = test::draw_normals(random, static_cast<std::size_t>(c.head_dim));
    auto halves = pairs;
    for (std::size_t i = 0; i < f.size(); ++i) {
      halves[i] = pairs[2 * i];
      halves[i + f.size()] = pairs[2 * i + 1];
    }
    const std::int64_t position = random.integer(0, 100000);
    rotate_heads(pairs, c.head_dim, f, RopeLayout::Interleaved, 1.25, position);
    rotate_heads(halves, c.head_dim, f, RopeLayout::HalfSplit, 1.25, position);
    for (std::size_t i = 0; i < f.size(); ++i) {
      ASSERT_EQ(halves[i], pairs[2 * i]);
      ASSERT_EQ(halves[i + f.size()], pairs[2 * i + 1]);
    }
  }
}

}  // namespace
}  // namespace tandem::ops
