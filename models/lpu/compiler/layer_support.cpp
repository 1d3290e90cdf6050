#include "models/lpu/compiler/layer_support.hpp"

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::string beyond_compiler(const GroupedAttention& a) {
  if (a.shape.scale != 0) return "a softmax scale of its own";
  if (a.shape.softcap != 0) return "soft caps on attention scores";
  if (!a.rope) return "attention without rotary embedding";
  if (a.qk_norm == QkNorm::AllHeads) return "norms over all query heads";
  if (a.output_gate && a.qkv_bias) return "biases of gated attention outputs";
  return a.keys_are_values || a.value_norm ? "values made from keys" : "";
}

std::string beyond_compiler(const Experts& experts) {
  const bool masks_softmax =
      experts.router.groups > 1 && experts.router.rule != ops::RouterRule::SigmoidBias;
  if (masks_softmax) return "groups of experts under a softmax";
  if (experts.router_norm) return "a norm before the router";
  return experts.expert_scale ? "factors of experts" : "";
}

std::string beyond_compiler(const FeedForward& ffn) {
  if (ffn.experts) {
    const std::string in_experts = beyond_compiler(*ffn.experts);
    if (!in_experts.empty()) return in_experts;
    if (ffn.intermediate > 0) return "experts beside a dense block";
  }
  const bool clamps = ffn.experts && ffn.activation == ActivationKind::ClampedSwiglu;
  if (!ffn.gated || (ffn.activation != ActivationKind::Silu && !clamps)) {
    return "a block other than SwiGLU";
  }
  return ffn.bias ? "biases in feed-forward blocks" : "";
}

std::string beyond_compiler(const NeuralNetwork& network) {
  if (network.norm.kind != NormKind::Rms) return "LayerNorm";
  if (network.learned_positions) return "learned positions";
  if (network.embedding_scale != 1) return "scaled embeddings";
  return network.final_softcap != 0 ? "soft caps on logits" : "";
}

// One set of vectors between the steps of attention serves all layers.
bool share_a_shape(const GroupedAttention& a, const GroupedAttention& b) {
  return a.shape.heads == b.shape.heads && a.shape.kv_heads == b.shape.kv_heads &&
         a.shape.head_dim == b.shape.head_dim && a.rope == b.rope;
}

void refuse(const Stage& stage, const std::string& what) {
  throw ModelError("lpu.compiler: " + stage.network.name + " has " + what +
                   ", which this chip model does not execute yet");
}

}  // namespace

std::string beyond_compiler(const NeuralNetwork& network, const LayerKind& kind) {
  const std::string in_network = beyond_compiler(network);
  if (!in_network.empty()) return in_network;
  if (kind.post_norms) return "norms after attention and feed-forward";
  if (std::holds_alternative<GatedDelta>(kind.mixer)) return beyond_compiler(kind.ffn);
  const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
  if (attention == nullptr) return "latent attention";
  const std::string in_attention = beyond_compiler(*attention);
  return in_attention.empty() ? beyond_compiler(kind.ffn) : in_attention;
}

void check_supported(const Stage& stage) {
  const GroupedAttention* first = nullptr;
  const GatedDelta* delta = nullptr;
  std::int64_t window = 0;
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const LayerKind& kind = stage.network.layer(stage.first_layer + l);
    const std::string obstacle = beyond_compiler(stage.network, kind);
    if (!obstacle.empty()) refuse(stage, obstacle);
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
