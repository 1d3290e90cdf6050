// Does attention agree with a derivation in double, and with itself seen another way, on random
// shapes?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "sim/core/integers.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/ops/attention.hpp"
#include "tests/numerics/draw.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

/// A random attention with its operands; rows are longer than their heads need.
struct AttentionCase {
  AttentionShape shape;
  std::int64_t tokens = 0;
  std::int64_t k_stride = 0;
  std::int64_t v_stride = 0;
  std::vector<float> q, k, v, sinks;

  [[nodiscard]] CacheRows keys() const { return {k, k_stride, tokens}; }
  [[nodiscard]] CacheRows values() const { return {v, v_stride, tokens}; }
  [[nodiscard]] std::size_t out_size() const {
    return static_cast<std::size_t>(shape.heads * shape.head_dim);
  }
  [[nodiscard]] std::vector<float> run(const Arithmetic& arithmetic = {}) const {
    std::vector<float> out(out_size());
    attention(shape, q, keys(), values(), sinks, arithmetic, out);
    return out;
  }
};

/// The first cases are the edges: one head, one token, a window of one or past all tokens.
AttentionCase draw_attention_case(int number) {
  RandomStream random(static_cast<std::uint64_t>(number), "attention");
  AttentionCase drawn;
  drawn.shape.kv_heads = number % 5 == 0 ? 1 : random.integer(1, 4);
  drawn.shape.heads = drawn.shape.kv_heads * (number % 3 == 0 ? 1 : random.integer(1, 5));
  drawn.shape.head_dim = number % 7 == 0 ? 1 : random.integer(1, 24);
  drawn.tokens = number % 11 == 0 ? 1 : random.integer(1, 33);
  drawn.shape.window = number % 4 == 0 ? 0 : random.integer(1, 40);
  drawn.shape.scale = number % 2 == 0 ? 0 : 0.05 + random.uniform();
  drawn.shape.softcap = number % 6 == 1 ? 0.5 + 5 * random.uniform() : 0;
  const std::int64_t width = drawn.shape.kv_heads * drawn.shape.head_dim;
  drawn.k_stride = width + random.integer(0, 5);
  drawn.v_stride = width + random.integer(0, 5);
  drawn.q = test::draw_normals(random, drawn.out_size());
  drawn.k = test::draw_normals(random, index_of((drawn.tokens - 1) * drawn.k_stride + width));
  drawn.v = test::draw_normals(random, index_of((drawn.tokens - 1) * drawn.v_stride + width));
  if (number % 3 == 1) {
    drawn.sinks = test::draw_normals(random, index_of(drawn.shape.heads), 2);
  }
  return drawn;
}

/// The formula in double over all keys, with a mask instead of a slice.
std::vector<double> attention_by_hand(const AttentionCase& c) {
  const std::int64_t dim = c.shape.head_dim;
  const std::int64_t group = c.shape.heads / c.shape.kv_heads;
  const double scale = c.shape.scale == 0 ? 1 / std::sqrt(static_cast<double>(dim)) : c.shape.scale;
  std::vector<double> out(c.out_size(), 0.0);
  for (std::int64_t h = 0; h < c.shape.heads; ++h) {
    std::vector<double> weight(index_of(c.tokens), 0.0);
    double sum = c.sinks.empty() ? 0 : std::exp(static_cast<double>(c.sinks[index_of(h)]));
    for (std::int64_t j = 0; j < c.tokens; ++j) {
      const std::int64_t i = c.tokens - 1;  // the query: key j is visible iff i - w < j <= i
      if (c.shape.window > 0 && j <= i - c.shape.window) continue;
      double score = 0;
      for (std::int64_t x = 0; x < dim; ++x) {
        score += static_cast<double>(c.q[index_of(h * dim + x)]) *
                 c.k[index_of(j * c.k_stride + h / group * dim + x)];
      }
      score *= scale;
      if (c.shape.softcap > 0) score = c.shape.softcap * std::tanh(score / c.shape.softcap);
      weight[index_of(j)] = std::exp(score);
      sum += weight[index_of(j)];
    }
    for (std::int64_t x = 0; x < dim; ++x) {
      for (std::int64_t j = 0; j < c.tokens; ++j) {
        out[index_of(h * dim + x)] +=
            weight[index_of(j)] / sum * c.v[index_of(j * c.v_stride + h / group * dim + x)];
      }
    }
  }
  return out;
}

