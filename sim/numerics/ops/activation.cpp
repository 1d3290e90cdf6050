#include "sim/numerics/ops/activation.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/swiglu.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::ops {
namespace {

constexpr double sqrt_half = 0.70710678118654752;
constexpr double two_over_sqrt_pi = 1.1283791670955126;
constexpr double sqrt_two_over_pi = 0.79788456080286536;

/// erf(z) for |z| <= 2 by its Maclaurin series: 2 / sqrt(pi) sum of (-1)^n z^(2n+1) / (n! (2n+1)).
/// Terms stay below 2^5 and the first one left out is below 2^-60.
double erf_series(double z) {
  const double square = z * z;
  double term = z;
  double sum = z;
  for (int n = 1; n < 40; ++n) {
    term *= -square / n;
    sum += term / (2 * n + 1);
  }
  return two_over_sqrt_pi * sum;
}

/// erfc(z) for z > 2 by its continued fraction (Abramowitz and Stegun 7.1.14), evaluated from
/// depth 60: sqrt(pi) e^(z^2) erfc(z) = 1 / (z + (1/2) / (z + 1 / (z + (3/2) / (z + ...)))).
double erfc_tail(double z) {
  double fraction = z;
  for (int n = 60; n >= 1; --n) {
    fraction = z + 0.5 * n / fraction;
  }
  // e^-(z^2) from a float argument; what the float leaves out is small and enters as 1 - rest.
  const double square = z * z;
  const auto rounded = static_cast<float>(square);
  const double rest = square - static_cast<double>(rounded);
  const double power = static_cast<double>(special::exp(-rounded)) * (1.0 - rest);
  return 0.5 * two_over_sqrt_pi * power / fraction;
}

double erfc(double z) {
  if (z > 2.0) {
    return erfc_tail(z);
  }
  return z < -2.0 ? 2.0 - erfc_tail(-z) : 1.0 - erf_series(z);
}

float one(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::Silu:
      return silu(x);
    case ActivationKind::Gelu:
      return gelu(x);
    case ActivationKind::GeluTanh:
      return gelu_tanh(x);
    case ActivationKind::ClampedSwiglu:
      break;
  }
  throw ModelError("activation: the clamped SwiGLU needs a gate");
}

}  // namespace

float sigmoid(float x) {
  return 1.0F / (1.0F + special::exp(-x));
}

float silu(float x) {
  return x * sigmoid(x);
}

float gelu(float x) {
  if (x < -20.0F) {  // x Phi(x) is under the smallest subnormal; -infinity has the limit 0
    return -0.0F;
  }
  if (x > 20.0F) {  // Phi is 1 in float
    return x;
  }
  const auto wide = static_cast<double>(x);
  return static_cast<float>(0.5 * wide * erfc(-wide * sqrt_half));
}

float gelu_tanh(float x) {
  if (x < -20.0F) {  // tanh is -1 there, and 0 x infinity is no number
    return -0.0F;
  }
  const auto wide = static_cast<double>(x);
  const double inner = sqrt_two_over_pi * (wide + 0.044715 * wide * wide * wide);
  return 0.5F * x * (1.0F + special::tanh(static_cast<float>(inner)));
}

float clamped_swiglu(float gate, float up, float limit) {
  const float g = std::min(gate, limit);
  const float u = std::clamp(up, -limit, limit);
  return g * sigmoid(1.702F * g) * (u + 1.0F);
}

void gated_activation(ActivationKind kind, std::span<const float> gate, std::span<const float> up,
                      std::span<float> out) {
  assert(gate.size() == up.size() && gate.size() == out.size());
  if (kind == ActivationKind::Silu) {
    return swiglu(gate, up, out);
  }
  for (std::size_t i = 0; i < gate.size(); ++i) {
    out[i] = kind == ActivationKind::ClampedSwiglu ? clamped_swiglu(gate[i], up[i])
                                                   : one(kind, gate[i]) * up[i];
  }
}

void activation(ActivationKind kind, std::span<const float> x, std::span<float> out) {
  assert(x.size() == out.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] = one(kind, x[i]);
  }
}

void split_interleaved(std::span<const float> pieces, std::int64_t width, std::span<float> even,
                       std::span<float> odd) {
  const auto step = static_cast<std::size_t>(width);
  assert(step > 0 && even.size() == odd.size() && even.size() % step == 0);
  assert(pieces.size() == 2 * even.size());
  for (std::size_t at = 0; at < even.size(); at += step) {
    const auto from = pieces.subspan(2 * at, 2 * step);
    std::copy_n(from.begin(), step, even.begin() + static_cast<std::ptrdiff_t>(at));
    std::copy_n(from.begin() + width, step, odd.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

}  // namespace tandem::ops
