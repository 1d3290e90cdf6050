// Sources: fla-org/flash-linear-attention@bc3b101d fla/ops/gated_delta_rule/naive.py;
// huggingface/transformers modular_qwen3_next.py (convolution, gates, norms). Special functions are
// those of special.hpp, so results have the same bits on every host.
#include "sim/numerics/ops/gated_delta.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/activation.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::ops {
namespace {

/// ln(1 + e^x), and x above 20 as PyTorch has it.
float softplus(float x) {
  if (x > 20.0F) {
    return x;
  }
  // ln(1 + y) = ln(u) y / (u - 1) with u = 1 + y as rounded: the factor mends the rounding of u
  // (Higham, "Accuracy and Stability of Numerical Algorithms", section 1.14.1).
  const float y = special::exp(x);
  const float u = 1.0F + y;
  if (u == 1.0F) {
    return y;
  }
  constexpr double ln2 = 0x1.62e42fefa39efp-1;
  const double ln_u = ln2 * static_cast<double>(special::log2(u));
  return static_cast<float>(ln_u * static_cast<double>(y) / (static_cast<double>(u) - 1.0));
}

/// One head's state, one token. `seen` has room for value_dim.
void step(std::span<const float> q, std::span<const float> k, std::span<const float> v, float decay,
          float beta, double scale, std::span<float> state, std::span<double> seen,
          std::span<float> out) {
  const std::size_t dk = k.size();
  const std::size_t dv = v.size();
  std::fill(seen.begin(), seen.end(), 0.0);
  for (std::size_t i = 0; i < dk; ++i) {
    for (std::size_t j = 0; j < dv; ++j) {
      seen[j] += static_cast<double>(decay) * static_cast<double>(state[i * dv + j]) *
                 static_cast<double>(k[i]);
    }
  }
  for (std::size_t j = 0; j < dv; ++j) {  // from here on: delta
    seen[j] = static_cast<double>(beta) * (static_cast<double>(v[j]) - seen[j]);
  }
  for (std::size_t i = 0; i < dk; ++i) {
    for (std::size_t j = 0; j < dv; ++j) {
      const double kept = static_cast<double>(decay) * static_cast<double>(state[i * dv + j]);
      state[i * dv + j] = static_cast<float>(kept + static_cast<double>(k[i]) * seen[j]);
    }
  }
  std::fill(seen.begin(), seen.end(), 0.0);
  for (std::size_t i = 0; i < dk; ++i) {
    for (std::size_t j = 0; j < dv; ++j) {
      seen[j] += static_cast<double>(state[i * dv + j]) * static_cast<double>(q[i]);
    }
  }
  for (std::size_t j = 0; j < dv; ++j) {
    out[j] = static_cast<float>(scale * seen[j]);
  }
}

}  // namespace

void check_gated_delta(const GatedDeltaShape& s) {
  if (s.key_heads < 1 || s.value_heads < 1 || s.key_dim < 1 || s.value_dim < 1 || s.conv_taps < 1 ||
      s.chunk < 1) {
    throw ModelError("gated delta: heads, widths, taps and chunk are at least 1");
  }
  if (s.value_heads % s.key_heads != 0) {
    throw ModelError("gated delta: value heads are a multiple of key heads");
  }
}

GatedDeltaState::GatedDeltaState(const GatedDeltaShape& shape) {
  check_gated_delta(shape);
  recurrent.assign(static_cast<std::size_t>(shape.state_elements()), 0.0F);
  conv.assign(static_cast<std::size_t>(shape.conv_state_elements()), 0.0F);
}

