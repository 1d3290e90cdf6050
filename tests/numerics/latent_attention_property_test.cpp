// Are the naive and the absorbed form of latent attention one function, and is it the formula, on
// random shapes? Does the indexer agree with a full sort?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "sim/core/integers.hpp"
#include "sim/core/random.hpp"
#include "sim/numerics/ops/latent_attention.hpp"
#include "tests/numerics/draw.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

struct LatentCase {
  LatentShape shape;
  std::int64_t tokens = 0;
  std::int64_t stride = 0;  ///< of latent and rotated key in one row, as serving systems keep them
  std::vector<float> q, up, rows;
  std::vector<std::int32_t> chosen;

  [[nodiscard]] CacheRows latent() const { return {rows, stride, tokens}; }
  [[nodiscard]] CacheRows rope_keys() const {
    return {std::span(rows).subspan(static_cast<std::size_t>(shape.kv_rank)), stride, tokens};
  }
};

LatentCase draw_latent_case(int number) {
  RandomStream random(static_cast<std::uint64_t>(number), "latent attention");
  LatentCase drawn;
  drawn.shape.heads = number % 5 == 0 ? 1 : random.integer(1, 6);
  drawn.shape.kv_rank = random.integer(1, 24);
  drawn.shape.nope_dim = random.integer(1, 16);
  drawn.shape.rope_dim = number % 13 == 0 ? 0 : 2 * random.integer(1, 6);
  drawn.shape.value_dim = random.integer(1, 16);
  drawn.shape.scale_factor = number % 2 == 0 ? 1.0 : 1.873854;
  drawn.tokens = number % 7 == 0 ? 1 : random.integer(1, 40);
  drawn.stride = drawn.shape.cached_elements() + random.integer(0, 3);
  drawn.q = test::draw_normals(random, index_of(drawn.shape.heads * drawn.shape.query_dim()));
  drawn.up = test::draw_normals(
      random,
      index_of(drawn.shape.heads * (drawn.shape.nope_dim + drawn.shape.value_dim) *
               drawn.shape.kv_rank),
      1 / std::sqrt(static_cast<double>(drawn.shape.kv_rank)));
  drawn.rows = test::draw_normals(random, index_of(drawn.tokens * drawn.stride));
  if (number % 3 == 0) {
    for (std::int32_t t = 0; t < drawn.tokens; ++t) {
      if (random.uniform() < 0.5 || t + 1 == drawn.tokens) drawn.chosen.push_back(t);
    }
  }
  return drawn;
}

/// Score and value of one head at one token, in double.
struct Looked {
  double score = 0;
  std::vector<double> value;
};

Looked look(const LatentCase& c, std::int64_t head, std::int64_t token) {
  const LatentShape& s = c.shape;
  const auto at_row = [&](std::int64_t i) {
    return static_cast<double>(c.rows[index_of(token * c.stride + i)]);
  };
  const auto query = [&](std::int64_t i) {
    return static_cast<double>(c.q[index_of(head * s.query_dim() + i)]);
  };
  const auto taken_up = [&](std::int64_t row) {
    double sum = 0;
    for (std::int64_t r = 0; r < s.kv_rank; ++r) {
      const std::int64_t line = head * (s.nope_dim + s.value_dim) + row;
      sum += static_cast<double>(c.up[index_of(line * s.kv_rank + r)]) * at_row(r);
    }
    return sum;
  };
  Looked result;
  for (std::int64_t i = 0; i < s.nope_dim; ++i) result.score += query(i) * taken_up(i);
  for (std::int64_t i = 0; i < s.rope_dim; ++i) {
    result.score += query(s.nope_dim + i) * at_row(s.kv_rank + i);
  }
  result.score *= s.scale_factor / std::sqrt(static_cast<double>(s.query_dim()));
  for (std::int64_t i = 0; i < s.value_dim; ++i) result.value.push_back(taken_up(s.nope_dim + i));
  return result;
}

std::vector<double> latent_by_hand(const LatentCase& c) {
  std::vector<double> out(index_of(c.shape.heads * c.shape.value_dim), 0.0);
  for (std::int64_t head = 0; head < c.shape.heads; ++head) {
    double sum = 0;
    for (std::int32_t token = 0; token < c.tokens; ++token) {
      const bool counts =
          c.chosen.empty() || std::find(c.chosen.begin(), c.chosen.end(), token) != c.chosen.end();
      if (!counts) continue;
      const Looked looked = look(c, head, token);
      sum += std::exp(looked.score);
      for (std::size_t i = 0; i < looked.value.size(); ++i) {
        out[index_of(head * c.shape.value_dim) + i] += std::exp(looked.score) * looked.value[i];
      }
    }
    for (std::int64_t i = 0; i < c.shape.value_dim; ++i) {
      out[index_of(head * c.shape.value_dim + i)] /= sum;
    }
  }
  return out;
}

