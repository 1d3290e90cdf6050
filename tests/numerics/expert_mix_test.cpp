// Do dense blocks, experts and their sum compute what their formulas say?
#include "sim/numerics/ops/expert_mix.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

using Values = std::vector<float>;

TEST(Ffn, gated_and_plain_on_paper) {
  // hidden 1, inner 2. x = 2: gate (ln 3, 0) with weights (ln 3 / 2, 0); up (4, 6); silu(gate) =
  // (0.75 ln 3, 0): inner (3 ln 3, 0); down (1, 1).
  const float ln3 = std::log(3.0F);
  const Values gate{ln3 / 2, 0}, up{2, 3}, down{1, 1};
  Values out(1);
  ffn({gate, up, down, {}, {}, {}}, ActivationKind::Silu, {}, Values{2}, out);
  EXPECT_FLOAT_EQ(out[0], 3 * ln3);
  // Without a gate: gelu(4) + gelu(6) = 3.9998733 + 6.
  ffn({{}, up, down, {}, {}, {}}, ActivationKind::Gelu, {}, Values{2}, out);
  EXPECT_FLOAT_EQ(out[0], 9.9998733F);
}

TEST(Ffn, biases_enter_before_the_activation_and_after_down) {
  // gate 0 x + ln 3, up 0 x + 4, down 1 * (0.75 ln 3 * 4) + 100.
  const float ln3 = std::log(3.0F);
  const Values zero{0}, one{1}, gate_bias{ln3}, up_bias{4}, down_bias{100};
  Values x{7};
  ffn({zero, zero, one, gate_bias, up_bias, down_bias}, ActivationKind::Silu, {}, x, x);
  EXPECT_FLOAT_EQ(x[0], 3 * ln3 + 100);
}

TEST(Ffn, bfloat16_rounds_after_every_step) {
  // up 257 rounds to 256 (a tie goes to even), so down 1 * 256 + bias 1 = 257 -> 256; unrounded
  // it would be 258. gelu leaves 256.
  const Values up{257}, down{1}, bias{1};
  Values out(1);
  ffn({{}, up, down, {}, {}, bias}, ActivationKind::Gelu, {ElementType::Bfloat16}, Values{1}, out);
  EXPECT_EQ(out[0], 256.0F);
  ffn({{}, up, down, {}, {}, bias}, ActivationKind::Gelu, {}, Values{1}, out);
  EXPECT_EQ(out[0], 258.0F);
}

TEST(Ffn, bfloat16_rounds_the_activation_before_it_enters_the_product) {
  // silu(x) = x here: 129 * 129 = 16641 rounds to 130 * 128 = 16640, and 128 * 129 = 16512 is of
  // the type. 16640 - 16512 = 128, where the unrounded product would give 129, which also is.
  const Values gate{129, 128}, up{129, 129}, down{1, -1};
  Values out(1);
  ffn({gate, up, down, {}, {}, {}}, ActivationKind::Silu, {ElementType::Bfloat16}, Values{1}, out);
  EXPECT_EQ(out[0], 128.0F);
  ffn({gate, up, down, {}, {}, {}}, ActivationKind::Silu, {}, Values{1}, out);
  EXPECT_EQ(out[0], 129.0F);
}

TEST(ExpertMix, weighs_experts_and_adds_the_shared_one) {
  // Experts that give 4 x, 5 x, 6 x for large x: up weight 1, gelu(x) = x, down weight 4, 5, 6.
  // Routes: 0.5 of expert 2, 0.25 of expert 0, x = 100: 300 + 100. Shared 7 x: + 700; gated by
  // sigmoid(0) it is 350.
  const Values one{1}, four{4}, five{5}, six{6}, seven{7}, closed{0};
  const auto block = [&](const Values& down) { return FfnWeights{{}, one, down, {}, {}, {}}; };
  const std::vector<FfnWeights> experts{block(four), block(five), block(six)};
  const std::vector<Route> routes{{2, 0.5F}, {0, 0.25F}};
  const auto mix = [&](const SharedExpert& shared) {
    Values x{100};
    expert_mix(routes, experts, shared, ActivationKind::Gelu, {}, x, x);
    return x[0];
  };
  EXPECT_EQ(mix({}), 400.0F);
  EXPECT_EQ(mix({block(seven), {}}), 1100.0F);
  EXPECT_EQ(mix({block(seven), closed}), 750.0F);
}

