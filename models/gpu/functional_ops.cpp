#include "models/gpu/functional_ops.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

/// x Phi(x) (Hendrycks and Gimpel, arXiv 1606.08415).
float gelu_of(float x) {
  const auto wide = static_cast<double>(x);
  return static_cast<float>(0.5 * wide * std::erfc(-wide * M_SQRT1_2));
}

/// Its approximation 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
float gelu_tanh_of(float x) {
  if (x < -20.0F) return 0;  // tanh is -1 there, and 0 x infinity is no number
  const auto wide = static_cast<double>(x);
  const double inner = std::sqrt(M_2_PI) * (wide + 0.044715 * wide * wide * wide);
  return 0.5F * x * (1.0F + special::tanh(static_cast<float>(inner)));
}

float activated(ActivationKind kind, float x) {
  switch (kind) {
    case ActivationKind::Silu:
      return silu_of(x);
    case ActivationKind::Gelu:
      return gelu_of(x);
    case ActivationKind::GeluTanh:
      return gelu_tanh_of(x);
    case ActivationKind::ClampedSwiglu:
      break;
  }
  throw ModelError("gpu: the clamped SwiGLU needs a gate");
}

/// openai/gpt-oss, gpt_oss/torch/model.py, swiglu(): alpha 1.702, limit 7.
float clamped_product(float gate, float up) {
  const float g = std::min(gate, 7.0F);
  const float u = std::clamp(up, -7.0F, 7.0F);
  return g * sigmoid_of(1.702F * g) * (u + 1.0F);
}

}  // namespace

float matrix_dot(ElementType math, std::span<const float> a, std::span<const float> b) {
  return math == ElementType::Float32 ? dot_float32(a, b) : dot_wide(a, b);
}

float matrix_dot_in_parts(ElementType math, std::span<const float> a, std::span<const float> b,
                          std::int64_t part) {
  const auto length = static_cast<std::size_t>(part);
  float sum = 0;
  for (std::size_t begin = 0; begin < a.size(); begin += length) {
    const std::size_t count = std::min(length, a.size() - begin);
    sum += matrix_dot(math, a.subspan(begin, count), b.subspan(begin, count));
  }
  return sum;
}

void norm_row(std::span<const float> x, std::span<const float> weight, bool one_plus,
              double epsilon, ElementType type, std::span<float> y) {
  const float mean = dot_float32(x, x) / static_cast<float>(x.size());
  norm_row_of_mean(x, weight, one_plus, epsilon, mean, type, y);
}

void norm_row_of_mean(std::span<const float> x, std::span<const float> weight, bool one_plus,
                      double epsilon, float mean, ElementType type, std::span<float> y) {
  const float scale = special::rsqrt(mean + static_cast<float>(epsilon));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float factor = weight.empty() ? 1.0F : (one_plus ? 1.0F + weight[i] : weight[i]);
    y[i] = round_to(type, factor * (scale * x[i]));
  }
}

void layer_norm_row(std::span<const float> x, std::span<const float> weight,
                    std::span<const float> bias, double epsilon, ElementType type,
                    std::span<float> y) {
  const auto count = static_cast<float>(x.size());
  float sum = 0;
  for (const float value : x) sum += value;
  const float mean = sum / count;
  float squares = 0;
  for (const float value : x) squares += (value - mean) * (value - mean);
  const float scale = special::rsqrt(squares / count + static_cast<float>(epsilon));
  for (std::size_t i = 0; i < x.size(); ++i) {
    y[i] = round_to(type, (x[i] - mean) * scale * weight[i] + bias[i]);
  }
}

float sigmoid_of(float x) {
  return special::recip(1.0F + special::exp(-x));
}

float silu_of(float x) {
  return x * sigmoid_of(x);
}

float capped(float x, double cap) {
  if (cap == 0) return x;
  const auto limit = static_cast<float>(cap);
  return limit * special::tanh(x / limit);
}

void activation_row(ActivationKind kind, std::span<const float> gate_up, ElementType type,
                    std::span<float> y) {
  const std::span<const float> up = gate_up.subspan(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const float value = kind == ActivationKind::ClampedSwiglu ? clamped_product(gate_up[i], up[i])
                                                              : activated(kind, gate_up[i]) * up[i];
    y[i] = round_to(type, value);
  }
}

void ungated_activation_row(ActivationKind kind, std::span<const float> x, ElementType type,
                            std::span<float> y) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = round_to(type, activated(kind, x[i]));
}

float OnlineSoftmax::exponentiate(std::span<float> scores) {
  block_maximum_ = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& score : scores) {
    score = special::exp(score - block_maximum_);
    sum += score;
  }
  return sum;
}

void OnlineSoftmax::merge(float block_sum) {
  if (is_empty_) {
    is_empty_ = false;
    maximum_ = block_maximum_;
    total_ = block_sum;
    sums_ = block_;
    return;
  }
  const float maximum = std::max(maximum_, block_maximum_);
  const float keep = special::exp(maximum_ - maximum);
  const float join = special::exp(block_maximum_ - maximum);
  total_ = total_ * keep + block_sum * join;
  for (std::size_t d = 0; d < sums_.size(); ++d) sums_[d] = sums_[d] * keep + block_[d] * join;
  maximum_ = maximum;
}

void OnlineSoftmax::fold_sink(float logit) {
  std::fill(block_.begin(), block_.end(), 0.0F);
  block_maximum_ = logit;
  merge(1.0F);
}

void OnlineSoftmax::join(const OnlineSoftmax& part) {
  if (part.is_empty_) return;
  block_ = part.sums_;
  block_maximum_ = part.maximum_;
  merge(part.total_);
}

void OnlineSoftmax::finish(ElementType type, std::span<float> out) const {
  if (is_empty_) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  const float scale = special::recip(total_);
  for (std::size_t d = 0; d < out.size(); ++d) out[d] = round_to(type, sums_[d] * scale);
}

}  // namespace tandem::gpu
