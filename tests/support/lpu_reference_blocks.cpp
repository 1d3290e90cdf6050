// Norms, dense blocks, and what joins the hidden state, in the order of the LPU.
#include <algorithm>
#include <cmath>

#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
namespace {

std::size_t at(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

std::vector<float> copy_of(const Tensor& tensor) {
  return {tensor.floats().begin(), tensor.floats().end()};
}

}  // namespace

// Vectors are added lane by lane first, then the lanes.
LpuReference::Lanes LpuReference::mean_over_hidden(const Lanes& x) const {
  Lanes sums(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(lanes_));
  for (std::size_t i = lanes_; i < x.size(); ++i) sums[i % lanes_] = sums[i % lanes_] + x[i];
  Lanes means = sum_over_lanes(sums);
  const auto factor = static_cast<float>(1.0 / static_cast<double>(network_.hidden));
  for (float& mean : means) mean *= factor;
  return means;
}

// x / rms(x) w, or (x - mean) / deviation w + b; not rounded. Lanes behind the hidden state are
// zero, and count for neither mean nor deviation.
LpuReference::Lanes LpuReference::plain_norm(const Lanes& x, const std::string& name) const {
  const Tensor& weights = weights_.at(name);
  const bool centres = network_.norm.kind == NormKind::Layer;
  Lanes y = x;
  if (centres) {
    const Lanes mean = mean_over_hidden(x);
    for (std::size_t i = 0; i < at(network_.hidden); ++i) y[i] = x[i] - mean[i % lanes_];
  }
  Lanes squares;
  for (const float value : y) squares.push_back(value * value);
  const Lanes mean_square = mean_over_hidden(squares);
  for (std::size_t i = 0; i < at(network_.hidden); ++i) {
    const float inverse =
        special::rsqrt(mean_square[i % lanes_] + static_cast<float>(network_.norm.epsilon));
    y[i] = (y[i] * inverse) * norm_weight(weights.floats()[i]);
    if (centres) y[i] = y[i] + weights_.at(name + "_bias").floats()[i];
  }
  return y;
}

LpuReference::Lanes LpuReference::norm(const Lanes& x, const std::string& name) const {
  return round(plain_norm(x, name), type_);
}

void LpuReference::add_half(Lanes& hidden, Lanes sum, std::size_t layer,
                            const std::string& norm) const {
  Lanes bias = bias_;
  bias.resize(hidden.size());
  if (!layers_[layer].kind->post_norms) {
    for (std::size_t i = 0; i < sum.size(); ++i) hidden[i] = sum[i] + (bias[i] + hidden[i]);
    return;
  }
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = sum[i] + bias[i];
  const Lanes normed = plain_norm(sum, prefix_of(layer) + norm);
  for (std::size_t i = 0; i < sum.size(); ++i) hidden[i] = normed[i] + hidden[i];
}

// Formulas of ops::ActivationKind in floats, in this order.
float LpuReference::curve(ActivationKind kind, float x) {
  if (kind == ActivationKind::Silu) return x * special::recip(special::exp(-x) + 1.0F);
  const float inner = x + x * x * x * 0.044715F;
  return x * 0.5F * (special::tanh(inner * 0.79788456F) + 1.0F);
}

void LpuReference::make_dense(Layer& layer, std::int64_t index) const {
  const FeedForward& ffn = layer.kind->ffn;
  if (ffn.intermediate == 0) return;
  const auto hidden = natural(network_.hidden);
  const auto inner = natural(ffn.intermediate);
  const auto tensor = [&](const char* name) -> const Tensor& {
    return weights_.layer(index, name);
  };
  if (ffn.gated) layer.dense.gate = make(tensor("ffn.gate"), inner, hidden);
  layer.dense.up = make(tensor("ffn.up"), inner, hidden);
  layer.dense.down = make(tensor("ffn.down"), hidden, inner);
  if (!ffn.bias) return;
  if (ffn.gated) layer.dense.gate_bias = copy_of(tensor("ffn.gate_bias"));
  layer.dense.up_bias = copy_of(tensor("ffn.up_bias"));
  layer.dense.down_bias = copy_of(tensor("ffn.down_bias"));
}

// down(curve(gate x + b) (up x + b)), or down(curve(up x + b)).
LpuReference::Lanes LpuReference::dense_part(std::size_t index, const Lanes& x) {
  const Layer& layer = layers_[index];
  const FeedForward& ffn = layer.kind->ffn;
  const auto biased = [&](const Matrix& matrix, const Lanes& bias) {
    Lanes y = multiply(matrix, x, at(network_.hidden));
    for (float& value : y) value *= matrix.scale;
    for (std::size_t i = 0; i < bias.size(); ++i) y[i] = y[i] + bias[i];
    return y;
  };
  Lanes inner = biased(layer.dense.up, layer.dense.up_bias);
  if (ffn.gated) {
    const Lanes gate = biased(layer.dense.gate, layer.dense.gate_bias);
    for (std::size_t i = 0; i < inner.size(); ++i) inner[i] *= curve(ffn.activation, gate[i]);
  } else {
    for (float& value : inner) value = curve(ffn.activation, value);
  }
  inner = round(inner, type_);
  if (index == 0) trace_["gated"] = inner;
  Lanes y = multiply(layer.dense.down, inner, at(ffn.intermediate));
  for (float& value : y) value *= layer.dense.down.scale;
  return y;
}

// A dense block and experts, each under a norm of its own.
LpuReference::Lanes LpuReference::both_parts(std::size_t index, const Lanes& hidden) {
  const Layer& layer = layers_[index];
  const std::string prefix = prefix_of(index);
  const Lanes dense =
      plain_norm(dense_part(index, norm(hidden, prefix + "ffn_norm")), prefix + "ffn.post_norm");
  const Lanes x = norm(hidden, prefix + "experts.norm");
  Lanes scored = x;
  if (layer.kind->ffn.experts->router_norm) {
    const double root = std::sqrt(static_cast<double>(network_.hidden));
    const Lanes plain = [&] {
      Lanes squares;
      for (const float value : hidden) squares.push_back(value * value);
      return mean_over_hidden(squares);
    }();
    const auto weights = weights_.at(prefix + "experts.router_norm").floats();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float inverse =
          special::rsqrt(plain[i % lanes_] + static_cast<float>(network_.norm.epsilon));
      const float weight = weights[i] * static_cast<float>(1 / root);
      scored[i] = round_to(type_, (hidden[i] * inverse) * weight);
    }
  }
  const Lanes mixed = plain_norm(mix_experts(layer, x, scored), prefix + "experts.post_norm");
  Lanes both(mixed.size());
  for (std::size_t i = 0; i < both.size(); ++i) both[i] = mixed[i] + dense[i];
  return both;
}

LpuReference::Lanes LpuReference::feed_forward_part(std::size_t index, const Lanes& hidden) {
  const Layer& layer = layers_[index];
  const FeedForward& ffn = layer.kind->ffn;
  bias_.clear();
  if (ffn.experts && ffn.intermediate > 0) return both_parts(index, hidden);
  const Lanes x = norm(hidden, prefix_of(index) + "ffn_norm");
  if (index == 0) trace_["ffn norm"] = x;
  if (ffn.experts) return mix_experts(layer, x, x);
  bias_ = layer.dense.down_bias;
  return dense_part(index, x);
}

LpuReference::Lanes LpuReference::embed(std::int32_t token) const {
  Lanes hidden((at(network_.hidden) + lanes_ - 1) / lanes_ * lanes_);
  for (std::int64_t i = 0; i < network_.hidden; ++i) {
    hidden[at(i)] = weights_.at("embedding").load(token * network_.hidden + i) *
                    static_cast<float>(network_.embedding_scale);
    if (!network_.learned_positions) continue;
    hidden[at(i)] += weights_.at("positions").load(position_ * network_.hidden + i);
  }
  return hidden;
}

}  // namespace tandem::test
