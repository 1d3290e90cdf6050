#include "tests/support/lpu_reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::test {
namespace {

std::size_t at(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

LpuReference::LpuReference(const Weights& weights, ElementType weight_type, ElementType kv_type,
                           int lanes)
    : weights_(dense_weights_of(weights, "reference")),
      network_(weights_.network),
      type_(weight_type),
      kv_type_(kv_type),
      lanes_(at(lanes)),
      head_dim_(at(network_.head_dim)) {
  const std::size_t kv_heads = at(network_.kv_heads);
  pack_ = std::min(kv_heads, (lanes_ - 1) / head_dim_);
  packs_ = (kv_heads + pack_ - 1) / pack_;
  group_ = at(network_.heads / network_.kv_heads);
  const auto hidden = natural(network_.hidden);
  const auto inner = natural(network_.intermediate);
  const auto heads = packed(network_.heads / network_.kv_heads);
  const auto kv = packed(1);
  for (const DenseLayerWeights& w : weights_.layers) {
    Layer layer;
    layer.q = make(w.wq, heads, hidden);
    layer.k = make(w.wk, kv, hidden);
    layer.v = make(w.wv, kv, hidden);
    layer.o = make(w.wo, hidden, heads);
    layer.gate = make(w.w_gate, inner, hidden);
    layer.up = make(w.w_up, inner, hidden);
    layer.down = make(w.w_down, hidden, inner);
    layers_.push_back(std::move(layer));
  }
  head_ = make(weights_.head, natural(network_.vocabulary), hidden);
}

std::vector<std::int64_t> LpuReference::natural(std::int64_t width) const {
  const std::size_t padded = (at(width) + lanes_ - 1) / lanes_ * lanes_;
  std::vector<std::int64_t> map(padded, -1);
  for (std::int64_t i = 0; i < width; ++i) map[at(i)] = i;
  return map;
}

// Vector (pack j, member g of the group), lanes of kv head p of the pack.
std::vector<std::int64_t> LpuReference::packed(std::int64_t group) const {
  std::vector<std::int64_t> map(packs_ * at(group) * lanes_, -1);
  for (std::int64_t kv = 0; kv < network_.kv_heads; ++kv) {
    const std::size_t j = at(kv) / pack_;
    const std::size_t p = at(kv) % pack_;
    for (std::int64_t g = 0; g < group; ++g) {
      const std::size_t first = (j * at(group) + at(g)) * lanes_ + p * head_dim_;
      for (std::size_t d = 0; d < head_dim_; ++d) {
        map[first + d] = (kv * group + g) * network_.head_dim + static_cast<std::int64_t>(d);
      }
    }
  }
  return map;
}

LpuReference::Matrix LpuReference::make(const Tensor& tensor,
                                        const std::vector<std::int64_t>& outputs,
                                        const std::vector<std::int64_t>& inputs) const {
  Matrix matrix;
  matrix.outputs = outputs.size();
  matrix.inputs = inputs.size();
  matrix.values.resize(outputs.size() * inputs.size());
  if (type_ == ElementType::Fp8E4m3) {
    float largest = 0;
    for (std::int64_t i = 0; i < tensor.elements(); ++i) {
      largest = std::max(largest, std::fabs(tensor.load(i)));
    }
    if (largest > 0) matrix.scale = largest / 448.0F;
  }
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (outputs[o] < 0 || inputs[i] < 0) continue;
      const float w = tensor.load(outputs[o] * tensor.dim(1) + inputs[i]);
      matrix.values[o * inputs.size() + i] = round_to(type_, w / matrix.scale);
    }
  }
  return matrix;
}

LpuReference::Lanes LpuReference::round(const Lanes& values, ElementType type) const {
  Lanes result;
  for (const float v : values) result.push_back(round_to(type, v));
  return result;
}

