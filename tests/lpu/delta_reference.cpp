#include "tests/lpu/delta_reference.hpp"

#include <algorithm>
#include <cmath>

#include "sim/numerics/dot.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::test {
namespace {

std::size_t at(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

float sigmoid(float x) {
  return special::recip(special::exp(-x) + 1.0F);
}

float silu(float x) {
  return x * sigmoid(x);
}

float softplus(float x) {
  const float tail = special::log2(special::exp(-std::fabs(x)) + 1.0F) * 0x1.62e43p-1F;
  return (x > 0.0F ? x : 0.0F) + tail;
}

std::vector<float> part(const std::vector<float>& values, std::size_t first, std::size_t count) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first);
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

std::vector<float> products(const std::vector<float>& x, const std::vector<float>& y) {
  std::vector<float> result;
  for (std::size_t i = 0; i < x.size(); ++i) result.push_back(x[i] * y[i]);
  return result;
}

}  // namespace

DeltaReference::DeltaReference(const ops::GatedDeltaShape& shape, const DeltaWeights& weights,
                               float epsilon, int lanes)
    : shape_(shape),
      weights_(weights),
      epsilon_(epsilon),
      lanes_(at(lanes)),
      history_(at(shape.conv_taps), std::vector<float>(at(shape.conv_channels()))),
      state_(at(shape.state_elements())) {}

// The values are the `place`-th segment of a vector; three pieces of bfloat16 against ones, half a
// vector at a time, the upper half only where heads reach it.
float DeltaReference::segment_sum(const std::vector<float>& values, std::size_t place,
                                  std::size_t lanes_in_use) const {
  std::vector<float> rest(lanes_), ones(lanes_);
  for (std::size_t i = 0; i < values.size(); ++i) {
    rest[place * values.size() + i] = values[i];
    ones[place * values.size() + i] = 1.0F;
  }
  const std::size_t half = lanes_ / 2;
  float sum = 0;
  for (int piece = 0; piece < 3; ++piece) {
    std::vector<float> rounded;
    for (float& x : rest) {
      rounded.push_back(round_to(ElementType::Bfloat16, x));
      x = x - rounded.back();
    }
    sum += dot_wide(part(rounded, 0, half), part(ones, 0, half));
    if (lanes_in_use > half) sum += dot_wide(part(rounded, half, half), part(ones, half, half));
  }
  return sum;
}

std::vector<float> DeltaReference::convolve(const std::vector<float>& input) {
  history_.erase(history_.begin());
  history_.push_back(input);
  const std::size_t taps = history_.size();
  std::vector<float> result;
  for (std::size_t c = 0; c < input.size(); ++c) {
    float sum = history_[0][c] * weights_.conv[c * taps];
    for (std::size_t tap = 1; tap < taps; ++tap) {
      sum = sum + history_[tap][c] * weights_.conv[c * taps + tap];
    }
    result.push_back(silu(sum));
  }
  return result;
}

std::vector<float> DeltaReference::head_step(std::size_t head, const std::vector<float>& channels,
                                             float decay, float strength) {
  const std::size_t dk = at(shape_.key_dim);
  const std::size_t dv = at(shape_.value_dim);
  const std::size_t group = at(shape_.value_heads / shape_.key_heads);
  const std::size_t key_head = head / group;
  const std::size_t keys_per_vector = std::min(at(shape_.key_heads), lanes_ / dk);
  const std::size_t key_place = key_head % keys_per_vector;
  const std::size_t key_lanes = keys_per_vector * dk;
  const std::size_t key_width = at(shape_.key_heads) * dk;
  const std::vector<float> q = part(channels, key_head * dk, dk);
  const std::vector<float> k = part(channels, key_width + key_head * dk, dk);
  const std::vector<float> v = part(channels, 2 * key_width + head * dv, dv);
  const float key_scale = special::rsqrt(segment_sum(products(k, k), key_place, key_lanes) + 1e-6F);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(dk)));
  const float query_scale =
      special::rsqrt(segment_sum(products(q, q), key_place, key_lanes) + 1e-6F) * scale;
  const float overlap =
      segment_sum(products(k, q), key_place, key_lanes) * (key_scale * query_scale);
  float* s = &state_[head * dk * dv];
  std::vector<float> output;
  for (std::size_t j = 0; j < dv; ++j) {
    float seen[2] = {s[j] * k[0], 0};
    float answered[2] = {s[j] * q[0], 0};
    for (std::size_t i = 1; i < dk + dk % 2; ++i) {  // a missing odd row counts as zeros
      const float by_key = i < dk ? s[i * dv + j] * k[i] : 0.0F;
      const float by_query = i < dk ? s[i * dv + j] * q[i] : 0.0F;
      seen[i % 2] = i == 1 ? by_key : seen[i % 2] + by_key;
      answered[i % 2] = i == 1 ? by_query : answered[i % 2] + by_query;
    }
    seen[0] = seen[0] + seen[1];
    answered[0] = answered[0] + answered[1];
    const float delta = (v[j] - decay * key_scale * seen[0]) * strength;
    output.push_back(decay * query_scale * answered[0] + delta * overlap);
    const float change = delta * key_scale;
    for (std::size_t i = 0; i < dk; ++i) s[i * dv + j] = decay * s[i * dv + j] + k[i] * change;
  }
  return output;
}

std::vector<float> DeltaReference::step(const DeltaInputs& inputs) {
  const std::vector<float> channels = convolve(inputs.channels);
  const std::size_t dv = at(shape_.value_dim);
  const std::size_t group = at(shape_.value_heads / shape_.key_heads);
  const std::size_t keys_per_vector = std::min(at(shape_.key_heads), lanes_ / at(shape_.key_dim));
  // A pack ends where its key vector does.
  const std::size_t heads_per_key_vector = group * keys_per_vector;
  const std::size_t pack_heads =
      std::min({lanes_ / dv, lanes_ / 2, heads_per_key_vector, at(shape_.value_heads)});
  std::vector<float> outputs;
  for (std::size_t head = 0; head < at(shape_.value_heads); ++head) {
    const float rate = -special::exp(weights_.a_log[head]);
    const float decay = special::exp(softplus(inputs.a[head] + weights_.dt_bias[head]) * rate);
    const std::vector<float> o = head_step(head, channels, decay, sigmoid(inputs.b[head]));
    const std::size_t place = head % heads_per_key_vector % pack_heads;
    const float sum = segment_sum(products(o, o), place, pack_heads * dv);
    const float mean = sum * static_cast<float>(1.0 / static_cast<double>(dv));
    const float inverse = special::rsqrt(mean + epsilon_);
    for (std::size_t j = 0; j < dv; ++j) {
      const float gate = silu(inputs.z[head * dv + j]) * weights_.norm[j];
      outputs.push_back(o[j] * inverse * gate);
    }
  }
  return outputs;
}

}  // namespace tandem::test