double largest_of(const std::vector<float>& values) {
  double result = 0;
  for (const float value : values) result = std::max(result, std::abs(static_cast<double>(value)));
  return result;
}

TEST(AttentionProperty, agrees_with_double) {
  for (int number = 0; number < test::property_cases(320); ++number) {
    SCOPED_TRACE(number);
    const AttentionCase c = draw_attention_case(number);
    const auto expected = attention_by_hand(c);
    const auto found = c.run();
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 1e-5 * largest_of(c.v)) << "element " << i;
    }
  }
}

TEST(AttentionProperty, in_bfloat16_is_off_by_its_two_roundings_at_most) {
  // Weights and result lose 2^-8 each, relative to the largest value; a little for fp32 inside.
  for (int number = 0; number < test::property_cases(60); ++number) {
    SCOPED_TRACE(number);
    AttentionCase c = draw_attention_case(number + 1000);
    const Arithmetic bf16{ElementType::Bfloat16};
    bf16.round(c.q);
    bf16.round(c.k);
    bf16.round(c.v);
    const auto expected = attention_by_hand(c);
    const auto found = c.run(bf16);
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], 1.02 * 0x1p-7 * largest_of(c.v)) << "element " << i;
      ASSERT_EQ(found[i], bf16.rounded(found[i]));
    }
  }
}

TEST(AttentionProperty, is_itself_seen_another_way) {
  for (int number = 0; number < test::property_cases(120); ++number) {
    SCOPED_TRACE(number);
    const AttentionCase c = draw_attention_case(number + 2000);
    const auto found = c.run();

    // A window is full attention over the last tokens.
    AttentionCase slice = c;
    if (c.shape.window > 0 && c.shape.window < c.tokens) {
      const std::int64_t skipped = c.tokens - c.shape.window;
      slice.k.erase(slice.k.begin(), slice.k.begin() + skipped * c.k_stride);
      slice.v.erase(slice.v.begin(), slice.v.begin() + skipped * c.v_stride);
      slice.tokens = c.shape.window;
    }
    slice.shape.window = 0;
    ASSERT_EQ(slice.run(), found);

    // Grouped queries are as many KV heads, each repeated.
    AttentionCase repeated = c;
    repeated.shape.kv_heads = c.shape.heads;
    repeated.k.clear();
    repeated.v.clear();
    repeated.k_stride = repeated.v_stride = c.shape.heads * c.shape.head_dim;
    for (std::int64_t t = 0; t < c.tokens; ++t) {
      for (std::int64_t h = 0; h < c.shape.heads; ++h) {
        const std::int64_t column = h / (c.shape.heads / c.shape.kv_heads) * c.shape.head_dim;
        const auto k = c.k.begin() + t * c.k_stride + column;
        const auto v = c.v.begin() + t * c.v_stride + column;
        repeated.k.insert(repeated.k.end(), k, k + c.shape.head_dim);
        repeated.v.insert(repeated.v.end(), v, v + c.shape.head_dim);
      }
    }
    ASSERT_EQ(repeated.run(), found);

    // A sink of -inf is none.
    AttentionCase none = c;
    none.sinks.clear();
    AttentionCase sunk = c;
    sunk.sinks.assign(index_of(c.shape.heads), -std::numeric_limits<float>::infinity());
    ASSERT_EQ(sunk.run(), none.run());

    // A cap far above every score changes nothing but rounding.
    AttentionCase capped = none;
    none.shape.softcap = 0;
    capped.shape.softcap = 1e4;
    const auto uncapped = none.run();
    const auto with_cap = capped.run();
    for (std::size_t i = 0; i < uncapped.size(); ++i) {
      ASSERT_NEAR(with_cap[i], uncapped[i], 2e-5 * largest_of(c.v));
    }
  }
}

}  // namespace
}  // namespace tandem::ops