TEST(ExpertMix, sums_in_route_order_and_rounds_once) {
  // Outputs 2^24, 1 and -2^24 in floats: (2^24 + 1) - 2^24 = 0, as 2^24 + 1 rounds to 2^24, while
  // (2^24 - 2^24) + 1 = 1.
  const Values one{1}, big{0x1p24F}, minus{-0x1p24F}, unit{1};
  const auto block = [&](const Values& bias) { return FfnWeights{{}, one, {}, {}, {}, bias}; };
  // down [1, 1] of weight 0 leaves the bias.
  const Values zero{0};
  std::vector<FfnWeights> experts{block(big), block(unit), block(minus)};
  for (FfnWeights& e : experts) e.down = zero;
  Values out(1);
  const std::vector<Route> given{{0, 1}, {1, 1}, {2, 1}};
  expert_mix(given, experts, {}, ActivationKind::Silu, {}, Values{1}, out);
  EXPECT_EQ(out[0], 0.0F);
  const std::vector<Route> other{{0, 1}, {2, 1}, {1, 1}};
  expert_mix(other, experts, {}, ActivationKind::Silu, {}, Values{1}, out);
  EXPECT_EQ(out[0], 1.0F);
  // bfloat16: outputs are 256 and 1; 256 + 1 + 1 is 258 where only the end is rounded.
  const Values b256{256};
  experts = {block(b256), block(unit)};
  for (FfnWeights& e : experts) e.down = zero;
  const std::vector<Route> twice{{0, 1}, {1, 1}, {1, 1}};
  expert_mix(twice, experts, {}, ActivationKind::Silu, {ElementType::Bfloat16}, Values{1}, out);
  EXPECT_EQ(out[0], 258.0F);
}

TEST(ExpertMix, refuses_experts_that_are_not_there) {
  const Values one{1};
  const std::vector<FfnWeights> experts{{{}, one, one, {}, {}, {}}};
  Values out(1);
  for (const std::int32_t expert : {-1, 1}) {
    const std::vector<Route> routes{{expert, 1.0F}};
    EXPECT_THROW(expert_mix(routes, experts, {}, ActivationKind::Silu, {}, one, out), ModelError);
    EXPECT_THROW((void)spread_tokens(routes, 1, 1), ModelError);
  }
}

TEST(SpreadTokens, sorts_rows_by_expert_and_keeps_tokens_in_order) {
  // Token 0: experts 2, 0. Token 1: 2, 1. Token 2: 0, 2. Expert 3 has no rows.
  const std::vector<Route> routes{{2, 0.1F}, {0, 0.2F}, {2, 0.3F}, {1, 0.4F}, {0, 0.5F}, {2, 0.6F}};
  const ExpertRows spread = spread_tokens(routes, 2, 4);
  EXPECT_EQ(spread.first, (std::vector<std::int64_t>{0, 2, 3, 6, 6}));
  EXPECT_EQ(
      spread.rows,
      (std::vector<ExpertRow>{
          {0, 1, 0.2F}, {2, 0, 0.5F}, {1, 1, 0.4F}, {0, 0, 0.1F}, {1, 0, 0.3F}, {2, 1, 0.6F}}));
  EXPECT_EQ(spread.count(2), 3);
  EXPECT_EQ(spread.count(3), 0);
  EXPECT_EQ(spread_tokens({}, 2, 4).first, (std::vector<std::int64_t>(5, 0)));
  EXPECT_THROW((void)spread_tokens(routes, 4, 4), ModelError);
}

/// A block that owns its weights.
struct Block {
  Values gate, up, down, gate_bias, up_bias, down_bias;
  [[nodiscard]] FfnWeights view() const { return {gate, up, down, gate_bias, up_bias, down_bias}; }
};

Values normals(RandomStream& random, std::int64_t count, double deviation) {
  Values values;
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(deviation * random.normal()));
  }
  return values;
}

struct MixCase {
  std::int64_t hidden = 0;
  ActivationKind kind = ActivationKind::Silu;
  std::vector<Block> blocks;
  Block shared;
  Values shared_gate;
  [[nodiscard]] std::vector<FfnWeights> views() const {
    std::vector<FfnWeights> all;
    for (const Block& b : blocks) all.push_back(b.view());
    return all;
  }
};

Block random_block(RandomStream& random, std::int64_t hidden, std::int64_t inner, bool gated,
                   bool biased) {
  const double narrow = 1 / std::sqrt(static_cast<double>(hidden));
  Block b;
  if (gated) b.gate = normals(random, inner * hidden, narrow);
  b.up = normals(random, inner * hidden, narrow);
  b.down = normals(random, inner * hidden, 1 / std::sqrt(static_cast<double>(inner)));
  if (biased) {
    if (gated) b.gate_bias = normals(random, inner, 0.5);
    b.up_bias = normals(random, inner, 0.5);
    b.down_bias = normals(random, hidden, 0.5);
  }
  return b;
}