struct Both {
  std::vector<float> naive, absorbed;
};

Both run(const LatentCase& c, const Arithmetic& arithmetic) {
  Both both;
  both.naive.resize(index_of(c.shape.heads * c.shape.value_dim));
  both.absorbed.resize(both.naive.size());
  latent_attention_naive(c.shape, c.q, c.up, c.latent(), c.rope_keys(), c.chosen, arithmetic,
                         both.naive);
  latent_attention_absorbed(c.shape, c.q, c.up, c.latent(), c.rope_keys(), c.chosen, arithmetic,
                            both.absorbed);
  return both;
}

TEST(LatentAttentionProperty, both_forms_are_the_formula) {
  for (int number = 0; number < test::property_cases(160); ++number) {
    SCOPED_TRACE(number);
    const LatentCase c = draw_latent_case(number);
    const auto expected = latent_by_hand(c);
    const Both both = run(c, {});
    double largest = 1;
    for (const double value : expected) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(both.naive[i], expected[i], 1e-5 * largest);
      ASSERT_NEAR(both.absorbed[i], expected[i], 1e-5 * largest);
      ASSERT_NEAR(both.absorbed[i], both.naive[i], 1e-5 * largest);
    }
  }
}

TEST(LatentAttentionProperty, both_forms_stay_near_in_float16) {
  // Three roundings of 2^-11 on the way of a score, which reaches about 20, put a weight off by
  // 20 x 3 x 2^-11 = 3 % of itself at the worst; random signs leave less than 2 % of a value.
  const Arithmetic half{ElementType::Float16};
  for (int number = 0; number < test::property_cases(40); ++number) {
    SCOPED_TRACE(number);
    LatentCase c = draw_latent_case(number + 1000);
    half.round(c.q);
    half.round(c.up);
    half.round(c.rows);
    const auto expected = latent_by_hand(c);
    const Both both = run(c, half);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(both.naive[i], expected[i], 0.02);
      ASSERT_NEAR(both.absorbed[i], expected[i], 0.02);
      ASSERT_EQ(both.absorbed[i], half.rounded(both.absorbed[i]));
    }
  }
}

TEST(IndexerProperty, agrees_with_double_and_with_a_full_sort) {
  for (int number = 0; number < test::property_cases(120); ++number) {
    SCOPED_TRACE(number);
    RandomStream random(static_cast<std::uint64_t>(number), "indexer");
    const IndexerShape shape{random.integer(1, 8), random.integer(1, 16), random.integer(1, 50)};
    const std::int64_t tokens = random.integer(1, 60);
    const std::int64_t stride = shape.head_dim + random.integer(0, 3);
    const auto q = test::draw_normals(random, index_of(shape.heads * shape.head_dim));
    const auto weights = test::draw_normals(random, index_of(shape.heads));
    const auto keys = test::draw_normals(random, index_of(tokens * stride));
    const auto scores = index_scores(shape, q, weights, {keys, stride, tokens}, {});
    for (std::int64_t t = 0; t < tokens; ++t) {
      double expected = 0;
      for (std::int64_t h = 0; h < shape.heads; ++h) {
        double product = 0;
        for (std::int64_t i = 0; i < shape.head_dim; ++i) {
          product += static_cast<double>(q[index_of(h * shape.head_dim + i)]) *
                     keys[index_of(t * stride + i)];
        }
        expected += weights[index_of(h)] * std::max(product, 0.0);
      }
      ASSERT_NEAR(scores[index_of(t)], expected, 1e-4);
    }
    // Few distinct values, so that ties are common.
    std::vector<float> ties(index_of(tokens));
    for (float& value : ties) value = static_cast<float>(random.integer(0, 4));
    std::vector<std::int32_t> order(ties.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
      return ties[index_of(a)] > ties[index_of(b)];
    });
    order.resize(std::min(order.size(), index_of(shape.top_k)));
    std::sort(order.begin(), order.end());
    ASSERT_EQ(choose_top(ties, shape.top_k), order);
  }
}

}  // namespace
}  // namespace tandem::ops
