#include "sim/entry/describe_layer.hpp"

#include <fmt/format.h>

namespace tandem::entry {
namespace {

std::string rope_text(const ops::Rope& rope, std::int64_t head_dim) {
  static constexpr const char* scalings[] = {"", ", llama3 scaling", ", YaRN", ", linear scaling"};
  const std::string part =
      rope.rotated == head_dim ? "" : fmt::format(" on {} dimensions", rope.rotated);
  return fmt::format(", rope{} theta {:g}{}", part, rope.theta, scalings[rope.scaling.index()]);
}

std::string text_of(const GroupedAttention& a) {
  std::string text = fmt::format("grouped-query attention: {} heads, {} KV heads of {}",
                                 a.shape.heads, a.shape.kv_heads, a.shape.head_dim);
  if (a.shape.window > 0) text += fmt::format(", window {}", a.shape.window);
  if (a.rope) text += rope_text(*a.rope, a.shape.head_dim);
  if (a.qk_norm == QkNorm::PerHead) text += ", QK norm per head";
  if (a.qk_norm == QkNorm::AllHeads) text += ", QK norm over all heads";
  if (a.output_gate) text += ", output gate";
  if (a.sinks) text += ", sinks";
  if (a.shape.softcap > 0) text += fmt::format(", scores capped at {:g}", a.shape.softcap);
  if (a.qkv_bias || a.output_bias) text += ", biases";
  if (a.keys_are_values) text += ", values from keys";
  if (a.value_norm) text += ", value norm";
  return text;
}

std::string text_of(const LatentAttention& a) {
  const ops::LatentShape& s = a.shape;
  std::string text =
      fmt::format("latent attention: {} heads of {} + {} (values {}), KV rank {}, query rank {}",
                  s.heads, s.nope_dim, s.rope_dim, s.value_dim, s.kv_rank,
                  s.query_rank > 0 ? std::to_string(s.query_rank) : std::string("none"));
  text += rope_text(a.rope, s.rope_dim);
  if (a.indexer) {
    text += fmt::format("; indexer of {} heads of {} keeps {} keys", a.indexer->heads,
                        a.indexer->head_dim, a.indexer->top_k);
  }
  return text;
}

std::string text_of(const MixerElsewhere&) {
  return "token mixer on other chips";
}

std::string text_of(const GatedDelta& d) {
  return fmt::format(
      "gated delta: {} key heads of {}, {} value heads of {}, convolution of {} taps, chunks of {}",
      d.shape.key_heads, d.shape.key_dim, d.shape.value_heads, d.shape.value_dim, d.shape.conv_taps,
      d.shape.chunk);
}

const char* text_of(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::Silu:
      return "silu";
    case ActivationKind::Gelu:
      return "gelu";
    case ActivationKind::GeluTanh:
      return "gelu with tanh";
    case ActivationKind::ClampedSwiglu:
      return "clamped swiglu";
  }
  return "";
}

std::string router_text(const Experts& experts) {
  const ops::Router& router = experts.router;
  std::string text = "router: ";
  switch (router.rule) {
    case ops::RouterRule::SoftmaxTopk:
      text += "softmax, then top k";
      break;
    case ops::RouterRule::TopkSoftmax:
      text += "top k, then softmax";
      break;
    case ops::RouterRule::SigmoidBias:
      text += "sigmoid, then top k";
      break;
  }
  if (router.bias) text += ", bias";
  if (router.groups > 1) {
    text += fmt::format(
        ", {} of {} groups by {}", router.top_groups, router.groups,
        router.group_score == ops::GroupScore::Best ? "their best expert" : "their two best");
  }
  if (router.renormalise && router.rule != ops::RouterRule::TopkSoftmax) text += ", renormalised";
  if (router.scale != 1) text += fmt::format(", times {:g}", router.scale);
  if (experts.router_norm) text += ", normed input";
  if (experts.expert_scale) text += ", a scale per expert";
  return text;
}

}  // namespace

std::string kind_label(const NeuralNetwork& network, std::int32_t kind) {
  const char letter = letter_of(network.kinds[static_cast<std::size_t>(kind)]);
  std::int32_t alike = 0;
  std::int32_t number = 0;
  for (std::size_t i = 0; i < network.kinds.size(); ++i) {
    if (letter_of(network.kinds[i]) != letter) continue;
    ++alike;
    if (static_cast<std::int32_t>(i) == kind) number = alike;
  }
  return alike == 1 ? std::string(1, letter) : fmt::format("{}{}", letter, number);
}

std::string mixer_text(const LayerKind& kind) {
  return std::visit([](const auto& mixer) { return text_of(mixer); }, kind.mixer) +
         (kind.post_norms ? "; norms after each half" : "");
}

std::vector<std::string> ffn_lines(const FeedForward& ffn) {
  std::vector<std::string> lines;
  const std::string act = fmt::format("{}{}", text_of(ffn.activation), ffn.gated ? ", gated" : "");
  if (ffn.intermediate > 0) {
    lines.push_back(
        fmt::format("dense block of {}, {}{}", ffn.intermediate, act, ffn.bias ? ", biases" : ""));
  }
  if (!ffn.experts) return lines;
  const Experts& experts = *ffn.experts;
  std::string text = fmt::format("{} experts of {}, top {}, {}", experts.router.experts,
                                 experts.intermediate, experts.router.top_k, act);
  if (experts.bias) text += ", biases";
  if (experts.shared > 0) {
    text += fmt::format("; {} shared, {} together{}", experts.shared, experts.shared_intermediate,
                        experts.shared_gate ? ", gated" : "");
  }
  lines.push_back(text);
  lines.push_back(router_text(experts));
  return lines;
}

}  // namespace tandem::entry
