#include "models/lpu/compiler/layer_support.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::string beyond_compiler(const GroupedAttention& a) {
  if (a.output_gate && a.qkv_bias) return "biases of gated attention outputs";
  return "";
}

std::string beyond_compiler(const LatentAttention& a) {
  return a.indexer ? "sparse attention" : "";
}

std::string beyond_compiler(const GatedDelta&) {
  return "";
}

std::string beyond_compiler(const MixerElsewhere&) {
  return "";
}

std::string beyond_compiler(const Experts& experts) {
  const bool masks_softmax =
      experts.router.groups > 1 && experts.router.rule != ops::RouterRule::SigmoidBias;
  return masks_softmax ? "groups of experts under a softmax" : "";
}

std::string beyond_compiler(const FeedForward& ffn) {
  if (ffn.is_elsewhere()) return "layers without their feed-forward block";
  if (ffn.activation == ActivationKind::Gelu) return "the exact GELU, which needs erf";
  const bool is_dense = ffn.intermediate > 0;
  const bool clamps = ffn.activation == ActivationKind::ClampedSwiglu;
  if (is_dense && clamps) return "a clamped SwiGLU in a dense block";
  if (!ffn.experts) return "";
  if (!ffn.gated) return "experts without gates";
  if (is_dense && ffn.experts->bias) return "biases of experts beside a dense block";
  return beyond_compiler(*ffn.experts);
}

std::string beyond_compiler(const NeuralNetwork& network) {
  const bool centres = network.norm.kind == NormKind::Layer;
  const auto has_more = [](const LayerKind& kind) {
    return kind.post_norms || (kind.ffn.experts && kind.ffn.intermediate > 0);
  };
  if (centres && std::ranges::any_of(network.kinds, has_more)) {
    return "a LayerNorm over what a half of a layer adds";
  }
  const auto has_latents = [](const LayerKind& kind) {
    return std::holds_alternative<LatentAttention>(kind.mixer);
  };
  if (centres && std::ranges::any_of(network.kinds, has_latents)) return "a LayerNorm of latents";
  return "";
}

// One set of vectors between the steps of attention serves all layers.
bool share_a_shape(const GroupedAttention& a, const GroupedAttention& b) {
  return a.shape.heads == b.shape.heads && a.shape.kv_heads == b.shape.kv_heads &&
         a.shape.head_dim == b.shape.head_dim && a.shape.scale == b.shape.scale &&
         a.shape.softcap == b.shape.softcap && a.rope == b.rope;
}

bool mixes_both(const LayerKind& a, const LayerKind& b) {
  const auto* latent = std::get_if<LatentAttention>(&a.mixer);
  const auto* other = std::get_if<LatentAttention>(&b.mixer);
  return (latent == nullptr) != (other == nullptr) || (latent != nullptr && *latent != *other);
}

void refuse(const Stage& stage, const std::string& what) {
  throw ModelError("lpu.compiler: " + stage.network.name + " has " + what +
                   ", which this chip model does not execute yet");
}

}  // namespace

std::string beyond_compiler(const NeuralNetwork& network, const LayerKind& kind) {
  const std::string in_network = beyond_compiler(network);
  if (!in_network.empty()) return in_network;
  if (kind.post_norms && kind.ffn.experts && kind.ffn.experts->bias) {
    return "biases of experts under a norm";
  }
  const std::string in_mixer =
      std::visit([](const auto& mixer) { return beyond_compiler(mixer); }, kind.mixer);
  return in_mixer.empty() ? beyond_compiler(kind.ffn) : in_mixer;
}

bool only_feeds_forward(const Stage& stage) {
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    if (stage.network.layer(stage.first_layer + l).has_mixer()) return false;
  }
  return stage.layers > 0;
}

void check_supported(const Stage& stage) {
  const GroupedAttention* first = nullptr;
  const GatedDelta* delta = nullptr;
  std::int64_t window = 0;
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const LayerKind& kind = stage.network.layer(stage.first_layer + l);
    const std::string obstacle = beyond_compiler(stage.network, kind);
    if (!obstacle.empty()) refuse(stage, obstacle);
    if (mixes_both(stage.network.layer(stage.first_layer), kind)) {
      refuse(stage, "latent attention beside layers of another kind or shape");
    }
    if (const auto* mixer = std::get_if<GatedDelta>(&kind.mixer)) {
      if (delta != nullptr && *delta != *mixer) refuse(stage, "delta layers of different shapes");
      delta = mixer;
    }
    const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
    if (attention == nullptr) continue;
    if (first == nullptr) first = attention;
    if (!share_a_shape(*first, *attention)) refuse(stage, "attention of different shapes");
    if (attention->shape.window == 0) continue;
    if (window == 0) window = attention->shape.window;
    if (window != attention->shape.window) refuse(stage, "windows of different lengths");
  }
}

}  // namespace tandem::lpu
