// Does each part of a Gated DeltaNet layer compute what its formula says, on cases small enough for
// paper and on the golden case?
#include "sim/numerics/ops/gated_delta.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::ops {
namespace {

GatedDeltaShape one_head(std::int64_t dk, std::int64_t dv, std::int64_t chunk) {
  GatedDeltaShape shape;
  shape.key_heads = 1;
  shape.value_heads = 1;
  shape.key_dim = dk;
  shape.value_dim = dv;
  shape.chunk = chunk;
  return shape;
}

/// Inputs that own their memory.
struct Tokens {
  std::vector<float> q, k, v, g, beta;
  [[nodiscard]] GatedDeltaTokens view() const {
    return {q, k, v, g, beta, static_cast<std::int64_t>(g.size())};
  }
};

using Form = void (*)(const GatedDeltaShape&, const GatedDeltaTokens&, std::span<float>,
                      std::span<float>);
constexpr Form forms[] = {&gated_delta_recurrent, &gated_delta_chunked};

std::vector<float> flat(const nlohmann::json& rows) {
  std::vector<float> values;
  for (const auto& row : rows) {
    if (row.is_array()) {
      for (const auto& x : row) values.push_back(x.get<float>());
    } else {
      values.push_back(row.get<float>());
    }
  }
  return values;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return largest;
}

TEST(GatedDelta, golden_case_in_both_forms_and_all_chunk_sizes) {
  std::ifstream file(TANDEM_SOURCE_DIR "/tests/numerics/data/golden_gdn.json");
  ASSERT_TRUE(file.good());
  const auto golden = nlohmann::json::parse(file);
  const Tokens tokens{flat(golden["q"]), flat(golden["k"]), flat(golden["v"]), flat(golden["g"]),
                      flat(golden["beta"])};
  const auto expected_out = flat(golden["o"]);
  const auto expected_state = flat(golden["S"]);
  ASSERT_EQ(expected_out.size(), 13U * 16U);
  GatedDeltaShape shape = one_head(8, 16, 64);
  auto state = flat(golden["S0"]);
  std::vector<float> out(expected_out.size());
  gated_delta_recurrent(shape, tokens.view(), state, out);
  EXPECT_LT(largest_difference(out, expected_out), 1e-6);
  EXPECT_LT(largest_difference(state, expected_state), 1e-6);
  for (const std::int64_t chunk : {1, 4, 5, 13, 64}) {
    SCOPED_TRACE(chunk);
    shape.chunk = chunk;
    state = flat(golden["S0"]);
    gated_delta_chunked(shape, tokens.view(), state, out);
    EXPECT_LT(largest_difference(out, expected_out), 1e-6);
    EXPECT_LT(largest_difference(state, expected_state), 1e-6);
  }
}

TEST(GatedDelta, one_token_on_paper) {
  // dk = 1, dv = 1, S = 4, g = -ln 2, beta = 1/4, k = 1, q = 3, v = 6: S decays to 2; delta = (6 -
  // 2) / 4 = 1; S = 3; o = 9. All of it is exact but the decay, which rounds to 1/2.
  const Tokens tokens{{3}, {1}, {6}, {-0.6931472F}, {0.25F}};
  for (const Form form : forms) {
    std::vector<float> state{4};
    std::vector<float> out(1);
    form(one_head(1, 1, 4), tokens.view(), state, out);
    EXPECT_FLOAT_EQ(state[0], 3.0F);
    EXPECT_FLOAT_EQ(out[0], 9.0F);
  }
}

TEST(GatedDelta, with_full_writes_and_no_decay_it_is_an_associative_memory) {
  // Four unit keys, each written once with beta = 1 and g = 0; key i then brings back value i,
  // times 1 / sqrt 4, as an exact number.
  Tokens tokens;
  for (int i = 0; i < 4; ++i) {
    for (int m = 0; m < 4; ++m) tokens.k.push_back(m == i ? 1.0F : 0.0F);
    tokens.v.insert(tokens.v.end(), {1.5F + static_cast<float>(i), -3.0F * static_cast<float>(i)});
  }
  tokens.q = tokens.k;
  tokens.g.assign(4, 0.0F);
  tokens.beta.assign(4, 1.0F);
  for (const Form form : forms) {
    std::vector<float> state(8, 0.0F);
    std::vector<float> out(8);
    form(one_head(4, 2, 3), tokens.view(), state, out);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(out[i], 0.5F * tokens.v[i]);
    EXPECT_EQ(state, tokens.v);  // row m of the state is what unit key m holds
  }
}

TEST(GatedDelta, writing_a_key_again_replaces_its_value) {
  // The delta rule: after (k, 5) and (k, 7) with beta = 1 the memory holds 7, where plain linear
  // attention would hold 12; with beta = 0 the second write is void and it holds 5.
  for (const float beta : {1.0F, 0.0F}) {
    const Tokens tokens{{1, 1}, {1, 1}, {5, 7}, {0, 0}, {1, beta}};
    for (const Form form : forms) {
      std::vector<float> state(1, 0.0F);
      std::vector<float> out(2);
      form(one_head(1, 1, 64), tokens.view(), state, out);
      EXPECT_EQ(out, (std::vector<float>{5, beta == 1.0F ? 7.0F : 5.0F}));
    }
  }
}

TEST(GatedDelta, strong_decay_forgets_and_stays_finite) {
  // g = -1e4: e^g is 0 and e^-g infinite. Each token sees only itself: o = (q . k) beta v / sqrt dk
  // with dk = 1, and the state is the last write.
  const Tokens tokens{{2, 3, 4}, {1, 1, 1}, {10, 20, 30}, {-1e4F, -1e4F, -1e4F}, {1, 0.5F, 0.5F}};
  for (const Form form : forms) {
    std::vector<float> state{1000};
    std::vector<float> out(3);
    form(one_head(1, 1, 2), tokens.view(), state, out);
    EXPECT_EQ(out, (std::vector<float>{20, 30, 60}));
    EXPECT_EQ(state[0], 15.0F);
  }
}

TEST(GatedDelta, no_tokens_change_nothing) {
  for (const Form form : forms) {
    std::vector<float> state{1000};
    form(one_head(1, 1, 2), Tokens{}.view(), state, {});
    EXPECT_EQ(state[0], 1000.0F);
  }
}

TEST(ShortConvolution, weighs_the_last_inputs_oldest_first) {
  // Three taps, weights (1, 10, 100) on channel 0; inputs 1, 2, 3, 4 give the sums 100, 210, 321,
  // 432, and silu(x) = x at that size. Channel 1 has weights (0, 0, 1): inputs ln 3 give
  // ln 3 * 3 / 4. Channel 2 has zeros.
  GatedDeltaShape shape = one_head(1, 1, 4);
  shape.conv_taps = 3;
  const std::vector<float> weight{1, 10, 100, 0, 0, 1, 0, 0, 0};
  GatedDeltaState state(shape);
  std::vector<float> out(3);
  for (const float expected : {100.0F, 210.0F, 321.0F, 432.0F}) {
    const float x = std::floor(expected / 100);
    short_convolution(shape, weight, std::vector<float>{x, std::log(3.0F), 9}, state.conv, out);
    EXPECT_EQ(out[0], expected);
    EXPECT_FLOAT_EQ(out[1], 0.82395922F);
    EXPECT_EQ(out[2], 0.0F);
  }
  // [tap][channel]: the inputs of the last two tokens.
  EXPECT_EQ(state.conv, (std::vector<float>{3, std::log(3.0F), 9, 4, std::log(3.0F), 9}));
}

TEST(ShortConvolution, one_tap_has_no_state) {
  GatedDeltaShape shape = one_head(1, 1, 4);
  shape.conv_taps = 1;
  GatedDeltaState state(shape);
  EXPECT_TRUE(state.conv.empty());
  std::vector<float> x{100, 0, -200};
  short_convolution(shape, std::vector<float>{2, 3, 4}, x, state.conv, x);
  EXPECT_EQ(x, (std::vector<float>{200, 0, 0}));  // silu(-800) = -800 * 0
}

TEST(L2Normalise, per_head_with_epsilon_inside_the_root) {
  // (3, 4): 3 / sqrt(25 + 1e-6); (0.001, 0): 0.001 / sqrt(2e-6) = 1 / sqrt 2; zeros stay.
  std::vector<float> heads{3, 4, 0.001F, 0, 0, 0};
  l2_normalise_heads(heads, 2);
  EXPECT_FLOAT_EQ(heads[0], 0.6F);
  EXPECT_FLOAT_EQ(heads[1], 0.8F);
  EXPECT_FLOAT_EQ(heads[2], 0.70710678F);
  EXPECT_EQ(heads[4], 0.0F);
}

TEST(DeltaGates, on_paper) {
  // a + dt_bias = 0: softplus = ln 2; A_log = 0 and ln 2: g = -ln 2 and -2 ln 2. b = 0: 1/2; b = ln
  // 3: 3/4. Above 20 softplus is x: A_log = 0, a = 25: g = -25. Far below it is e^x: -e^-30.
  std::vector<float> g(4), beta(4);
  delta_gates(std::vector<float>{1, 0, 25, -30}, std::vector<float>{0, std::log(3.0F), 200, -200},
              std::vector<float>{0, std::log(2.0F), 0, 0}, std::vector<float>{-1, 0, 0, 0}, g,
              beta);
  EXPECT_FLOAT_EQ(g[0], -0.69314718F);
  EXPECT_FLOAT_EQ(g[1], -1.3862944F);
  EXPECT_EQ(g[2], -25.0F);
  EXPECT_FLOAT_EQ(g[3], -9.3576230e-14F);
  EXPECT_EQ(beta[0], 0.5F);
  EXPECT_FLOAT_EQ(beta[1], 0.75F);
  EXPECT_EQ(beta[2], 1.0F);
  EXPECT_EQ(beta[3], 0.0F);
}

TEST(GatedRmsNorm, norms_before_it_gates) {
  // x = (3, 4, 0, 0): / 2.5 is (1.2, 1.6, 0, 0), times weight (1, 0.5, 7, 7) is (1.2, 0.8, 0, 0).
  // silu(0) = 0 and silu(ln 3) = 0.82395922. Gating first would leave (0, 1.318, ...), whose rms
  // is 0.659, and give 1 in place of 0.659.
  const std::vector<float> weight{1, 0.5F, 7, 7};
  const float z = std::log(3.0F);
  std::vector<float> x{3, 4, 0, 0, 0, 0, 6, 8};  // two heads
  gated_rmsnorm(x, weight, std::vector<float>{0, z, z, z, z, z, z, 0}, 0.0F, x);
  EXPECT_EQ(x[0], 0.0F);
  EXPECT_FLOAT_EQ(x[1], 0.8F * 0.82395922F);
  EXPECT_EQ(x[2], 0.0F);
  // Second head: rms 5: (0, 0, 1.2, 1.6) times 7.
  EXPECT_FLOAT_EQ(x[6], 8.4F * 0.82395922F);
  EXPECT_EQ(x[7], 0.0F);
}

TEST(GatedDeltaState, has_the_published_sizes) {
  // Qwen3.5-35B-A3B: 16 key heads, 32 value heads, 128 x 128 each, 4 taps: 32 * 128 * 128 = 524288
  // elements, 2 MiB in fp32 and 60 MiB in its 30 linear layers; the convolution keeps 8192 * 3.
  GatedDeltaShape shape;
  shape.key_heads = 16;
  shape.value_heads = 32;
  shape.key_dim = shape.value_dim = 128;
  EXPECT_EQ(shape.conv_channels(), 8192);
  const GatedDeltaState state(shape);
  EXPECT_EQ(state.recurrent.size(), 524288U);
  EXPECT_EQ(state.conv.size(), 24576U);
}

TEST(GatedDeltaState, refuses_shapes_without_sense) {
  GatedDeltaShape shape = one_head(1, 1, 1);
  shape.key_heads = 2;
  shape.value_heads = 3;
  EXPECT_THROW(GatedDeltaState{shape}, ModelError);
  for (const Form form : forms) EXPECT_THROW(form(shape, {}, {}, {}), ModelError);
  EXPECT_THROW(GatedDeltaState{one_head(1, 1, 0)}, ModelError);
  EXPECT_THROW(GatedDeltaState{one_head(0, 1, 1)}, ModelError);
}

}  // namespace
}  // namespace tandem::ops
