#include "sim/lower/reference_model.hpp"

#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/attention.hpp"
#include "sim/numerics/ops/embedding.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/residual.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "sim/numerics/ops/rope.hpp"
#include "sim/numerics/ops/swiglu.hpp"

namespace tandem {
namespace {

std::size_t size_of(std::int64_t count) {
  return static_cast<std::size_t>(count);
}

}  // namespace

ReferenceModel::ReferenceModel(const Weights& weights)
    : weights_(dense_weights_of(weights, "reference model")),
      frequencies_(ops::rope_frequencies(weights_.network.rope, weights_.network.head_dim)),
      caches_(weights_.layers.size()),
      hidden_(size_of(weights_.network.hidden)) {}

std::span<const float> ReferenceModel::k(std::int64_t layer) const {
  return caches_.at(size_of(layer)).k;
}

std::span<const float> ReferenceModel::v(std::int64_t layer) const {
  return caches_.at(size_of(layer)).v;
}

void ReferenceModel::rotate(std::span<float> heads, std::int64_t position) const {
  const DenseDecoder& net = weights_.network;
  ops::rotate_heads(heads, net.head_dim, frequencies_, net.rope.layout, 1.0, position);
}

void ReferenceModel::attend(const DenseLayerWeights& layer, LayerCache& cache,
                            std::int64_t position) {
  const DenseDecoder& net = weights_.network;
  const std::size_t kv_width = size_of(net.kv_width());
  const std::size_t start = size_of(position) * kv_width;
  cache.k.resize(start + kv_width);
  cache.v.resize(start + kv_width);
  const std::span<float> k = std::span(cache.k).subspan(start);
  const std::span<float> v = std::span(cache.v).subspan(start);

  std::vector<float> normed(hidden_.size());
  std::vector<float> q(size_of(net.q_width()));
  std::vector<float> mixed(q.size());
  std::vector<float> projected(hidden_.size());
  ops::rmsnorm(hidden_, layer.attention_norm.floats(), static_cast<float>(net.norm_epsilon),
               normed);
  ops::linear(layer.wq.floats(), normed, q);
  ops::linear(layer.wk.floats(), normed, k);
  ops::linear(layer.wv.floats(), normed, v);
  rotate(q, position);
  rotate(k, position);
  ops::attention({net.heads, net.kv_heads, net.head_dim}, q, cache.k, cache.v, mixed);
  ops::linear(layer.wo.floats(), mixed, projected);
  ops::residual(hidden_, projected);
}

void ReferenceModel::feed_forward(const DenseLayerWeights& layer) {
  const DenseDecoder& net = weights_.network;
  std::vector<float> normed(hidden_.size());
  std::vector<float> gate(size_of(net.intermediate));
  std::vector<float> up(gate.size());
  std::vector<float> projected(hidden_.size());
  ops::rmsnorm(hidden_, layer.ffn_norm.floats(), static_cast<float>(net.norm_epsilon), normed);
  ops::linear(layer.w_gate.floats(), normed, gate);
  ops::linear(layer.w_up.floats(), normed, up);
  ops::swiglu(gate, up, gate);
  ops::linear(layer.w_down.floats(), gate, projected);
  ops::residual(hidden_, projected);
}

Tensor ReferenceModel::forward(std::int32_t token, std::int64_t position) {
  const DenseDecoder& net = weights_.network;
  if (position < 0 || position > tokens_ || position >= net.max_context) {
    throw ModelError("reference model: position " + std::to_string(position) + " after " +
                     std::to_string(tokens_) + " tokens in a context of " +
                     std::to_string(net.max_context));
  }
  ops::embedding(weights_.embedding.floats(), token, hidden_);
  for (std::size_t i = 0; i < weights_.layers.size(); ++i) {
    attend(weights_.layers[i], caches_[i], position);
    feed_forward(weights_.layers[i]);
  }
  tokens_ = position + 1;
  std::vector<float> normed(hidden_.size());
  ops::rmsnorm(hidden_, weights_.final_norm.floats(), static_cast<float>(net.norm_epsilon), normed);
  Tensor logits(ElementType::Float32, {net.vocabulary});
  ops::linear(weights_.head.floats(), normed, logits.floats());
  return logits;
}

}  // namespace tandem
