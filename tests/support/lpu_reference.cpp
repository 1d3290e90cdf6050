#include "tests/support/lpu_reference.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sim/core/integers.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::test {
namespace {

std::vector<std::uint8_t> e4m3_codes_of(std::span<const float> values) {
  std::vector<std::uint8_t> codes;
  codes.reserve(values.size());
  for (const float value : values) codes.push_back(encode_fp8_e4m3(value));
  return codes;
}

}  // namespace
LpuReference::LpuReference(const Weights& weights, ElementType weight_type, ElementType kv_type,
                           int lanes)
    : weights_(weights),
      network_(weights.network),
      attention_(heads_of(network_.kinds.front().mixer)),
      rope_(rope_of(network_.kinds.front().mixer)),
      type_(weight_type),
      kv_type_(kv_type),
      lanes_(index_of(lanes)),
      head_dim_(index_of(attention_.head_dim)) {
  const std::size_t kv_heads = index_of(attention_.kv_heads);
  pack_ = std::max<std::size_t>(1, std::min(kv_heads, (lanes_ - 1) / head_dim_));
  packs_ = (kv_heads + pack_ - 1) / pack_;
  group_ = index_of(attention_.heads / attention_.kv_heads);
  const auto hidden = natural(network_.hidden);
  const auto heads = packed(attention_.heads / attention_.kv_heads);
  const auto kv = packed(1);
  for (std::int64_t l = 0; l < network_.layers(); ++l) {
    Layer layer;
    layer.kind = &network_.layer(l);
    if (std::holds_alternative<LatentAttention>(layer.kind->mixer)) {
      make_latent(layer, l);
    } else if (layer.kind->has_mixer()) {
      make_queries(layer, l);
      layer.k = make(weights.layer(l, "attention.key"), kv, hidden);
      if (!std::get<GroupedAttention>(layer.kind->mixer).keys_are_values) {
        layer.v = make(weights.layer(l, "attention.value"), kv, hidden);
      }
      layer.o = make(weights.layer(l, "attention.output"), hidden, heads);
      make_extras(layer, l);
    }
    make_dense(layer, l);
    if (layer.kind->ffn.experts) make_experts(layer, l);
    layers_.push_back(std::move(layer));
  }
  head_ = make(weights.head(), natural(network_.vocabulary), hidden);
}

std::vector<std::int64_t> LpuReference::natural(std::int64_t width) const {
  const std::size_t padded = (index_of(width) + lanes_ - 1) / lanes_ * lanes_;
  std::vector<std::int64_t> map(padded, -1);
  for (std::int64_t i = 0; i < width; ++i) map[index_of(i)] = i;
  return map;
}

// Vector (pack j, member g of the group), lanes of kv head p of the pack.
std::vector<std::int64_t> LpuReference::packed(std::int64_t group) const {
  std::vector<std::int64_t> map(packs_ * index_of(group) * lanes_, -1);
  for (std::int64_t kv = 0; kv < attention_.kv_heads; ++kv) {
    const std::size_t j = index_of(kv) / pack_;
    const std::size_t p = index_of(kv) % pack_;
    for (std::int64_t g = 0; g < group; ++g) {
      const std::size_t first = (j * index_of(group) + index_of(g)) * lanes_ + p * head_dim_;
      for (std::size_t d = 0; d < head_dim_; ++d) {
        map[first + d] = (kv * group + g) * attention_.head_dim + static_cast<std::int64_t>(d);
      }
    }
  }
  return map;
}

float LpuReference::scale_of(std::span<const float> values) const {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  return type_ == ElementType::Fp8E4m3 && largest > 0 ? largest / 448.0F : 1.0F;
}

LpuReference::Matrix LpuReference::make(const Tensor& tensor,
                                        const std::vector<std::int64_t>& outputs,
                                        const std::vector<std::int64_t>& inputs) const {
  return make(tensor.floats(), tensor.dim(1), scale_of(tensor.floats()), outputs, inputs);
}

LpuReference::Matrix LpuReference::make(std::span<const float> values, std::int64_t width,
                                        float scale, const std::vector<std::int64_t>& outputs,
                                        const std::vector<std::int64_t>& inputs) const {
  Matrix matrix;
  matrix.scale = scale;
  matrix.outputs = outputs.size();
  matrix.inputs = inputs.size();
  matrix.values.resize(outputs.size() * inputs.size());
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (outputs[o] < 0 || inputs[i] < 0) continue;
      const float w = values[index_of(outputs[o] * width + inputs[i])];
      matrix.values[o * inputs.size() + i] = round_to(type_, w / matrix.scale);
    }
  }
  if (type_ == ElementType::Fp8E4m3) matrix.codes = e4m3_codes_of(matrix.values);
  return matrix;
}

LpuReference::Lanes LpuReference::round(const Lanes& values, ElementType type) const {
  Lanes result;
  for (const float v : values) result.push_back(round_to(type, v));
  return result;
}

