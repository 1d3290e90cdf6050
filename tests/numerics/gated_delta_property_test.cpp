// Random gated delta layers: both forms against each other and against the rule in another
// algebraic form, in double; snapshots; the convolution in pieces.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/ops/gated_delta.hpp"
#include "tests/support/property.hpp"

namespace tandem::ops {
namespace {

struct DeltaCase {
  GatedDeltaShape shape;
  std::int64_t count = 0;
  std::vector<float> q, k, v, g, beta, state;
  /// Tokens [begin, end).
  [[nodiscard]] GatedDeltaTokens view(std::int64_t begin, std::int64_t end) const {
    const auto part = [&](const std::vector<float>& values, std::int64_t width) {
      return std::span(values).subspan(static_cast<std::size_t>(begin * width),
                                       static_cast<std::size_t>((end - begin) * width));
    };
    const std::int64_t keys = shape.key_heads * shape.key_dim;
    return {part(q, keys),
            part(k, keys),
            part(v, shape.value_width()),
            part(g, shape.value_heads),
            part(beta, shape.value_heads),
            end - begin};
  }
  [[nodiscard]] GatedDeltaTokens view() const { return view(0, count); }
  [[nodiscard]] std::vector<float> out() const {
    return std::vector<float>(static_cast<std::size_t>(count * shape.value_width()));
  }
};

std::vector<float> normals(RandomStream& random, std::int64_t count) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(random.normal()));
  return values;
}

/// A log decay or a write strength, often at an edge.
float edgy(RandomStream& random, float low_edge, float high_edge) {
  const std::int64_t pick = random.integer(0, 9);
  if (pick == 0) return low_edge;
  return pick == 1 ? high_edge : static_cast<float>(random.uniform());
}

DeltaCase make_case(const GatedDeltaShape& shape, std::int64_t count, bool zero_state,
                    RandomStream& random) {
  DeltaCase c;
  c.shape = shape;
  c.count = count;
  c.q = normals(random, count * shape.key_heads * shape.key_dim);
  c.k = normals(random, count * shape.key_heads * shape.key_dim);
  l2_normalise_heads(c.q, shape.key_dim);
  l2_normalise_heads(c.k, shape.key_dim);
  c.v = normals(random, count * shape.value_width());
  for (std::int64_t i = 0; i < count * shape.value_heads; ++i) {
    c.g.push_back(-edgy(random, 0.0F, 300.0F));
    c.beta.push_back(edgy(random, 0.0F, 1.0F));
  }
  c.state = normals(random, shape.state_elements());
  if (zero_state) c.state.assign(c.state.size(), 0.0F);
  return c;
}

DeltaCase random_delta_case(RandomStream& random) {
  GatedDeltaShape shape;
  shape.key_heads = random.integer(1, 3);
  shape.value_heads = shape.key_heads * random.integer(1, 3);
  shape.key_dim = random.integer(1, 12);
  shape.value_dim = random.integer(1, 12);
  shape.chunk = random.integer(1, 16);
  return make_case(shape, random.integer(1, 40), random.integer(0, 3) == 0, random);
}

void expect_near(std::span<const float> a, std::span<const float> b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(a[i]), static_cast<double>(b[i]), tolerance) << "element " << i;
  }
}

/// The same rule as a matrix recurrence, S <- e^g (I - beta k k^T) S + beta k v^T, in double.
struct Oracle {
  std::vector<float> out, state;
};

Oracle oracle(const DeltaCase& c) {
  const auto dk = static_cast<std::size_t>(c.shape.key_dim);
  const auto dv = static_cast<std::size_t>(c.shape.value_dim);
  const auto heads = static_cast<std::size_t>(c.shape.value_heads);
  const std::size_t group = heads / static_cast<std::size_t>(c.shape.key_heads);
  Oracle result{c.out(), c.state};
  for (std::size_t h = 0; h < heads; ++h) {
    std::vector<double> s(c.state.begin() + static_cast<std::ptrdiff_t>(h * dk * dv),
                          c.state.begin() + static_cast<std::ptrdiff_t>((h + 1) * dk * dv));
    for (std::size_t t = 0; t < static_cast<std::size_t>(c.count); ++t) {
      const float* k = &c.k[(t * (heads / group) + h / group) * dk];
      const float* q = &c.q[(t * (heads / group) + h / group) * dk];
      const float* v = &c.v[(t * heads + h) * dv];
      const double decay = std::exp(static_cast<double>(c.g[t * heads + h]));
      const auto beta = static_cast<double>(c.beta[t * heads + h]);
      std::vector<double> next(dk * dv, 0.0);
      for (std::size_t j = 0; j < dv; ++j) {
        for (std::size_t i = 0; i < dk; ++i) {
          for (std::size_t m = 0; m < dk; ++m) {
            const double kk = static_cast<double>(k[i]) * static_cast<double>(k[m]);
            next[i * dv + j] += decay * ((i == m ? 1.0 : 0.0) - beta * kk) * s[m * dv + j];
          }
          next[i * dv + j] += beta * static_cast<double>(k[i]) * static_cast<double>(v[j]);
        }
        double o = 0;
        for (std::size_t i = 0; i < dk; ++i) o += static_cast<double>(q[i]) * next[i * dv + j];
        result.out[(t * heads + h) * dv + j] =
            static_cast<float>(o / std::sqrt(static_cast<double>(dk)));
      }
      s = next;
    }
    for (std::size_t i = 0; i < dk * dv; ++i) {
      result.state[h * dk * dv + i] = static_cast<float>(s[i]);
    }
  }
  return result;
}

