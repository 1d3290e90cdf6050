// Multi-head latent attention in the formats and the order of the LPU: absorbed, its sums in the
// order in which the chip takes vectors. Lanes are worked out here on their own.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "sim/core/integers.hpp"
#include "sim/numerics/dot.hpp"
#include "sim/numerics/special.hpp"
#include "tests/support/lpu_reference.hpp"

namespace tandem::test {
// Where the parts of a head and of a cached token lie.
struct LpuReference::LatentLanes {
  std::size_t lanes, heads, nope, rope, value, rank;
  std::size_t key_width, rope_at;  // of a key over whole vectors; of its rotated part
  std::size_t by_nope, by_rope, by_value;

  LatentLanes(const ops::LatentShape& s, std::size_t width)
      : lanes(width),
        heads(index_of(s.heads)),
        nope(index_of(s.nope_dim)),
        rope(index_of(s.rope_dim)),
        value(index_of(s.value_dim)),
        rank(index_of(s.kv_rank)),
        by_nope(lanes / nope),
        by_rope(lanes / rope),
        by_value(lanes / value) {
    const std::size_t behind = rank % lanes;
    const bool fits = behind != 0 && behind + rope <= lanes;
    rope_at = fits ? rank : (rank + lanes - 1) / lanes * lanes;
    key_width = (rope_at + rope + lanes - 1) / lanes * lanes;
  }
  [[nodiscard]] std::size_t latent_width() const { return (rank + lanes - 1) / lanes * lanes; }
};

// Of latent attention: one key, of which what rotates counts. Mixers elsewhere and recurrent ones
// ask nothing of it.
ops::AttentionShape LpuReference::heads_of(const Mixer& mixer) {
  if (const auto* grouped = std::get_if<GroupedAttention>(&mixer)) return grouped->shape;
  ops::AttentionShape shape;
  shape.heads = shape.kv_heads = shape.head_dim = 1;
  if (const auto* latent = std::get_if<LatentAttention>(&mixer)) {
    shape.heads = latent->shape.heads;
    shape.head_dim = latent->shape.rope_dim;
  }
  return shape;
}

std::optional<ops::Rope> LpuReference::rope_of(const Mixer& mixer) {
  if (const auto* grouped = std::get_if<GroupedAttention>(&mixer)) return grouped->rope;
  const auto* latent = std::get_if<LatentAttention>(&mixer);
  return latent != nullptr ? std::optional(latent->rope) : std::nullopt;
}

void LpuReference::make_latent(Layer& layer, std::int64_t index) const {
  const auto& s = std::get<LatentAttention>(layer.kind->mixer).shape;
  const LatentLanes l(s, lanes_);
  const auto hidden = natural(network_.hidden);
  const auto query = s.query_rank > 0 ? natural(s.query_rank) : hidden;
  if (s.query_rank > 0) {
    layer.query_down = make(weights_.layer(index, "attention.query_down"), query, hidden);
  }
  std::vector<std::int64_t> keys(l.key_width, -1);
  for (std::size_t c = 0; c < l.rank; ++c) keys[c] = static_cast<std::int64_t>(c);
  for (std::size_t d = 0; d < l.rope; ++d) {
    keys[l.rope_at + d] = static_cast<std::int64_t>(l.rank + d);
  }
  layer.kv_down = make(weights_.layer(index, "attention.kv_down"), keys, hidden);
  // All heads one behind the other: lanes matter to sums over inputs only.
  layer.query_up =
      make(weights_.layer(index, "attention.query_up"), natural(s.heads * s.query_dim()), query);
  const Tensor& up = weights_.layer(index, "attention.kv_up");
  const float scale = scale_of(up.floats());
  const auto latent = natural(s.kv_rank);
  const std::size_t outputs = (l.heads + l.by_value - 1) / l.by_value;
  std::vector<std::int64_t> mixed(outputs * lanes_, -1);
  for (std::size_t h = 0; h < l.heads; ++h) {
    const auto row = static_cast<std::int64_t>(h * (l.nope + l.value));
    std::vector<std::int64_t> inputs(lanes_, -1);
    for (std::size_t d = 0; d < l.nope; ++d) {
      inputs[h % l.by_nope * l.nope + d] = (row + static_cast<std::int64_t>(d)) * s.kv_rank;
    }
    layer.key_up.push_back(make(up.floats(), 1, scale, latent, inputs));
    std::vector<std::int64_t> rows(lanes_, -1);
    for (std::size_t d = 0; d < l.value; ++d) {
      rows[h % l.by_value * l.value + d] = row + s.nope_dim + static_cast<std::int64_t>(d);
      mixed[h / l.by_value * lanes_ + h % l.by_value * l.value + d] =
          static_cast<std::int64_t>(h * l.value + d);
    }
    layer.value_up.push_back(make(up.floats(), s.kv_rank, scale, rows, latent));
  }
  layer.o = make(weights_.layer(index, "attention.output"), hidden, mixed);
}

// In fp32; sums of squares vector by vector, then over lanes.
LpuReference::Lanes LpuReference::latent_norm(const Lanes& x, const Tensor& weights) const {
  const auto width = index_of(weights.elements());
  Lanes squares(lanes_);
  for (std::size_t i = 0; i < x.size(); ++i) {
    squares[i % lanes_] = i < lanes_ ? x[i] * x[i] : squares[i % lanes_] + x[i] * x[i];
  }
  const auto part = static_cast<float>(1.0 / static_cast<double>(width));
  Lanes y(x.size());
  const Lanes totals = sum_over_lanes(squares);
  for (std::size_t i = 0; i < width; ++i) {
    const float mean = totals[i % lanes_] * part;
    const float inverse = special::rsqrt(mean + static_cast<float>(network_.norm.epsilon));
    y[i] = (x[i] * inverse) * weights.load(static_cast<std::int64_t>(i));
  }
  return y;
}

void LpuReference::append_latent(Layer& layer, std::int64_t index, const Lanes& x) const {
  const LatentLanes l(std::get<LatentAttention>(layer.kind->mixer).shape, lanes_);
  const Lanes down = multiply(layer.kv_down, x, index_of(network_.hidden));
  Lanes raw(l.latent_width());
  for (std::size_t c = 0; c < l.rank; ++c) raw[c] = down[c] * layer.kv_down.scale;
  Lanes key = latent_norm(raw, weights_.layer(index, "attention.kv_norm"));
  key.resize(l.key_width);
  for (std::size_t d = 0; d < l.rope; ++d) {
    const Turn turn = turn_of(d);
    const float a = down[l.rope_at + d] * turn.cosine;
    const float b = down[l.rope_at + turn.partner] * turn.sine;
    key[l.rope_at + d] = (a + b) * layer.kv_down.scale;
  }
  layer.keys.push_back(round(key, kv_type_));
}

// What a head asks of cached tokens, fp32.
LpuReference::Lanes LpuReference::latent_query(const Layer& layer, const Lanes& up,
                                               std::size_t head) const {
  const LatentLanes l(std::get<LatentAttention>(layer.kind->mixer).shape, lanes_);
  const float* own = &up[head * (l.nope + l.rope)];
  Lanes part(lanes_);
  for (std::size_t d = 0; d < l.nope; ++d) {
    part[head % l.by_nope * l.nope + d] = round_to(type_, own[d] * layer.query_up.scale);
  }
  const Matrix& key_up = layer.key_up[head];
  Lanes query = multiply(key_up, part, lanes_);
  for (float& value : query) value *= key_up.scale;
  query.resize(l.key_width);
  for (std::size_t d = 0; d < l.rope; ++d) {
    const Turn turn = turn_of(d);
    const float a = own[l.nope + d] * turn.cosine;
    const float b = own[l.nope + turn.partner] * turn.sine;
    query[l.rope_at + d] = (a + b) * layer.query_up.scale;
  }
  return query;
}

// Vectors of even and of odd number are summed apart; of each, the rounded query first, then what
// rounding took from it.
float LpuReference::latent_score(const Lanes& own, const Lanes& rest, const Lanes& key) const {
  std::array<float, 2> sums{};
  const std::size_t half = lanes_ / 2;
  for (std::size_t first = 0; first < key.size(); first += lanes_) {
    float& sum = sums[first / lanes_ % 2];
    if (kv_type_ == ElementType::Fp8E4m3) {
      sum += dot(&own[first], &key[first]);
      continue;
    }
    for (const Lanes* part : {&own, &rest}) {
      for (const std::size_t from : {first, first + half}) {
        sum += dot_wide({&(*part)[from], half}, {&key[from], half});
      }
    }
  }
  return key.size() > lanes_ ? sums[0] + sums[1] : sums[0];
}

// The mean of the latents under a head's softmax, rounded for the product with its values.
LpuReference::Lanes LpuReference::mean_latent(const Layer& layer, const Lanes& query) const {
  const auto& s = std::get<LatentAttention>(layer.kind->mixer).shape;
  const LatentLanes l(s, lanes_);
  const std::size_t tokens = layer.keys.size();
  const Lanes own = round(query, kv_type_);
  Lanes rest(query.size());
  for (std::size_t i = 0; i < query.size(); ++i) {
    rest[i] = round_to(kv_type_, query[i] - own[i]);
  }
  const auto scale =
      static_cast<float>(s.scale_factor / std::sqrt(static_cast<double>(s.query_dim())));
  Lanes scores;
  float largest = -std::numeric_limits<float>::infinity();
  for (const Lanes& key : layer.keys) {
    scores.push_back(latent_score(own, rest, key) * scale);
    largest = std::max(largest, scores.back());
  }
  const std::size_t padded = (tokens + lanes_ - 1) / lanes_ * lanes_;
  Lanes p(padded), left(padded), v(padded), ones(padded, 1.0F);
  for (std::size_t t = 0; t < tokens; ++t) {
    float e = special::exp(scores[t] - largest);
    if (kv_type_ == ElementType::Fp8E4m3) e *= 256.0F;
    p[t] = round_to(kv_type_, e);
    left[t] = round_to(kv_type_, e - p[t]);
  }
  const float part = special::recip(weighted_sum(p, left, ones));
  Lanes mean(l.latent_width());
  for (std::size_t c = 0; c < l.rank; ++c) {
    for (std::size_t t = 0; t < tokens; ++t) v[t] = layer.keys[t][c];
    mean[c] = round_to(type_, weighted_sum(p, left, v) * part);
  }
  return mean;
}

// A head's vectors of latents follow each other in the sum of its vector of values, and heads do.
LpuReference::Lanes LpuReference::latent_part(std::size_t index, const Lanes& hidden) {
  Layer& layer = layers_[index];
  const auto number = static_cast<std::int64_t>(index);
  const auto& s = std::get<LatentAttention>(layer.kind->mixer).shape;
  const LatentLanes l(s, lanes_);
  const Lanes x = norm(hidden, prefix_of(index) + "attention_norm");
  Lanes latent = x;
  if (s.query_rank > 0) {
    latent = multiply(layer.query_down, x, index_of(network_.hidden));
    for (float& value : latent) value *= layer.query_down.scale;
    latent = round(latent_norm(latent, weights_.layer(number, "attention.query_norm")), type_);
  }
  append_latent(layer, number, x);
  const Lanes up =
      multiply(layer.query_up, latent, index_of(s.query_rank > 0 ? s.query_rank : network_.hidden));
  Lanes attended(layer.o.inputs);
  for (std::size_t h = 0; h < l.heads; ++h) {
    const Lanes mean = mean_latent(layer, latent_query(layer, up, h));
    const Lanes values = multiply(layer.value_up[h], mean, lanes_);
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      float& sum = attended[h / l.by_value * lanes_ + lane];
      sum += values[lane] * layer.value_up[h].scale;
    }
  }
  attended = round(attended, type_);
  bias_.clear();
  Lanes y = multiply(layer.o, attended, lanes_);
  for (float& value : y) value *= layer.o.scale;
  return y;
}

}  // namespace tandem::test
