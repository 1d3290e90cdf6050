// What heads take on in the order of the LPU: biases, norms over heads, rotary embedding.
#include <algorithm>
#include <cmath>

#include "sim/core/integers.hpp"
#include "sim/numerics/special.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
void LpuReference::make_extras(Layer& layer, std::int64_t index) const {
  const auto& kind = std::get<GroupedAttention>(layer.kind->mixer);
  const auto tensor = [&](const char* name) { return weights_.layer(index, name).floats(); };
  const auto spread = [](std::span<const float> values, const std::vector<std::int64_t>& map) {
    Lanes lanes;
    for (const std::int64_t channel : map) {
      lanes.push_back(channel < 0 ? 0.0F : values[index_of(channel)]);
    }
    return lanes;
  };
  if (kind.qkv_bias) {
    layer.query.bias =
        spread(tensor("attention.query_bias"), packed(attention_.heads / attention_.kv_heads));
    layer.key.bias = spread(tensor("attention.key_bias"), packed(1));
    layer.value_bias = spread(
        tensor(kind.keys_are_values ? "attention.key_bias" : "attention.value_bias"), packed(1));
  }
  const auto copy = [](std::span<const float> values) {
    return Lanes(values.begin(), values.end());
  };
  if (kind.output_bias) layer.output_bias = copy(tensor("attention.output_bias"));
  if (kind.sinks) layer.sinks = copy(tensor("attention.sinks"));
  if (kind.qk_norm == QkNorm::None) return;
  layer.query.norm = copy(tensor("attention.query_norm"));
  layer.key.norm = copy(tensor("attention.key_norm"));
  layer.key.which = 1;
  layer.query.all_heads = layer.key.all_heads = kind.qk_norm == QkNorm::AllHeads;
  for (auto* extras : {&layer.query, &layer.key}) {
    for (float& weight : extras->norm) weight = norm_weight(weight);
  }
  if (kind.qk_norm != QkNorm::AllHeads) return;
  layer.query.norm = spread(layer.query.norm, packed(attention_.heads / attention_.kv_heads));
  layer.key.norm = spread(layer.key.norm, packed(1));
}

// The oldest token that the newest one sees: a window counts the newest one.
std::size_t LpuReference::first_seen(const Layer& layer) {
  const std::size_t window = index_of(std::get<GroupedAttention>(layer.kind->mixer).shape.window);
  const std::size_t tokens = layer.keys.size();
  return window > 0 && tokens > window ? tokens - window : 0;
}

float LpuReference::norm_weight(float stored) const {
  return network_.norm.one_plus_weight ? 1.0F + stored : stored;
}

// A matrix of queries and gates: a head's queries, then its gates.
std::vector<std::int64_t> LpuReference::half_of_pairs(std::vector<std::int64_t> map,
                                                      std::int64_t width, int which) {
  for (std::int64_t& channel : map) {
    if (channel >= 0) channel = channel / width * 2 * width + which * width + channel % width;
  }
  return map;
}

void LpuReference::make_queries(Layer& layer, std::int64_t index) const {
  const Tensor& query = weights_.layer(index, "attention.query");
  const auto heads = packed(attention_.heads / attention_.kv_heads);
  const auto hidden = natural(network_.hidden);
  if (!std::get<GroupedAttention>(layer.kind->mixer).output_gate) {
    layer.q = make(query, heads, hidden);
    return;
  }
  layer.q = make(query, half_of_pairs(heads, attention_.head_dim, 0), hidden);
  layer.gate = make(query, half_of_pairs(heads, attention_.head_dim, 1), hidden);
}

LpuReference::Lanes LpuReference::gates_of(const Layer& layer, const Lanes& x) const {
  if (layer.gate.outputs == 0) return {};
  Lanes gates = multiply(layer.gate, x, index_of(network_.hidden));
  for (float& gate : gates) {
    gate = special::recip(special::exp(-(gate * layer.gate.scale)) + 1.0F);
  }
  return gates;
}

// Angle and partner of a channel, and whether it is the first of its pair.
LpuReference::Turn LpuReference::turn_of(std::size_t channel) const {
  const ops::Rope& rope = *rope_;
  const std::size_t turning = rope.rotated == 0 ? head_dim_ : index_of(rope.rotated);
  const bool whole = rope.partial == ops::PartialRotary::Proportional;
  const std::size_t rotated = whole ? head_dim_ : turning;
  if (channel >= rotated) return {channel, 1.0F, 0.0F};
  const bool pairs = rope.layout == RopeLayout::Interleaved;
  const std::size_t half = rotated / 2;
  const std::size_t index = pairs ? channel / 2 : channel % half;
  const bool first = pairs ? channel % 2 == 0 : channel < half;
  const std::size_t partner = pairs ? channel ^ 1U : (first ? channel + half : channel - half);
  double frequency =
      std::pow(rope.theta, -2.0 * static_cast<double>(index) / static_cast<double>(rotated));
  double magnitude = 1;
  if (2 * index >= turning) frequency = 0;
  if (const auto* linear = std::get_if<ops::LinearScaling>(&rope.scaling)) {
    frequency = frequency / linear->factor;
  }
  if (const auto* yarn = std::get_if<ops::YarnScaling>(&rope.scaling)) {
    const ops::YarnRange range = ops::yarn_range(rope);
    const double ramp =
        std::clamp((static_cast<double>(index) - range.low) / (range.high - range.low), 0.0, 1.0);
    frequency = frequency / yarn->factor * ramp + frequency * (1 - ramp);
    magnitude = ops::rope_magnitude(rope);
  }
  const double angle = static_cast<double>(position_) * frequency;
  const auto sine = static_cast<float>(magnitude * std::sin(angle));
  return {partner, static_cast<float>(magnitude * std::cos(angle)), first ? -sine : sine};
}