void check_forms(const DeltaCase& c) {
  const Oracle expected = oracle(c);
  auto state = c.state;
  auto out = c.out();
  gated_delta_recurrent(c.shape, c.view(), state, out);
  expect_near(out, expected.out, 5e-6);
  expect_near(state, expected.state, 5e-6);
  auto chunked_state = c.state;
  auto chunked_out = c.out();
  gated_delta_chunked(c.shape, c.view(), chunked_state, chunked_out);
  expect_near(chunked_out, out, 1e-5);
  expect_near(chunked_state, state, 1e-5);
}

TEST(GatedDeltaProperty, chunked_equals_recurrent_equals_the_matrix_recurrence) {
  for (int i = 0; i < test::property_cases(400); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "gated delta");
    check_forms(random_delta_case(random));
    if (HasFatalFailure()) return;
  }
}

TEST(GatedDeltaProperty, shapes_of_the_published_tests) {
  // huggingface/transformers tests/models/qwen3_next/test_modeling_qwen3_next.py: T = 3, 12, 13 in
  // chunks of 4, 4 key and 8 value heads of 16, with and without a state; and full-size heads.
  GatedDeltaShape shape;
  shape.key_heads = 4;
  shape.value_heads = 8;
  shape.key_dim = shape.value_dim = 16;
  shape.chunk = 4;
  RandomStream random(1, "published gated delta");
  for (const std::int64_t count : {3, 12, 13}) {
    for (const bool zero_state : {true, false}) {
      check_forms(make_case(shape, count, zero_state, random));
    }
  }
  for (const std::int64_t chunk : {1, 4, 5, 13, 64}) {
    shape.chunk = chunk;
    check_forms(make_case(shape, 67, false, random));
  }
  shape.key_heads = shape.value_heads = 1;
  shape.key_dim = shape.value_dim = 128;
  shape.chunk = 64;
  check_forms(make_case(shape, 70, false, random));
}

TEST(GatedDeltaProperty, grouped_value_heads_equal_repeated_key_heads) {
  for (int i = 0; i < test::property_cases(50); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "grouped heads");
    const DeltaCase c = random_delta_case(random);
    DeltaCase repeated = c;
    repeated.shape.key_heads = c.shape.value_heads;
    const auto repeat = [&](const std::vector<float>& from) {
      std::vector<float> to;
      const std::int64_t group = c.shape.value_heads / c.shape.key_heads;
      for (std::int64_t row = 0; row < c.count * c.shape.key_heads; ++row) {
        const auto begin = from.begin() + row * c.shape.key_dim;
        for (std::int64_t n = 0; n < group; ++n)
          to.insert(to.end(), begin, begin + c.shape.key_dim);
      }
      return to;
    };
    repeated.q = repeat(c.q);
    repeated.k = repeat(c.k);
    for (const auto form : {&gated_delta_recurrent, &gated_delta_chunked}) {
      auto state = c.state;
      auto out = c.out();
      form(c.shape, c.view(), state, out);
      auto repeated_state = c.state;
      auto repeated_out = c.out();
      form(repeated.shape, repeated.view(), repeated_state, repeated_out);
      ASSERT_EQ(out, repeated_out);
      ASSERT_EQ(state, repeated_state);
    }
  }
}

/// Runs the convolution over tokens [begin, end) of `inputs`.
std::vector<float> convolve(const DeltaCase& c, const std::vector<float>& weight,
                            const std::vector<float>& inputs, std::int64_t begin, std::int64_t end,
                            std::vector<float>& conv) {
  const auto channels = static_cast<std::size_t>(c.shape.conv_channels());
  std::vector<float> out;
  std::vector<float> y(channels);
  for (auto t = static_cast<std::size_t>(begin); t < static_cast<std::size_t>(end); ++t) {
    short_convolution(c.shape, weight, std::span(inputs).subspan(t * channels, channels), conv, y);
    out.insert(out.end(), y.begin(), y.end());
  }
  return out;
}

