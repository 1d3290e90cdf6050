#include "sim/lower/reference_model.hpp"

#include <algorithm>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/embedding.hpp"
#include "sim/numerics/ops/gate.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/mtp.hpp"
#include "sim/numerics/ops/residual.hpp"

namespace tandem {
namespace {

using reference::HiddenNorm;
using reference::LayerState;
using reference::LayerTensors;
using reference::row_of;
using reference::size_of;

const Weights& checked_weights(const Weights& weights) {
  check_weights(weights);
  return weights;
}

std::string prefix_of(const char* what, std::int64_t index) {
  return std::string(what) + "." + std::to_string(index) + ".";
}

/// What RMSNorm multiplies by.
std::vector<float> factors_of(const Norm& norm, std::span<const float> weight) {
  std::vector<float> factors(weight.begin(), weight.end());
  if (norm.one_plus_weight) {
    for (float& factor : factors) factor += 1.0F;
  }
  return factors;
}

}  // namespace

ReferenceModel::ReferenceModel(const Weights& weights, const ReferenceOptions& options)
    : weights_(checked_weights(weights)),
      options_(options),
      final_norm_(weights.network.norm, LayerTensors(weights, ""), "final_norm"),
      embedding_(LayerTensors(weights, "").at("embedding")),
      positions_(LayerTensors(weights, "").find("positions")),
      head_(weights.network.tied_embeddings ? embedding_ : LayerTensors(weights, "").at("head")) {
  const NeuralNetwork& network = weights.network;
  for (std::int64_t i = 0; i < network.layers(); ++i) {
    layers_.emplace_back(network, network.layer(i), LayerTensors(weights, prefix_of("layers", i)),
                         options.arithmetic);
  }
  for (std::int64_t i = 0; i < network.mtp.modules; ++i) modules_.push_back(module_of(i));
  states_.resize(layers_.size());
  module_states_.resize(modules_.size());
}

ReferenceModel::Module ReferenceModel::module_of(std::int64_t index) const {
  const NeuralNetwork& network = weights_.network;
  if (network.norm.kind != NormKind::Rms) {
    throw ModelError("reference model: multi-token prediction needs RMSNorm");
  }
  const LayerTensors tensors(weights_, prefix_of("mtp", index));
  return {factors_of(network.norm, tensors.at("embedding_norm")),
          factors_of(network.norm, tensors.at("hidden_norm")), tensors.at("combine"),
          reference::DecoderLayer(network, network.kinds[size_of(network.mtp.kind)], tensors,
                                  options_.arithmetic),
          HiddenNorm(network.norm, tensors, "final_norm")};
}

std::span<const float> ReferenceModel::k(std::int64_t layer) const {
  return state(layer).k;
}

std::span<const float> ReferenceModel::v(std::int64_t layer) const {
  return state(layer).v;
}

const LayerState& ReferenceModel::state(std::int64_t layer) const {
  return states_.at(size_of(layer));
}

std::span<const float> ReferenceModel::hidden() const {
  return std::span(hidden_).last(std::min(hidden_.size(), size_of(weights_.network.hidden)));
}

void ReferenceModel::check(std::int32_t token, std::int64_t position, std::int64_t tokens) const {
  const NeuralNetwork& network = weights_.network;
  if (token < 0 || token >= network.vocabulary) {
    throw ModelError("reference model: token " + std::to_string(token) + " in a vocabulary of " +
                     std::to_string(network.vocabulary));
  }
  if (position < 0 || position > tokens || position >= network.max_context) {
    throw ModelError("reference model: position " + std::to_string(position) + " after " +
                     std::to_string(tokens) + " tokens in a context of " +
                     std::to_string(network.max_context));
  }
}

void ReferenceModel::go_back_to(std::int64_t position) {
  if (position == tokens_) return;
  const bool is_recurrent = std::any_of(layers_.begin(), layers_.end(),
                                        [](const auto& layer) { return layer.is_recurrent(); });
  if (is_recurrent && position != 0) {
    throw ModelError("reference model: '" + weights_.network.name +
                     "' has recurrent layers, which cannot go back from token " +
                     std::to_string(tokens_) + " to " + std::to_string(position) +
                     "; restore a snapshot taken there");
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i].cut(states_[i], position);
  tokens_ = position;
}

void ReferenceModel::embed(std::int32_t token, std::span<float> out) const {
  ops::embedding(embedding_, token, out);
  const double scale = weights_.network.embedding_scale;
  if (scale == 1) return;
  ops::scale(out, static_cast<float>(scale));
  options_.arithmetic.round(out);
}

void ReferenceModel::head(std::span<const float> hidden, std::span<float> logits) const {
  ops::linear(head_, hidden, {}, options_.arithmetic, logits);
  const double cap = weights_.network.final_softcap;
  if (cap == 0) return;
  ops::softcap(logits, static_cast<float>(cap));
  options_.arithmetic.round(logits);
}

Tensor ReferenceModel::run(std::span<const std::int32_t> tokens, reference::Forms forms) {
  const NeuralNetwork& network = weights_.network;
  const auto count = static_cast<std::int64_t>(tokens.size());
  std::vector<float> rows(size_of(count * network.hidden));
  for (std::int64_t t = 0; t < count; ++t) {
    const auto row = row_of(std::span(rows), t, network.hidden);
    embed(tokens[size_of(t)], row);
    if (positions_.empty()) continue;
    ops::residual(row, row_of(positions_, tokens_ + t, network.hidden));
    options_.arithmetic.round(row);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward(rows, count, forms, states_[i]);
  }
  tokens_ += count;
  hidden_ = std::move(rows);
  Tensor logits(ElementType::Float32, {count, network.vocabulary});
  for (std::int64_t t = 0; t < count; ++t) {
    const auto row = row_of(std::span(hidden_), t, network.hidden);
    final_norm_.apply(row, options_.arithmetic, row);
    head(row, row_of(logits.floats(), t, network.vocabulary));
  }
  return logits;
}

Tensor ReferenceModel::forward(std::int32_t token, std::int64_t position) {
  check(token, position, tokens_);
  go_back_to(position);
  const Tensor rows = run(std::span(&token, 1), decode_forms());
  Tensor logits(ElementType::Float32, {weights_.network.vocabulary});
  std::ranges::copy(rows.floats(), logits.floats().begin());
  return logits;
}

Tensor ReferenceModel::prefill(std::span<const std::int32_t> tokens) {
  if (tokens.empty()) throw ModelError("reference model: prefill without tokens");
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const std::int64_t position = tokens_ + static_cast<std::int64_t>(t);
    check(tokens[t], position, position);
  }
  return run(tokens, {false, options_.chunked_prefill});
}