// One-byte types: exact over a vector. Two-byte types: half a vector at a time (see multiply).
float LpuReference::dot(const float* a, const float* b) const {
  return dot_fp8_e4m3(e4m3_codes_of({a, lanes_}), e4m3_codes_of({b, lanes_}));
}

// `live`: input lanes of each vector that carry anything; an upper half without any is skipped.
LpuReference::Lanes LpuReference::multiply(const Matrix& matrix, const Lanes& input,
                                           std::size_t live) const {
  return multiply(matrix, input, live, 0, matrix.inputs);
}

// Of the input lanes from `begin` to `end` alone.
LpuReference::Lanes LpuReference::multiply(const Matrix& matrix, const Lanes& input,
                                           std::size_t live, std::size_t begin,
                                           std::size_t end) const {
  if (type_ == ElementType::Fp8E4m3) return multiply_codes(matrix, input, begin, end);
  Lanes result(matrix.outputs);
  const std::size_t half = lanes_ / 2;
  for (std::size_t o = 0; o < matrix.outputs; ++o) {
    float sum = 0;
    for (std::size_t first = begin; first < end; first += lanes_) {
      const float* w = &matrix.values[o * matrix.inputs + first];
      sum += dot_wide({&input[first], half}, {w, half});
      const bool upper = live > lanes_ ? live - std::min(live, first) > half : live > half;
      if (upper) sum += dot_wide({&input[first + half], half}, {w + half, half});
    }
    result[o] = sum;
  }
  return result;
}

LpuReference::Lanes LpuReference::multiply_codes(const Matrix& matrix, const Lanes& input,
                                                 std::size_t begin, std::size_t end) const {
  const std::vector<std::uint8_t> codes = e4m3_codes_of(input);
  Lanes result(matrix.outputs);
  for (std::size_t o = 0; o < matrix.outputs; ++o) {
    for (std::size_t first = begin; first < end; first += lanes_) {
      result[o] +=
          dot_fp8_e4m3({&codes[first], lanes_}, {&matrix.codes[o * matrix.inputs + first], lanes_});
    }
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
  const std::size_t first = first_seen(layer);
  const std::size_t base = vector / group_ * lanes_;
  Lanes own(lanes_), rest(lanes_);
  for (std::size_t d = head * head_dim_; d < (head + 1) * head_dim_; ++d) {
    own[d] = round_to(kv_type_, q[vector * lanes_ + d]);
    rest[d] = round_to(kv_type_, q[vector * lanes_ + d] - own[d]);
  }
  const double scale =
      attention_.scale != 0 ? attention_.scale : 1.0 / std::sqrt(static_cast<double>(head_dim_));
  const double cap = attention_.softcap;
  std::vector<float> scores(tokens);
  const std::size_t of_group = vector % group_;
  const std::size_t index = (vector / group_ * pack_ + head) * group_ + of_group;
  float largest =
      layer.sinks.empty() ? -std::numeric_limits<float>::infinity() : layer.sinks[index];
  for (std::size_t t = first; t < tokens; ++t) {
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
    scores[t] = cap == 0
                    ? s * static_cast<float>(scale)
                    : special::tanh(s * static_cast<float>(scale / cap)) * static_cast<float>(cap);
    largest = std::max(largest, scores[t]);
  }
  std::vector<float> p(blocks * lanes_), left(p), v(p), ones(blocks * lanes_, 1.0F);
  for (std::size_t t = first; t < tokens; ++t) {
    float e = special::exp(scores[t] - largest);
    if (kv_type_ == ElementType::Fp8E4m3) e *= 256.0F;
    p[t] = round_to(kv_type_, e);
    left[t] = round_to(kv_type_, e - p[t]);
  }
  float total = weighted_sum(p, left, ones);
  if (!layer.sinks.empty()) {
    const float share = special::exp(layer.sinks[index] - largest);
    total += kv_type_ == ElementType::Fp8E4m3 ? share * 256.0F : share;
  }
  const float part = special::recip(total);
  Lanes result(lanes_);
  for (std::size_t d = head * head_dim_; d < (head + 1) * head_dim_; ++d) {
    for (std::size_t t = 0; t < tokens; ++t) v[t] = layer.values[t][base + d];
    result[d] = weighted_sum(p, left, v) * part;
  }
  return result;
}

LpuReference::Lanes LpuReference::attend(Layer& layer, const Lanes& q, const Lanes& gates) const {
  Lanes result(q.size());
  for (std::size_t vector = 0; vector < packs_ * group_; ++vector) {
    const std::size_t j = vector / group_;
    const std::size_t heads = std::min(pack_, index_of(attention_.kv_heads) - j * pack_);
    for (std::size_t p = 0; p < heads; ++p) {
      const Lanes o = attend_head(layer, q, vector, p);
      for (std::size_t l = 0; l < lanes_; ++l) result[vector * lanes_ + l] += o[l];
    }
  }
  for (std::size_t i = 0; i < gates.size(); ++i) result[i] *= gates[i];
  return round(result, type_);
}

LpuReference::Lanes LpuReference::attention_part(std::size_t index, const Lanes& hidden) {
  Layer& layer = layers_[index];
  if (!layer.key_up.empty()) return latent_part(index, hidden);
  const Lanes x = norm(hidden, prefix_of(index) + "attention_norm");
  const std::size_t live = index_of(network_.hidden);
  Lanes q = multiply(layer.q, x, live);
  rotate(q, layer.q.scale, layer.query);
  Lanes k = multiply(layer.k, x, live);
  const Lanes v = value_of(layer, x, k);
  rotate(k, layer.k.scale, layer.key);
  layer.keys.push_back(round(k, kv_type_));
  layer.values.push_back(round(v, kv_type_));
  bias_ = layer.output_bias;
  const Lanes attended = attend(layer, q, gates_of(layer, x));
  if (index == 0) {
    trace_["rotated queries"] = round(q, kv_type_);
    trace_["attended"] = attended;
  }
  Lanes y = multiply(layer.o, attended, std::min(pack_ * head_dim_, lanes_));
  for (float& value : y) value *= layer.o.scale;
  return y;
}

std::vector<float> LpuReference::logits(const Lanes& hidden) {
  const Lanes x = norm(hidden, "final_norm");
  Lanes logits = multiply(head_, x, index_of(network_.hidden));
  const double cap = network_.final_softcap;
  for (float& value : logits) {
    value *= head_.scale;
    if (cap != 0) {
      value = special::tanh(value * static_cast<float>(1 / cap)) * static_cast<float>(cap);
    }
  }
  logits.resize(index_of(network_.vocabulary));
  trace_["logits"] = logits;
  trace_["best token"] = {
      static_cast<float>(std::max_element(logits.begin(), logits.end()) - logits.begin())};
  ++position_;
  return logits;
}

std::vector<float> LpuReference::forward(std::int32_t token) {
  Lanes hidden = embed(token);
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    add_half(hidden, attention_part(l, hidden), l, "attention_post_norm");
    add_half(hidden, feed_forward_part(l, hidden), l, "ffn_post_norm");
    if (l == 0) trace_["hidden"] = hidden;
  }
  return logits(hidden);
}