MixCase random_mix_case(RandomStream& random) {
  MixCase c;
  c.hidden = random.integer(1, 12);
  c.kind = static_cast<ActivationKind>(random.integer(0, 3));
  const std::int64_t inner = random.integer(1, 12);
  const bool gated = c.kind == ActivationKind::ClampedSwiglu || random.integer(0, 1) == 1;
  const bool biased = random.integer(0, 1) == 1;
  const std::int64_t experts = random.integer(1, 8);
  for (std::int64_t e = 0; e < experts; ++e) {
    c.blocks.push_back(random_block(random, c.hidden, inner, gated, biased));
  }
  if (random.integer(0, 1) == 1) {
    c.shared = random_block(random, c.hidden, random.integer(1, 12), gated, biased);
    if (random.integer(0, 1) == 1) c.shared_gate = normals(random, c.hidden, 1);
  }
  return c;
}

/// Distinct experts with any weights; one expert and all of them included.
std::vector<Route> random_routes(RandomStream& random, std::int64_t experts, std::int64_t top_k) {
  std::vector<std::int32_t> order;
  for (std::int64_t e = 0; e < experts; ++e) order.push_back(static_cast<std::int32_t>(e));
  std::vector<Route> routes;
  for (std::int64_t i = 0; i < top_k; ++i) {
    const auto at = static_cast<std::size_t>(random.integer(i, experts - 1));
    std::swap(order[static_cast<std::size_t>(i)], order[at]);
    routes.push_back({order[static_cast<std::size_t>(i)], static_cast<float>(random.uniform())});
  }
  return routes;
}

double activate(ActivationKind kind, bool gated, double g, double u) {
  const double x = gated ? g : u;
  double y = 0;
  switch (kind) {
    case ActivationKind::Silu:
      y = x / (1 + std::exp(-x));
      break;
    case ActivationKind::Gelu:
      y = x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
      break;
    case ActivationKind::GeluTanh:
      y = x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
      break;
    case ActivationKind::ClampedSwiglu:
      return std::min(g, 7.0) / (1 + std::exp(-1.702 * std::min(g, 7.0))) *
             (std::clamp(u, -7.0, 7.0) + 1);
  }
  return gated ? y * u : y;
}

double row_double(const Values& weight, const Values& bias, std::size_t row,
                  const std::vector<double>& x) {
  double sum = bias.empty() ? 0.0 : static_cast<double>(bias[row]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    sum += static_cast<double>(weight[row * x.size() + i]) * x[i];
  }
  return sum;
}

void add_block(const Block& b, ActivationKind kind, double factor, const std::vector<double>& x,
               std::vector<double>& sum) {
  std::vector<double> inner(b.up.size() / x.size());
  for (std::size_t i = 0; i < inner.size(); ++i) {
    const bool gated = !b.gate.empty();
    const double g = gated ? row_double(b.gate, b.gate_bias, i, x) : 0.0;
    inner[i] = activate(kind, gated, g, row_double(b.up, b.up_bias, i, x));
  }
  for (std::size_t i = 0; i < sum.size(); ++i) {
    sum[i] += factor * row_double(b.down, b.down_bias, i, inner);
  }
}

/// Dense over all experts: each with the sum of its routes' weights, most of them zero.
std::vector<double> brute_force(const MixCase& c, const std::vector<Route>& routes,
                                const Values& x) {
  const std::vector<double> wide(x.begin(), x.end());
  std::vector<double> sum(x.size(), 0.0);
  for (std::size_t e = 0; e < c.blocks.size(); ++e) {
    double weight = 0;
    for (const Route& r : routes) {
      if (static_cast<std::size_t>(r.expert) == e) weight += static_cast<double>(r.weight);
    }
    add_block(c.blocks[e], c.kind, weight, wide, sum);
  }
  if (!c.shared.up.empty()) {
    const double gate =
        c.shared_gate.empty() ? 1 : 1 / (1 + std::exp(-row_double(c.shared_gate, {}, 0, wide)));
    add_block(c.shared, c.kind, gate, wide, sum);
  }
  return sum;
}