ReferenceModel::Draft ReferenceModel::draft(std::span<const float> hidden, std::int32_t token,
                                            std::int64_t position, std::int64_t module) {
  check(token, position, draft_tokens(module));
  const Module& parts = modules_[size_of(module)];
  LayerState& state = module_states_[size_of(module)];
  const NeuralNetwork& network = weights_.network;
  if (hidden.size() != size_of(network.hidden)) {
    throw ModelError("reference model: a draft needs one hidden state of " +
                     std::to_string(network.hidden) + " elements");
  }
  if (position != state.tokens) parts.layer.cut(state, position);
  Draft draft{Tensor(ElementType::Float32, {network.vocabulary}),
              std::vector<float>(hidden.size())};
  embed(token, draft.hidden);
  ops::mtp_combine({parts.embedding_norm, parts.hidden_norm, parts.combine}, draft.hidden, hidden,
                   static_cast<float>(network.norm.epsilon), options_.arithmetic, draft.hidden);
  parts.layer.forward(draft.hidden, 1, decode_forms(), state);
  parts.final_norm.apply(draft.hidden, options_.arithmetic, draft.hidden);
  head(draft.hidden, draft.logits.floats());
  return draft;
}

std::int64_t ReferenceModel::draft_tokens(std::int64_t module) const {
  if (module < 0 || module >= static_cast<std::int64_t>(modules_.size())) {
    throw ModelError("reference model: '" + weights_.network.name + "' has " +
                     std::to_string(modules_.size()) + " modules of multi-token prediction, not " +
                     std::to_string(module + 1));
  }
  return module_states_[size_of(module)].tokens;
}

ReferenceModel::Snapshot ReferenceModel::snapshot() const {
  return {states_, module_states_, hidden_, tokens_, key_of(weights_.network)};
}

void ReferenceModel::restore(const Snapshot& snapshot) {
  if (snapshot.network != key_of(weights_.network)) {
    throw ModelError("reference model: the snapshot is of another network");
  }
  states_ = snapshot.layers;
  module_states_ = snapshot.modules;
  hidden_ = snapshot.hidden;
  tokens_ = snapshot.tokens;
}

}  // namespace tandem
