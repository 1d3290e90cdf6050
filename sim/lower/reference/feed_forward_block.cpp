#include "sim/lower/reference/feed_forward_block.hpp"

#include <cmath>
#include <string>

#include "sim/numerics/ops/residual.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"

namespace tandem::reference {
namespace {

/// "gate", "up" and "down" under a prefix; what the layer lacks stays empty.
ops::FfnWeights block_of(const LayerTensors& tensors, const std::string& prefix) {
  return {tensors.find(prefix + "gate"),    tensors.find(prefix + "up"),
          tensors.find(prefix + "down"),    tensors.find(prefix + "gate_bias"),
          tensors.find(prefix + "up_bias"), tensors.find(prefix + "down_bias")};
}

/// Expert `index` of tensors that hold all of a layer's.
ops::FfnWeights expert_of(const ops::FfnWeights& all, std::size_t index, std::size_t experts) {
  const auto part = [&](std::span<const float> tensor) {
    const std::size_t size = tensor.size() / experts;
    return tensor.subspan(index * size, size);
  };
  return {part(all.gate),      part(all.up),      part(all.down),
          part(all.gate_bias), part(all.up_bias), part(all.down_bias)};
}

}  // namespace

FeedForwardBlock::FeedForwardBlock(const NeuralNetwork& network, const FeedForward& ffn,
                                   const LayerTensors& tensors, const ops::Arithmetic& arithmetic)
    : ffn_(ffn),
      epsilon_(network.norm.epsilon),
      arithmetic_(arithmetic),
      activation_(ffn.activation),
      norm_(network.norm, tensors, "ffn_norm"),
      dense_(block_of(tensors, "ffn.")) {
  if (!ffn.experts) return;
  add_experts(tensors);
  if (!is_dense()) return;
  dense_post_norm_.emplace(network.norm, tensors, "ffn.post_norm");
  experts_norm_.emplace(network.norm, tensors, "experts.norm");
  experts_post_norm_.emplace(network.norm, tensors, "experts.post_norm");
}

void FeedForwardBlock::add_experts(const LayerTensors& tensors) {
  const std::size_t count = size_of(ffn_.experts->router.experts);
  const ops::FfnWeights all = block_of(tensors, "experts.");
  for (std::size_t i = 0; i < count; ++i) experts_.push_back(expert_of(all, i, count));
  shared_.weights = block_of(tensors, "shared.");
  shared_.gate = tensors.find("shared.switch");
  router_ = tensors.at("experts.router");
  router_bias_ = tensors.find("experts.router_bias");
  router_norm_ = tensors.find("experts.router_norm");
  expert_scale_ = tensors.find("experts.scale");
}

std::vector<ops::Route> FeedForwardBlock::choose(std::span<const float> x,
                                                 std::span<const float> normed) const {
  std::vector<float> input(normed.begin(), normed.end());
  if (!router_norm_.empty()) {
    ops::rmsnorm(x, router_norm_, static_cast<float>(epsilon_), input);
    const double root = std::sqrt(static_cast<double>(x.size()));
    for (float& value : input) value *= static_cast<float>(1 / root);
    arithmetic_.round(input);
  }
  std::vector<float> logits(experts_.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    logits[i] = arithmetic_.dot(router_.subspan(i * input.size(), input.size()), input);
  }
  std::vector<ops::Route> routes = ops::route(ffn_.experts->router, logits, router_bias_);
  if (expert_scale_.empty()) return routes;
  for (ops::Route& route : routes) {
    route.weight *= expert_scale_[static_cast<std::size_t>(route.expert)];
  }
  return routes;
}

void FeedForwardBlock::mix_experts(std::span<const float> x, std::span<const float> normed,
                                   std::span<float> out) const {
  ops::expert_mix(choose(x, normed), experts_, shared_, activation_, arithmetic_, normed, out);
}

std::vector<ops::Route> FeedForwardBlock::routes_of(std::span<const float> x) const {
  if (!ffn_.experts) return {};
  std::vector<float> normed(x.size());
  experts_input_norm().apply(x, arithmetic_, normed);
  return choose(x, normed);
}

void FeedForwardBlock::forward(std::span<const float> x, std::span<float> out) const {
  std::vector<float> normed(x.size());
  norm_.apply(x, arithmetic_, normed);
  if (is_dense()) {
    ops::ffn(dense_, activation_, arithmetic_, normed, out);
    if (!ffn_.experts) return;
    dense_post_norm_->apply(out, arithmetic_, out);
    experts_norm_->apply(x, arithmetic_, normed);
    std::vector<float> mixed(x.size());
    mix_experts(x, normed, mixed);
    experts_post_norm_->apply(mixed, arithmetic_, mixed);
    ops::residual(out, mixed);
    arithmetic_.round(out);
  } else {
    mix_experts(x, normed, out);
  }
}

}  // namespace tandem::reference