// One-byte types: exact over a vector. Two-byte types: half a vector at a time (see multiply).
float LpuReference::dot(const float* a, const float* b) const {
  std::vector<std::uint8_t> x(lanes_), y(lanes_);
  for (std::size_t i = 0; i < lanes_; ++i) {
    x[i] = encode_fp8_e4m3(a[i]);
    y[i] = encode_fp8_e4m3(b[i]);
  }
  return dot_fp8_e4m3(x, y);
}

// `live`: input lanes of each vector that carry anything; an upper half without any is skipped.
LpuReference::Lanes LpuReference::multiply(const Matrix& matrix, const Lanes& input,
                                           std::size_t live) const {
  Lanes result(matrix.outputs);
  const std::size_t half = lanes_ / 2;
  for (std::size_t o = 0; o < matrix.outputs; ++o) {
    float sum = 0;
    for (std::size_t first = 0; first < matrix.inputs; first += lanes_) {
      const float* w = &matrix.values[o * matrix.inputs + first];
      if (type_ == ElementType::Fp8E4m3) {
        sum += dot(&input[first], w);
        continue;
      }
      sum += dot_wide({&input[first], half}, {w, half});
      const bool upper = live > lanes_ ? live - std::min(live, first) > half : live > half;
      if (upper) sum += dot_wide({&input[first + half], half}, {w + half, half});
    }
    result[o] = sum;
  }
  return result;
}

// Rotations by multiples of lanes/4, lanes/16, ...; each round ((0 1) (2 3)) 4. Lanes add the same
// terms in different order, so their sums may differ in the last bits.
LpuReference::Lanes LpuReference::sum_over_lanes(const Lanes& values) const {
  Lanes current = values;
  std::size_t rest = lanes_;
  std::size_t distance = lanes_;
  for (const std::size_t radix : {4UL, 5UL, 3UL, 2UL}) {
    while (rest % radix == 0) {
      rest /= radix;
      distance /= radix;
      Lanes next(lanes_);
      for (std::size_t l = 0; l < lanes_; ++l) {
        const auto v = [&](std::size_t i) { return current[(l + i * distance) % lanes_]; };
        float r = v(0) + v(1);
        if (radix == 3) r = r + v(2);
        if (radix >= 4) r = r + (v(2) + v(3));
        if (radix == 5) r = r + v(4);
        next[l] = r;
      }
      current = next;
    }
  }
  return current;
}

LpuReference::Lanes LpuReference::norm(const Lanes& x, const Tensor& weights) const {
  Lanes squares(lanes_);
  for (std::size_t i = 0; i < x.size(); ++i) {
    squares[i % lanes_] = i < lanes_ ? x[i] * x[i] : squares[i % lanes_] + x[i] * x[i];
  }
  const auto factor = static_cast<float>(1.0 / static_cast<double>(network_.hidden));
  Lanes inverse;
  for (const float total : sum_over_lanes(squares)) {
    const float mean = total * factor;
    inverse.push_back(special::rsqrt(mean + static_cast<float>(network_.norm_epsilon)));
  }
  Lanes y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float w = i < at(weights.elements()) ? weights.load(static_cast<std::int64_t>(i)) : 0.0F;
    y[i] = round_to(type_, (x[i] * inverse[i % lanes_]) * w);
  }
  return y;
}

void LpuReference::rotate(Lanes& x, float scale) const {
  const Lanes old = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t lane = i % lanes_;
    const std::size_t d = lane % head_dim_;
    if (lane >= pack_ * head_dim_) {
      x[i] = 0;
      continue;
    }
    const bool pairs = network_.rope.layout == RopeLayout::Interleaved;
    const std::size_t half = head_dim_ / 2;
    const std::size_t index = pairs ? d / 2 : d % half;
    const bool first = pairs ? d % 2 == 0 : d < half;
    const std::size_t partner = pairs ? i ^ 1U : (first ? i + half : i - half);
    const double angle = static_cast<double>(position_) *
                         std::pow(network_.rope.theta, -2.0 * static_cast<double>(index) /
                                                           static_cast<double>(head_dim_));
    const auto c = static_cast<float>(std::cos(angle));
    const auto s = static_cast<float>(std::sin(angle));
    const float a = old[i] * c;
    const float b = old[partner] * (first ? -s : s);
    x[i] = (a + b) * scale;
  }
}