// A bias and the weights of a norm come before the rotation, what the norm divides by after it.
void LpuReference::rotate(Lanes& x, float scale, const Extras& extras) const {
  const bool is_plain = extras.bias.empty() && extras.norm.empty();
  Lanes old = x;
  Lanes inverse;
  if (!is_plain) {
    for (float& value : old) value *= scale;
    for (std::size_t i = 0; i < extras.bias.size(); ++i) old[i] += extras.bias[i];
    if (!extras.norm.empty()) {
      inverse = extras.all_heads ? inverse_of_all(old, extras) : inverse_rms(old);
    }
    for (std::size_t i = 0; i < old.size() && !extras.norm.empty(); ++i) {
      old[i] *= extras.norm[extras.all_heads ? i : i % lanes_ % head_dim_];
    }
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t lane = i % lanes_;
    if (lane >= pack_ * head_dim_) {
      x[i] = 0;
      continue;
    }
    if (!rope_) {
      x[i] = is_plain ? x[i] * scale : old[i];
      if (!inverse.empty()) x[i] *= inverse[i];
      continue;
    }
    const Turn turn = turn_of(lane % head_dim_);
    const float a = old[i] * turn.cosine;
    const float b = old[i - lane % head_dim_ + turn.partner] * turn.sine;
    x[i] = is_plain ? (a + b) * scale : a + b;
    if (!inverse.empty()) x[i] *= inverse[i];
  }
}

// Lane by lane over the vectors.
LpuReference::Lanes LpuReference::sum_of_squares(const Lanes& x) const {
  Lanes sums(lanes_);
  for (std::size_t i = 0; i < x.size(); ++i) {
    sums[i % lanes_] = i < lanes_ ? x[i] * x[i] : sums[i % lanes_] + x[i] * x[i];
  }
  return sums;
}

LpuReference::Lanes LpuReference::inverse_of_all(const Lanes& x, const Extras& extras) const {
  const Lanes& given = given_squares_[extras.which];
  Lanes sums = sum_over_lanes(given.empty() ? sum_of_squares(x) : given);
  const std::int64_t heads = extras.which == 0 ? attention_.heads : attention_.kv_heads;
  const auto part =
      static_cast<float>(1.0 / static_cast<double>(heads * attention_.head_dim * ranks_));
  Lanes inverse;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float mean = sums[i % lanes_] * part;
    inverse.push_back(special::rsqrt(mean + static_cast<float>(network_.norm.epsilon)));
  }
  return inverse;
}

std::array<LpuReference::Lanes, 2> LpuReference::head_squares(std::size_t index,
                                                              const Lanes& hidden) {
  const Layer& layer = layers_[index];
  if (!layer.query.all_heads) return {};
  const Lanes x = norm(hidden, prefix_of(index) + "attention_norm");
  const auto squares = [&](const Matrix& matrix, const Extras& extras) {
    Lanes y = multiply(matrix, x, index_of(network_.hidden));
    for (float& value : y) value *= matrix.scale;
    for (std::size_t i = 0; i < extras.bias.size(); ++i) y[i] += extras.bias[i];
    return sum_of_squares(y);
  };
  return {squares(layer.q, layer.query), squares(layer.k, layer.key)};
}

void LpuReference::give_squares(const std::array<Lanes, 2>& sums, std::int64_t ranks) {
  given_squares_ = sums;
  ranks_ = ranks;
}

// Of its own projection or that of the keys, before their norm and rotation.
LpuReference::Lanes LpuReference::value_of(const Layer& layer, const Lanes& x, Lanes key) const {
  const auto& kind = std::get<GroupedAttention>(layer.kind->mixer);
  const Matrix& matrix = kind.keys_are_values ? layer.k : layer.v;
  Lanes v = kind.keys_are_values ? std::move(key) : multiply(layer.v, x, index_of(network_.hidden));
  for (float& value : v) value *= matrix.scale;
  for (std::size_t i = 0; i < layer.value_bias.size(); ++i) v[i] += layer.value_bias[i];
  if (!kind.value_norm) return v;
  const Lanes inverse = inverse_rms(v);
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (i % lanes_ < pack_ * head_dim_) v[i] *= inverse[i];
  }
  return v;
}

// Over the channels of each head: rounds of rotations within it, terms of a round in order.
LpuReference::Lanes LpuReference::inverse_rms(const Lanes& x) const {
  Lanes sums;
  for (const float value : x) sums.push_back(value * value);
  std::size_t rest = head_dim_;
  std::size_t distance = head_dim_;
  for (const std::size_t radix : {4UL, 5UL, 3UL, 2UL}) {
    while (rest % radix == 0) {
      rest /= radix;
      distance /= radix;
      const Lanes old = sums;
      for (std::size_t i = 0; i < old.size(); ++i) {
        const std::size_t lane = i % lanes_;
        if (lane >= pack_ * head_dim_) continue;
        const std::size_t first = i - lane % head_dim_;
        sums[i] = old[i];
        for (std::size_t c = 1; c < radix; ++c) {
          sums[i] = sums[i] + old[first + (i - first + c * distance) % head_dim_];
        }
      }
    }
  }
  const auto part = static_cast<float>(1.0 / static_cast<double>(head_dim_));
  for (float& sum : sums) {
    sum = special::rsqrt(sum * part + static_cast<float>(network_.norm.epsilon));
  }
  return sums;
}

}  // namespace tandem::test