TEST(ExpertMixProperty, equals_the_dense_sum_over_all_experts) {
  for (int i = 0; i < test::property_cases(500); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "expert mix");
    const MixCase c = random_mix_case(random);
    const auto count = static_cast<std::int64_t>(c.blocks.size());
    const auto routes = random_routes(random, count, random.integer(1, count));
    const Values x = normals(random, c.hidden, 1);
    const auto expected = brute_force(c, routes, x);
    Values out(x.size());
    expert_mix(routes, c.views(), {c.shared.view(), c.shared_gate}, c.kind, {}, x, out);
    for (std::size_t j = 0; j < out.size(); ++j) {
      ASSERT_NEAR(static_cast<double>(out[j]), expected[j], 2e-5) << "element " << j;
    }
    // bfloat16: the result is of that type, and near (weights and x keep their float values here).
    expert_mix(routes, c.views(), {c.shared.view(), c.shared_gate}, c.kind, {ElementType::Bfloat16},
               x, out);
    for (std::size_t j = 0; j < out.size(); ++j) {
      ASSERT_EQ(out[j], round_to(ElementType::Bfloat16, out[j]));
      ASSERT_NEAR(static_cast<double>(out[j]), expected[j], 0.5) << "element " << j;
    }
  }
}

TEST(ExpertMixProperty, shared_experts_side_by_side_are_one_wide_block) {
  for (int i = 0; i < test::property_cases(50); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "wide block");
    const std::int64_t hidden = random.integer(1, 8);
    const Block a = random_block(random, hidden, random.integer(1, 6), true, false);
    const Block b = random_block(random, hidden, random.integer(1, 6), true, false);
    const std::size_t inner_a = a.up.size() / static_cast<std::size_t>(hidden);
    const std::size_t inner_b = b.up.size() / static_cast<std::size_t>(hidden);
    Block wide = a;
    wide.gate.insert(wide.gate.end(), b.gate.begin(), b.gate.end());
    wide.up.insert(wide.up.end(), b.up.begin(), b.up.end());
    wide.down.clear();
    for (std::size_t row = 0; row < static_cast<std::size_t>(hidden); ++row) {
      for (std::size_t m = 0; m < inner_a; ++m) wide.down.push_back(a.down[row * inner_a + m]);
      for (std::size_t m = 0; m < inner_b; ++m) wide.down.push_back(b.down[row * inner_b + m]);
    }
    const Values x = normals(random, hidden, 1);
    Values left(x.size()), right(x.size()), both(x.size());
    ffn(a.view(), ActivationKind::Silu, {}, x, left);
    ffn(b.view(), ActivationKind::Silu, {}, x, right);
    ffn(wide.view(), ActivationKind::Silu, {}, x, both);
    for (std::size_t j = 0; j < x.size(); ++j) ASSERT_NEAR(both[j], left[j] + right[j], 1e-5F);
  }
}

TEST(SpreadTokensProperty, grouped_by_expert_gives_what_each_token_gives_alone) {
  for (int i = 0; i < test::property_cases(100); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "spread tokens");
    MixCase c = random_mix_case(random);
    c.shared = {};
    const auto experts = static_cast<std::int64_t>(c.blocks.size());
    const std::int64_t top_k = random.integer(1, experts);
    const std::int64_t tokens = random.integer(1, 9);
    std::vector<Route> routes;
    std::vector<Values> x, alone, grouped;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const auto mine = random_routes(random, experts, top_k);
      routes.insert(routes.end(), mine.begin(), mine.end());
      x.push_back(normals(random, c.hidden, 1));
      alone.emplace_back(x.back().size());
      expert_mix(mine, c.views(), {}, c.kind, {}, x.back(), alone.back());
      grouped.emplace_back(x.back().size(), 0.0F);
    }
    const ExpertRows spread = spread_tokens(routes, top_k, experts);
    ASSERT_EQ(spread.first.back(), tokens * top_k);
    std::vector<int> seen(routes.size(), 0);
    for (std::int64_t e = 0; e < experts; ++e) {
      for (std::int64_t at = 0; at < spread.count(e); ++at) {
        const ExpertRow& row =
            spread.rows[static_cast<std::size_t>(spread.first[static_cast<std::size_t>(e)] + at)];
        const auto route_index = static_cast<std::size_t>(row.token * top_k + row.rank);
        ++seen[route_index];
        ASSERT_EQ(routes[route_index], (Route{static_cast<std::int32_t>(e), row.weight}));
        const auto t = static_cast<std::size_t>(row.token);
        Values one(x[t].size());
        ffn(c.blocks[static_cast<std::size_t>(e)].view(), c.kind, {}, x[t], one);
        for (std::size_t j = 0; j < one.size(); ++j) grouped[t][j] += row.weight * one[j];
      }
    }
    ASSERT_EQ(seen, std::vector<int>(routes.size(), 1));
    for (std::size_t t = 0; t < x.size(); ++t) {
      for (std::size_t j = 0; j < x[t].size(); ++j) {
        ASSERT_NEAR(grouped[t][j], alone[t][j], 1e-5F);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::ops