// Blocks of `lanes` tokens in order; within a block halves for two-byte types, first of the rounded
// weights, then of what rounding left.
float LpuReference::weighted_sum(const std::vector<float>& p, const std::vector<float>& rest,
                                 const std::vector<float>& v) const {
  float sum = 0;
  const std::size_t half = lanes_ / 2;
  for (std::size_t b = 0; b < p.size(); b += lanes_) {
    if (kv_type_ == ElementType::Fp8E4m3) {
      sum += dot(&p[b], &v[b]);
    } else {
      sum += dot_wide({&p[b], half}, {&v[b], half});
      sum += dot_wide({&p[b + half], half}, {&v[b + half], half});
      sum += dot_wide({&rest[b], half}, {&v[b], half});
      sum += dot_wide({&rest[b + half], half}, {&v[b + half], half});
    }
  }
  return sum;
}

LpuReference::Lanes LpuReference::attend_head(const Layer& layer, const Lanes& q,
                                              std::size_t vector, std::size_t head) const {
  const std::size_t tokens = layer.keys.size();
  const std::size_t blocks = (tokens + lanes_ - 1) / lanes_;
  const std::size_t base = vector / group_ * lanes_;
  Lanes own(lanes_), rest(lanes_);
  for (std::size_t d = head * head_dim_; d < (head + 1) * head_dim_; ++d) {
    own[d] = round_to(kv_type_, q[vector * lanes_ + d]);
    rest[d] = round_to(kv_type_, q[vector * lanes_ + d] - own[d]);
  }
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim_)));
  std::vector<float> scores(tokens);
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* k = &layer.keys[t][base];
    float s = 0;
    if (kv_type_ == ElementType::Fp8E4m3) {
      s = dot(own.data(), k);
    } else {
      const std::size_t half = lanes_ / 2;
      const bool upper = pack_ * head_dim_ > half;
      s = dot_wide({own.data(), half}, {k, half});
      if (upper) s += dot_wide({&own[half], half}, {k + half, half});
      s += dot_wide({rest.data(), half}, {k, half});
      if (upper) s += dot_wide({&rest[half], half}, {k + half, half});
    }
    scores[t] = s * scale;
    largest = std::max(largest, scores[t]);
  }
  std::vector<float> p(blocks * lanes_), left(p), v(p), ones(blocks * lanes_, 1.0F);
  for (std::size_t t = 0; t < tokens; ++t) {
    float e = special::exp(scores[t] - largest);
    if (kv_type_ == ElementType::Fp8E4m3) e *= 256.0F;
    p[t] = round_to(kv_type_, e);
    left[t] = round_to(kv_type_, e - p[t]);
  }
  const float part = special::recip(weighted_sum(p, left, ones));
  Lanes result(lanes_);
  for (std::size_t d = head * head_dim_; d < (head + 1) * head_dim_; ++d) {
    for (std::size_t t = 0; t < tokens; ++t) v[t] = layer.values[t][base + d];
    result[d] = weighted_sum(p, left, v) * part;
  }
  return result;
}

LpuReference::Lanes LpuReference::attend(Layer& layer, const Lanes& q) const {
  Lanes result(q.size());
  for (std::size_t vector = 0; vector < packs_ * group_; ++vector) {
    const std::size_t j = vector / group_;
    const std::size_t heads = std::min(pack_, at(network_.kv_heads) - j * pack_);
    for (std::size_t p = 0; p < heads; ++p) {
      const Lanes o = attend_head(layer, q, vector, p);
      for (std::size_t l = 0; l < lanes_; ++l) result[vector * lanes_ + l] += o[l];
    }
  }
  return round(result, type_);
}

