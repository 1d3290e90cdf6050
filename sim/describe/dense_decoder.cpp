#include "sim/describe/dense_decoder.hpp"

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

std::string beyond_dense(const GroupedAttention& a) {
  if (a.shape.window > 0) return "sliding windows";
  if (a.shape.scale != 0) return "a softmax scale of its own";
  if (a.shape.softcap != 0) return "soft caps on attention scores";
  if (!a.rope) return "attention without rotary embedding";
  if (a.rope->rotated != a.shape.head_dim) return "partial rotary embedding";
  if (a.rope->scaling.index() > 1) return "YaRN or linear rope scaling";
  if (a.qk_norm != QkNorm::None) return "norms of queries and keys";
  if (a.output_gate) return "gated attention outputs";
  if (a.sinks) return "attention sinks";
  if (a.qkv_bias || a.output_bias) return "biases in attention";
  return a.keys_are_values || a.value_norm ? "values made from keys" : "";
}

std::string beyond_dense(const FeedForward& ffn) {
  if (ffn.experts) return "mixtures of experts";
  if (!ffn.gated || ffn.activation != ActivationKind::Silu) return "a block other than SwiGLU";
  return ffn.bias ? "biases in feed-forward blocks" : "";
}

}  // namespace

NeuralNetwork network_of(const DenseDecoder& decoder) {
  NeuralNetwork network;
  network.name = decoder.name;
  network.source = decoder.source;
  network.hidden = decoder.hidden;
  network.vocabulary = decoder.vocabulary;
  network.max_context = decoder.max_context;
  network.tied_embeddings = decoder.tied_embeddings;
  network.norm.epsilon = decoder.norm_epsilon;
  GroupedAttention attention;
  attention.shape.heads = decoder.heads;
  attention.shape.kv_heads = decoder.kv_heads;
  attention.shape.head_dim = decoder.head_dim;
  attention.rope = decoder.rope;
  attention.rope->rotated = decoder.head_dim;
  LayerKind kind;
  kind.mixer = attention;
  kind.ffn.intermediate = decoder.intermediate;
  network.kinds.push_back(kind);
  network.pattern.assign(static_cast<std::size_t>(decoder.layers), 0);
  return network;
}

std::string beyond_dense(const NeuralNetwork& network) {
  if (network.kinds.size() != 1) return "layers of different kinds";
  if (network.norm.kind != NormKind::Rms) return "LayerNorm";
  if (network.norm.one_plus_weight) return "norms with 1 + w";
  if (network.learned_positions) return "learned positions";
  if (network.embedding_scale != 1) return "scaled embeddings";
  if (network.final_softcap != 0) return "soft caps on logits";
  const LayerKind& kind = network.kinds.front();
  if (kind.post_norms) return "norms after attention and feed-forward";
  const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
  if (attention == nullptr) {
    return std::holds_alternative<GatedDelta>(kind.mixer) ? "Gated DeltaNet layers"
                                                          : "latent attention";
  }
  const std::string in_attention = beyond_dense(*attention);
  return in_attention.empty() ? beyond_dense(kind.ffn) : in_attention;
}

DenseDecoder dense_decoder_of(const NeuralNetwork& network, std::string_view who) {
  const std::string obstacle = beyond_dense(network);
  if (!obstacle.empty()) {
    throw ModelError(std::string(who) + ": " + network.name + " has " + obstacle +
                     ", which this chip model does not execute yet");
  }
  const LayerKind& kind = network.kinds.front();
  const auto& attention = std::get<GroupedAttention>(kind.mixer);
  DenseDecoder decoder;
  decoder.name = network.name;
  decoder.source = network.source;
  decoder.layers = network.layers();
  decoder.hidden = network.hidden;
  decoder.heads = attention.shape.heads;
  decoder.kv_heads = attention.shape.kv_heads;
  decoder.head_dim = attention.shape.head_dim;
  decoder.intermediate = kind.ffn.intermediate;
  decoder.vocabulary = network.vocabulary;
  decoder.max_context = network.max_context;
  decoder.tied_embeddings = network.tied_embeddings;
  decoder.norm_epsilon = network.norm.epsilon;
  decoder.rope = *attention.rope;
  return decoder;
}

}  // namespace tandem