void short_convolution(const GatedDeltaShape& shape, std::span<const float> weight,
                       std::span<const float> input, std::span<float> conv_state,
                       std::span<float> out) {
  const auto channels = static_cast<std::size_t>(shape.conv_channels());
  const auto taps = static_cast<std::size_t>(shape.conv_taps);
  assert(input.size() == channels && out.size() == channels && weight.size() == channels * taps);
  assert(conv_state.size() == (taps - 1) * channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const float newest = input[c];  // `out` may be `input`
    float sum = 0.0F;
    for (std::size_t i = 0; i + 1 < taps; ++i) {
      sum += weight[c * taps + i] * conv_state[i * channels + c];
    }
    sum += weight[c * taps + taps - 1] * newest;
    for (std::size_t i = 0; i + 2 < taps; ++i) {
      conv_state[i * channels + c] = conv_state[(i + 1) * channels + c];
    }
    if (taps > 1) {
      conv_state[(taps - 2) * channels + c] = newest;
    }
    out[c] = silu(sum);
  }
}

void l2_normalise_heads(std::span<float> heads, std::int64_t head_dim) {
  const auto dim = static_cast<std::size_t>(head_dim);
  assert(dim > 0 && heads.size() % dim == 0);
  for (std::size_t at = 0; at < heads.size(); at += dim) {
    double squares = 0;
    for (const float x : heads.subspan(at, dim)) {
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    const double scale = 1.0 / std::sqrt(squares + 1e-6);
    for (float& x : heads.subspan(at, dim)) {
      x = static_cast<float>(static_cast<double>(x) * scale);
    }
  }
}

void delta_gates(std::span<const float> a, std::span<const float> b, std::span<const float> a_log,
                 std::span<const float> dt_bias, std::span<float> log_decay,
                 std::span<float> beta) {
  assert(a.size() == b.size() && a.size() == a_log.size() && a.size() == dt_bias.size());
  assert(a.size() == log_decay.size() && a.size() == beta.size());
  for (std::size_t h = 0; h < a.size(); ++h) {
    const float rate = softplus(a[h] + dt_bias[h]);
    const float strength = sigmoid(b[h]);
    log_decay[h] = -special::exp(a_log[h]) * rate;
    beta[h] = strength;
  }
}

void gated_delta_recurrent(const GatedDeltaShape& shape, const GatedDeltaTokens& tokens,
                           std::span<float> recurrent, std::span<float> out) {
  check_gated_delta(shape);
  const auto dk = static_cast<std::size_t>(shape.key_dim);
  const auto dv = static_cast<std::size_t>(shape.value_dim);
  const auto key_heads = static_cast<std::size_t>(shape.key_heads);
  const auto value_heads = static_cast<std::size_t>(shape.value_heads);
  assert(recurrent.size() == value_heads * dk * dv);
  assert(out.size() == static_cast<std::size_t>(tokens.tokens) * value_heads * dv);
  const double scale = 1.0 / std::sqrt(static_cast<double>(dk));
  std::vector<double> seen(dv);
  for (std::size_t t = 0; t < static_cast<std::size_t>(tokens.tokens); ++t) {
    for (std::size_t h = 0; h < value_heads; ++h) {
      const std::size_t key = (t * key_heads + h / (value_heads / key_heads)) * dk;
      const std::size_t gate = t * value_heads + h;
      step(tokens.q.subspan(key, dk), tokens.k.subspan(key, dk), tokens.v.subspan(gate * dv, dv),
           special::exp(tokens.log_decay[gate]), tokens.beta[gate], scale,
           recurrent.subspan(h * dk * dv, dk * dv), seen, out.subspan(gate * dv, dv));
    }
  }
}

void gated_rmsnorm(std::span<const float> x, std::span<const float> weight,
                   std::span<const float> z, float epsilon, std::span<float> out) {
  const std::size_t dim = weight.size();
  assert(dim > 0 && x.size() % dim == 0 && x.size() == z.size() && x.size() == out.size());
  std::vector<float> normed(dim);
  for (std::size_t at = 0; at < x.size(); at += dim) {
    rmsnorm(x.subspan(at, dim), weight, epsilon, normed);
    for (std::size_t i = 0; i < dim; ++i) {
      out[at + i] = silu(z[at + i]) * normed[i];
    }
  }
}

}  // namespace tandem::ops