GangReference::GangReference(std::vector<Weights> shares, ElementType weight_type,
                             ElementType kv_type, int lanes, std::size_t trays)
    : trays_(trays), shares_(std::move(shares)) {
  for (const Weights& share : shares_) ranks_.emplace_back(share, weight_type, kv_type, lanes);
}

LpuReference::Lanes GangReference::sum_of(
    const std::function<LpuReference::Lanes(LpuReference&)>& part_of) {
  const auto add = [](LpuReference::Lanes& sum, const LpuReference::Lanes& next) {
    if (sum.empty()) {
      sum = next;
      return;
    }
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += next[i];
  };
  const std::size_t chips = ranks_.size() / trays_;
  LpuReference::Lanes total;
  for (std::size_t tray = 0; tray < trays_; ++tray) {
    LpuReference::Lanes sum;
    for (std::size_t k = 0; k < chips; ++k) add(sum, part_of(ranks_[tray * chips + k]));
    add(total, sum);
  }
  return total;
}

// Norms over all heads: squares of queries and of keys.
void GangReference::share_squares(std::size_t layer, const LpuReference::Lanes& hidden) {
  std::array<LpuReference::Lanes, 2> sums;
  for (std::size_t which = 0; which < 2; ++which) {
    sums[which] =
        sum_of([&](LpuReference& rank) { return rank.head_squares(layer, hidden)[which]; });
  }
  const auto count = static_cast<std::int64_t>(ranks_.size());
  for (LpuReference& rank : ranks_) rank.give_squares(sums, count);
}

void GangReference::feed_forward(std::size_t layer, LpuReference::Lanes& hidden) {
  LpuReference::Lanes sum =
      sum_of([&](LpuReference& rank) { return rank.feed_forward_part(layer, hidden); });
  ranks_.front().add_half(hidden, std::move(sum), layer, "ffn_post_norm");
}

std::vector<float> GangReference::forward(std::int32_t token) {
  LpuReference::Lanes hidden = ranks_.front().embed(token);
  for (std::size_t l = 0; l < ranks_.front().layers(); ++l) {
    share_squares(l, hidden);
    ranks_.front().add_half(
        hidden, sum_of([&](LpuReference& rank) { return rank.attention_part(l, hidden); }), l,
        "attention_post_norm");
    feed_forward(l, hidden);
  }
  std::vector<float> logits;
  for (LpuReference& rank : ranks_) logits = rank.logits(hidden);
  return logits;
}

}  // namespace tandem::test
