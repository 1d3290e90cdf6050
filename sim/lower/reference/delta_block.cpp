#include "sim/lower/reference/delta_block.hpp"

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/gated_delta.hpp"
#include "sim/numerics/ops/linear.hpp"

namespace tandem::reference {
namespace {

void append_to(std::vector<float>& values, std::span<const float> more) {
  values.insert(values.end(), more.begin(), more.end());
}

}  // namespace

DeltaBlock::DeltaBlock(const NeuralNetwork& network, const GatedDelta& delta,
                       const LayerTensors& tensors, const ops::Arithmetic& arithmetic)
    : shape_(delta.shape),
      epsilon_(static_cast<float>(network.norm.epsilon)),
      arithmetic_(arithmetic),
      qkv_(tensors.at("delta.qkv")),
      z_(tensors.at("delta.z")),
      b_(tensors.at("delta.b")),
      a_(tensors.at("delta.a")),
      conv_(tensors.at("delta.conv")),
      a_log_(tensors.at("delta.a_log")),
      dt_bias_(tensors.at("delta.dt_bias")),
      norm_(tensors.at("delta.norm")),
      output_(tensors.at("delta.output")) {}

void DeltaBlock::cut(LayerState& state, std::int64_t tokens) const {
  if (tokens == 0) {
    state.delta = ops::GatedDeltaState(shape_);
  } else if (tokens != state.tokens) {
    throw ModelError("reference model: a gated delta layer cannot go back from token " +
                     std::to_string(state.tokens) + " to " + std::to_string(tokens) +
                     "; restore a snapshot taken there");
  }
  state.tokens = tokens;
}

void DeltaBlock::append(std::span<const float> x, LayerState& state, Inputs& inputs) const {
  std::vector<float> channels(size_of(shape_.conv_channels()));
  std::vector<float> a(size_of(shape_.value_heads));
  std::vector<float> b(a.size());
  std::vector<float> log_decay(a.size());
  std::vector<float> beta(a.size());
  ops::linear(qkv_, x, {}, arithmetic_, channels);
  ops::linear(a_, x, {}, arithmetic_, a);
  ops::linear(b_, x, {}, arithmetic_, b);
  ops::short_convolution(shape_, conv_, channels, state.delta.conv, channels);
  arithmetic_.round(channels);
  const std::size_t key_width = size_of(shape_.key_heads * shape_.key_dim);
  const auto all = std::span(channels);
  ops::l2_normalise_heads(all.first(2 * key_width), shape_.key_dim);
  ops::delta_gates(a, b, a_log_, dt_bias_, log_decay, beta);
  append_to(inputs.q, all.first(key_width));
  append_to(inputs.k, all.subspan(key_width, key_width));
  append_to(inputs.v, all.subspan(2 * key_width));
  append_to(inputs.log_decay, log_decay);
  append_to(inputs.beta, beta);
}

void DeltaBlock::forward(std::span<const float> x, std::int64_t tokens, Forms forms,
                         LayerState& state, std::span<float> out) const {
  const auto hidden = static_cast<std::int64_t>(x.size()) / tokens;
  if (state.delta.recurrent.empty()) state.delta = ops::GatedDeltaState(shape_);
  Inputs inputs;
  for (std::int64_t t = 0; t < tokens; ++t) append(row_of(x, t, hidden), state, inputs);
  const ops::GatedDeltaTokens run{inputs.q,         inputs.k,    inputs.v,
                                  inputs.log_decay, inputs.beta, tokens};
  std::vector<float> mixed(size_of(tokens * shape_.value_width()));
  if (forms.chunked) {
    ops::gated_delta_chunked(shape_, run, state.delta.recurrent, mixed);
  } else {
    ops::gated_delta_recurrent(shape_, run, state.delta.recurrent, mixed);
  }
  arithmetic_.round(mixed);
  std::vector<float> z(size_of(shape_.value_width()));
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto values = row_of(std::span(mixed), t, shape_.value_width());
    ops::linear(z_, row_of(x, t, hidden), {}, arithmetic_, z);
    ops::gated_rmsnorm(values, norm_, z, epsilon_, values);
    arithmetic_.round(values);
    ops::linear(output_, values, {}, arithmetic_, row_of(out, t, hidden));
  }
  state.tokens += tokens;
}

}  // namespace tandem::reference