LpuReference::Lanes LpuReference::feed_forward_part(std::size_t index, const Lanes& hidden) const {
  const Layer& layer = layers_[index];
  const Lanes x = norm(hidden, weights_.layers[index].ffn_norm);
  const Lanes gate = multiply(layer.gate, x, at(network_.hidden));
  const Lanes up = multiply(layer.up, x, at(network_.hidden));
  Lanes inner(gate.size());
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const float g = gate[i] * layer.gate.scale;
    const float silu = g * special::recip(special::exp(-g) + 1.0F);
    inner[i] = round_to(type_, silu * (up[i] * layer.up.scale));
  }
  Lanes y = multiply(layer.down, inner, at(network_.intermediate));
  for (float& value : y) value *= layer.down.scale;
  return y;
}

LpuReference::Lanes LpuReference::embed(std::int32_t token) const {
  Lanes hidden((at(network_.hidden) + lanes_ - 1) / lanes_ * lanes_);
  for (std::int64_t i = 0; i < network_.hidden; ++i) {
    hidden[at(i)] = weights_.embedding.load(token * network_.hidden + i);
  }
  return hidden;
}

LpuReference::Lanes LpuReference::attention_part(std::size_t index, const Lanes& hidden) {
  Layer& layer = layers_[index];
  const Lanes x = norm(hidden, weights_.layers[index].attention_norm);
  const std::size_t live = at(network_.hidden);
  Lanes q = multiply(layer.q, x, live);
  rotate(q, layer.q.scale);
  Lanes k = multiply(layer.k, x, live);
  rotate(k, layer.k.scale);
  Lanes v = multiply(layer.v, x, live);
  for (float& value : v) value *= layer.v.scale;
  layer.keys.push_back(round(k, kv_type_));
  layer.values.push_back(round(v, kv_type_));
  const Lanes attended = attend(layer, q);
  Lanes y = multiply(layer.o, attended, std::min(pack_ * head_dim_, lanes_));
  for (float& value : y) value *= layer.o.scale;
  return y;
}

std::vector<float> LpuReference::logits(const Lanes& hidden) {
  const Lanes x = norm(hidden, weights_.final_norm);
  Lanes logits = multiply(head_, x, at(network_.hidden));
  for (float& value : logits) value *= head_.scale;
  logits.resize(at(network_.vocabulary));
  ++position_;
  return logits;
}

std::vector<float> LpuReference::forward(std::int32_t token) {
  Lanes hidden = embed(token);
  const auto add = [&](const Lanes& part) {
    for (std::size_t i = 0; i < part.size(); ++i) hidden[i] = part[i] + hidden[i];
  };
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    add(attention_part(l, hidden));
    add(feed_forward_part(l, hidden));
  }
  return logits(hidden);
}

GangReference::GangReference(std::vector<Weights> shares, ElementType weight_type,
                             ElementType kv_type, int lanes)
    : shares_(std::move(shares)) {
  for (const Weights& share : shares_) ranks_.emplace_back(share, weight_type, kv_type, lanes);
}

std::vector<float> GangReference::forward(std::int32_t token) {
  LpuReference::Lanes hidden = ranks_.front().embed(token);
  const auto add_parts = [&](auto part) {
    LpuReference::Lanes sum = part(ranks_.front());
    for (std::size_t r = 1; r < ranks_.size(); ++r) {
      const LpuReference::Lanes next = part(ranks_[r]);
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += next[i];
    }
    for (std::size_t i = 0; i < sum.size(); ++i) hidden[i] = sum[i] + hidden[i];
  };
  for (std::size_t l = 0; l < ranks_.front().layers(); ++l) {
    add_parts([&](LpuReference& rank) { return rank.attention_part(l, hidden); });
    add_parts([&](LpuReference& rank) { return rank.feed_forward_part(l, hidden); });
  }
  std::vector<float> logits;
  for (LpuReference& rank : ranks_) logits = rank.logits(hidden);
  return logits;
}

}  // namespace tandem::test
