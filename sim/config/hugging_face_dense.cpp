// Llama and what follows it (Mistral, Mixtral, Qwen2, Qwen3), GPT-2, gpt-oss, MiniMax M2.
#include <fmt/format.h>

#include "sim/config/hugging_face_translation.hpp"

namespace tandem::config {
namespace {

/// Attention over all tokens, or over a window in every layer where `sliding_window` has one.
void translate_attention(Translation& t) {
  const bool is_sliding = t.has("sliding_window");
  translate_heads(t, is_sliding ? "sliding_attention" : "attention");
  if (is_sliding) {
    t.set("pattern", "S", "sliding_window");
    t.take("sliding_attention.window", "sliding_window");
  }
  translate_rope(t, "rope", rope_parameters(t), t.model_type() == "llama" ? "10000" : nullptr);
}

/// `sliding_window` of Qwen counts only where `use_sliding_window` says so, in layers from
/// `max_window_layers` on.
void translate_qwen_attention(Translation& t, double head_dim) {
  t.allow("use_sliding_window", {});
  translate_heads(t, "attention", head_dim);
  translate_rope(t, "rope", rope_parameters(t));
}

void translate_softmax_experts(Translation& t) {
  t.take("experts.count", t.has("num_experts") ? "num_experts" : "num_local_experts");
  t.take("experts.top_k", "num_experts_per_tok");
}

/// Sizes whose keys GPT-2 names in its own way; its blocks have biases throughout.
void translate_gpt2_sizes(Translation& t) {
  t.take("layers", "n_layer");
  t.take("hidden", "n_embd");
  t.take("vocabulary", "vocab_size");
  t.take("max_context", t.has("n_ctx") ? "n_ctx" : "n_positions");
  t.take_or("tied_embeddings", "tie_word_embeddings", "true");
  t.take_or("norm.epsilon", "layer_norm_epsilon", "1e-5");
  t.take("attention.heads", "n_head");
  t.take_if("attention.kv_heads", "n_head");
  const double hidden = t.number("n_embd", 1);
  const double heads = t.number("n_head", 1);
  if (heads > 0) t.set("attention.head_dim", hidden / heads, "n_embd");
  if (t.has("n_inner")) {
    t.take("ffn.intermediate", "n_inner");
  } else {
    t.set("ffn.intermediate", 4 * hidden, "n_embd");
  }
  t.take_if("checkpoint_format", t.has("dtype") ? "dtype" : "torch_dtype");
}

}  // namespace

void translate_llama(Translation& t) {
  translate_outside(t);
  translate_attention(t);
  t.take("ffn.intermediate", "intermediate_size");
  t.take_if("ffn.bias", "mlp_bias");
}

void translate_mixtral(Translation& t) {
  translate_outside(t);
  translate_attention(t);
  translate_softmax_experts(t);
  t.take("experts.intermediate", "intermediate_size");
  t.set("experts.router.rule", "topk_softmax");
}

void translate_qwen2(Translation& t) {
  translate_outside(t);
  translate_qwen_attention(t, 0);
  t.set("attention.qkv_bias", "true");
  t.take("ffn.intermediate", "intermediate_size");
}

void translate_qwen3(Translation& t) {
  translate_outside(t);
  translate_qwen_attention(t, 128);
  t.set("attention.qk_norm", "per_head");
  t.take("ffn.intermediate", "intermediate_size");
}

void translate_qwen3_moe(Translation& t) {
  translate_outside(t);
  translate_qwen_attention(t, 0);
  t.set("attention.qk_norm", "per_head");
  t.allow("decoder_sparse_step", {"1"});
  t.allow("mlp_only_layers", {});
  translate_softmax_experts(t);
  t.take("experts.intermediate", "moe_intermediate_size");
  t.set("experts.router.rule", "softmax_topk");
  t.take_or("experts.router.renormalise", "norm_topk_prob", "false");
}

void translate_minimax(Translation& t) {
  translate_outside(t);
  translate_heads(t, "attention");
  check_layer_list(t, "attn_type_list");
  if (const Tree* types = t.find("attn_type_list")) {
    for (const Tree& type : types->items) {
      if (type.text != "1") {
        t.problems().report(type.place, "layers of linear attention are not supported");
      }
    }
  }
  for (const char* key : {"layernorm_full_attention_alpha", "full_attn_alpha_factor", "postnorm"}) {
    t.allow(key, {});
  }
  t.allow("shared_intermediate_size", {"0"});
  t.allow("scoring_func", {"sigmoid"});
  t.allow("qk_norm_type", {"per_layer"});
  if (t.flag("use_qk_norm", false)) t.set("attention.qk_norm", "all_heads", "use_qk_norm");
  translate_rope(t, "rope", rope_parameters(t));
  t.take_if("rope.rotated", "rotary_dim");
  t.take("experts.count", "num_local_experts");
  t.take("experts.top_k", "num_experts_per_tok");
  t.take("experts.intermediate", "intermediate_size");
  t.set("experts.router.rule", "sigmoid_bias");
  t.take_or("experts.router.bias", "use_routing_bias", "false");
  t.allow("mtp_transformer_layers", {"1"});
  if (t.flag("use_mtp", false)) t.take("mtp.modules", "num_mtp_modules");
}

void translate_gpt_oss(Translation& t) {
  translate_outside(t);
  translate_heads(t, "attention", 64);
  t.set("attention.sinks", "true");
  t.set("pattern", pattern_of(t).value_or(interval_pattern(t, 2, 'S', 'F')), "layer_types");
  t.take("sliding_attention.window", "sliding_window");
  translate_rope(t, "rope", rope_parameters(t));
  t.allow("swiglu_limit", {"7.0", "7"});
  t.allow("hidden_act", {"silu"});
  t.set("activation", "clamped_swiglu");
  t.take("experts.count", "num_local_experts");
  t.take("experts.top_k",
         t.has("num_experts_per_tok") ? "num_experts_per_tok" : "experts_per_token");
  t.take("experts.intermediate", "intermediate_size");
  t.set("experts.bias", "true");
  t.set("experts.router.rule", "topk_softmax");
  t.set("experts.router.bias", "true");
}

void translate_gpt2(Translation& t) {
  translate_gpt2_sizes(t);
  t.allow("scale_attn_by_inverse_layer_idx", {});
  t.allow("scale_attn_weights", {"true"});
  if (!t.flag("scale_attn_weights", true)) t.refuse("scale_attn_weights", "scores are scaled");
  t.allow("add_cross_attention", {});
  t.allow("activation_function", {"gelu_new", "gelu_pytorch_tanh"});
  t.set("activation", "gelu_tanh", "activation_function");
  t.set("learned_positions", "true");
  t.set("norm.kind", "layer");
  t.set("attention.qkv_bias", "true");
  t.set("attention.output_bias", "true");
  t.set("ffn.gated", "false");
  t.set("ffn.bias", "true");
}

}  // namespace tandem::config
