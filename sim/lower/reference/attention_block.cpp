#include "sim/lower/reference/attention_block.hpp"

#include <algorithm>

#include "sim/numerics/ops/attention.hpp"
#include "sim/numerics/ops/gate.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "sim/numerics/ops/rope.hpp"

namespace tandem::reference {

AttentionBlock::AttentionBlock(const NeuralNetwork& network, const GroupedAttention& attention,
                               const LayerTensors& tensors, const ops::Arithmetic& arithmetic)
    : attention_(attention),
      norm_(network.norm),
      arithmetic_(arithmetic),
      query_(tensors.at("attention.query")),
      query_bias_(tensors.find("attention.query_bias")),
      key_(tensors.at("attention.key")),
      key_bias_(tensors.find("attention.key_bias")),
      value_(tensors.find("attention.value")),
      value_bias_(tensors.find("attention.value_bias")),
      query_norm_(tensors.find("attention.query_norm")),
      key_norm_(tensors.find("attention.key_norm")),
      sinks_(tensors.find("attention.sinks")),
      output_(tensors.at("attention.output")),
      output_bias_(tensors.find("attention.output_bias")) {
  if (attention.rope) {
    frequencies_ = ops::rope_frequencies(*attention.rope, attention.shape.head_dim);
  }
}

void AttentionBlock::cut(LayerState& state, std::int64_t tokens) const {
  state.tokens = tokens;
  state.k.resize(size_of(tokens * attention_.kv_width()));
  state.v.resize(state.k.size());
}

void AttentionBlock::forward(std::span<const float> x, std::int64_t tokens, Forms /*forms*/,
                             LayerState& state, std::span<float> out) const {
  const auto hidden = static_cast<std::int64_t>(x.size()) / tokens;
  for (std::int64_t t = 0; t < tokens; ++t) {
    step(row_of(x, t, hidden), state, row_of(out, t, hidden));
  }
}

void AttentionBlock::normalise(std::span<const float> weight, std::span<float> heads) const {
  if (attention_.qk_norm == QkNorm::None) return;
  normalise_heads(norm_, weight, static_cast<std::int64_t>(weight.size()), arithmetic_, heads);
}

void AttentionBlock::rotate(std::span<float> heads, std::int64_t position) const {
  if (!attention_.rope) return;
  const ops::Rope& rope = *attention_.rope;
  ops::rotate_heads(heads, attention_.shape.head_dim, frequencies_, rope.layout,
                    ops::rope_magnitude(rope), position);
  arithmetic_.round(heads);
}

void AttentionBlock::make_query(std::span<const float> x, std::vector<float>& q,
                                std::vector<float>& gate) const {
  if (!attention_.output_gate) {
    ops::linear(query_, x, query_bias_, arithmetic_, q);
    return;
  }
  const std::int64_t width = attention_.shape.head_dim;
  std::vector<float> both(2 * q.size());
  ops::linear(query_, x, query_bias_, arithmetic_, both);
  gate.resize(q.size());
  for (std::int64_t head = 0; head < attention_.shape.heads; ++head) {
    const auto pair = row_of(std::span(both), head, 2 * width);
    std::ranges::copy(pair.first(size_of(width)), row_of(std::span(q), head, width).begin());
    std::ranges::copy(pair.last(size_of(width)), row_of(std::span(gate), head, width).begin());
  }
}

void AttentionBlock::make_key_and_value(std::span<const float> x, std::span<float> k,
                                        std::span<float> v) const {
  ops::linear(key_, x, key_bias_, arithmetic_, k);
  if (attention_.keys_are_values) {
    std::ranges::copy(k, v.begin());
  } else {
    ops::linear(value_, x, value_bias_, arithmetic_, v);
  }
  if (!attention_.value_norm) return;
  const std::int64_t width = attention_.shape.head_dim;
  for (std::int64_t head = 0; head < attention_.shape.kv_heads; ++head) {
    const auto values = row_of(v, head, width);
    ops::rmsnorm_unweighted(values, static_cast<float>(norm_.epsilon), values);
  }
  arithmetic_.round(v);
}

void AttentionBlock::step(std::span<const float> x, LayerState& state, std::span<float> out) const {
  const std::int64_t position = state.tokens;
  const std::int64_t width = attention_.kv_width();
  cut(state, position + 1);
  const auto k = row_of(std::span(state.k), position, width);
  const auto v = row_of(std::span(state.v), position, width);
  std::vector<float> q(size_of(attention_.q_width()));
  std::vector<float> gate;
  make_query(x, q, gate);
  make_key_and_value(x, k, v);
  normalise(query_norm_, q);
  normalise(key_norm_, k);
  rotate(q, position);
  rotate(k, position);
  std::vector<float> mixed(q.size());
  ops::attention(attention_.shape, q, {state.k, width, state.tokens},
                 {state.v, width, state.tokens}, sinks_, arithmetic_, mixed);
  if (attention_.output_gate) {
    ops::sigmoid_gate(mixed, gate);
    arithmetic_.round(mixed);
  }
  ops::linear(output_, mixed, output_bias_, arithmetic_, out);
}

}  // namespace tandem::reference