TEST(GatedDeltaProperty, the_convolution_in_pieces_equals_one_pass) {
  for (int i = 0; i < test::property_cases(50); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "convolution");
    DeltaCase c = random_delta_case(random);
    c.shape.conv_taps = random.integer(1, 5);
    const std::int64_t channels = c.shape.conv_channels();
    const auto weight = normals(random, channels * c.shape.conv_taps);
    const auto inputs = normals(random, c.count * channels);
    std::vector<float> conv = GatedDeltaState(c.shape).conv;
    const std::int64_t cut = random.integer(0, c.count);
    auto out = convolve(c, weight, inputs, 0, cut, conv);
    const auto rest = convolve(c, weight, inputs, cut, c.count, conv);
    out.insert(out.end(), rest.begin(), rest.end());
    std::vector<float> expected;
    for (std::int64_t t = 0; t < c.count; ++t) {  // over the whole sequence, zeros before it
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        double sum = 0;
        for (std::int64_t back = 0; back < c.shape.conv_taps && back <= t; ++back) {
          const std::int64_t tap = c.shape.conv_taps - 1 - back;
          sum += static_cast<double>(
                     weight[static_cast<std::size_t>(channel * c.shape.conv_taps + tap)]) *
                 static_cast<double>(
                     inputs[static_cast<std::size_t>((t - back) * channels + channel)]);
        }
        expected.push_back(static_cast<float>(sum / (1 + std::exp(-sum))));
      }
    }
    expect_near(out, expected, 5e-6);
    if (HasFatalFailure()) return;
  }
}

/// One layer's memory run over tokens [begin, end).
std::vector<float> advance(const DeltaCase& c, const std::vector<float>& weight,
                           const std::vector<float>& inputs, std::int64_t begin, std::int64_t end,
                           GatedDeltaState& state) {
  auto out = convolve(c, weight, inputs, begin, end, state.conv);
  std::vector<float> mixed(static_cast<std::size_t>((end - begin) * c.shape.value_width()));
  gated_delta_recurrent(c.shape, c.view(begin, end), state.recurrent, mixed);
  out.insert(out.end(), mixed.begin(), mixed.end());
  return out;
}

TEST(GatedDeltaProperty, putting_a_snapshot_back_undoes_tokens_exactly) {
  for (int i = 0; i < test::property_cases(50); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "snapshot");
    const DeltaCase c = random_delta_case(random);
    const std::int64_t channels = c.shape.conv_channels();
    const auto weight = normals(random, channels * c.shape.conv_taps);
    const auto inputs = normals(random, c.count * channels);
    GatedDeltaState state(c.shape);
    state.recurrent = c.state;
    const std::int64_t kept = random.integer(0, c.count);
    (void)advance(c, weight, inputs, 0, kept, state);
    const GatedDeltaState snapshot = state;
    const auto first = advance(c, weight, inputs, kept, c.count, state);
    const GatedDeltaState after = state;
    state = snapshot;
    ASSERT_EQ(advance(c, weight, inputs, kept, c.count, state), first);
    ASSERT_EQ(state, after);
    state = snapshot;  // tokens one by one leave the same bits as tokens at once
    for (std::int64_t t = kept; t < c.count; ++t) {
      (void)advance(c, weight, inputs, t, t + 1, state);
    }
    ASSERT_EQ(state, after);
  }
}

TEST(GatedDeltaProperty, gates_equal_their_formula) {
  for (int i = 0; i < test::property_cases(500); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    RandomStream random(static_cast<std::uint64_t>(i), "delta gates");
    const auto draw = [&](double range) {
      return std::vector<float>{static_cast<float>((2 * random.uniform() - 1) * range)};
    };
    const auto a = draw(40), b = draw(30), a_log = draw(3), dt_bias = draw(4);
    std::vector<float> g(1), beta(1);
    delta_gates(a, b, a_log, dt_bias, g, beta);
    const auto x = static_cast<double>(a[0] + dt_bias[0]);
    const double expected = -std::exp(static_cast<double>(a_log[0])) * std::log1p(std::exp(x));
    ASSERT_NEAR(static_cast<double>(g[0]), expected, 3e-7 * std::fabs(expected));
    const double strength = 1 / (1 + std::exp(-static_cast<double>(b[0])));
    ASSERT_NEAR(static_cast<double>(beta[0]), strength, 3e-7 * strength);
  }
}

}  // namespace
}  // namespace tandem::ops
