// DeepSeek and Kimi, Qwen3-Next and Qwen3.5, Gemma 2 to 4.
#include <fmt/format.h>

#include "sim/config/hugging_face_translation.hpp"

namespace tandem::config {
namespace {

void translate_latent(Translation& t) {
  t.allow("attention_bias", {});
  t.take("latent_attention.heads", "num_attention_heads");
  t.take_or("latent_attention.query_rank", "q_lora_rank", "0");
  t.take("latent_attention.kv_rank", "kv_lora_rank");
  t.take("latent_attention.nope_dim", "qk_nope_head_dim");
  t.take("latent_attention.rope_dim", "qk_rope_head_dim");
  t.take("latent_attention.value_dim", "v_head_dim");
  translate_rope(t, "rope", rope_parameters(t));
  t.set("rope.layout", t.flag("rope_interleave", true) ? "interleaved" : "half_split",
        "rope_interleave");
  if (t.model_type() != "deepseek_v32") return;
  t.take("latent_attention.indexer.heads", "index_n_heads");
  t.take("latent_attention.indexer.head_dim", "index_head_dim");
  t.take("latent_attention.indexer.top_k", "index_topk");
}

void translate_group_limit(Translation& t, const char* score) {
  if (t.number("n_group", 1) <= 1) return;
  t.take("experts.router.groups", "n_group");
  t.take("experts.router.top_groups", "topk_group");
  t.set("experts.router.group_score", score);
}

/// DeepSeek-V2 takes the largest softmax; later models choose by sigmoid plus a bias ("noaux_tc").
void translate_deepseek_router(Translation& t) {
  const bool is_v2 = t.model_type() == "deepseek_v2";
  t.take_or("experts.router.renormalise", "norm_topk_prob", is_v2 ? "false" : "true");
  t.take_or("experts.router.scale", "routed_scaling_factor", is_v2 ? "1" : "2.5");
  if (t.text("scoring_func", is_v2 ? "softmax" : "sigmoid") == "sigmoid") {
    t.allow("topk_method", {"noaux_tc"});
    t.set("experts.router.rule", "sigmoid_bias", "scoring_func");
    t.set("experts.router.bias", "true", "topk_method");
    translate_group_limit(t, "sum_of_top2");
    return;
  }
  t.allow("scoring_func", {"softmax"});
  t.allow("topk_method", {"greedy", "group_limited_greedy"});
  t.set("experts.router.rule", "softmax_topk", "scoring_func");
  if (t.text("topk_method", "greedy") == "group_limited_greedy") translate_group_limit(t, "best");
}

void translate_delta(Translation& t) {
  t.take("gated_delta.key_heads", "linear_num_key_heads");
  t.take("gated_delta.value_heads", "linear_num_value_heads");
  t.take("gated_delta.key_dim", "linear_key_head_dim");
  t.take("gated_delta.value_dim", "linear_value_head_dim");
  t.take("gated_delta.conv_taps", "linear_conv_kernel_dim");
}

void translate_next_ffn(Translation& t) {
  if (!t.has("num_experts")) {
    t.take("ffn.intermediate", "intermediate_size");
    return;
  }
  t.allow("decoder_sparse_step", {"1"});
  t.allow("mlp_only_layers", {});
  t.take("experts.count", "num_experts");
  t.take("experts.top_k", "num_experts_per_tok");
  t.take("experts.intermediate", "moe_intermediate_size");
  t.set("experts.shared", "1");
  t.take("experts.shared_intermediate", "shared_expert_intermediate_size");
  t.set("experts.shared_gate", "true");
  t.set("experts.router.rule", "softmax_topk");
  t.take_or("experts.router.renormalise", "norm_topk_prob", "true");
}

/// What the Gemmas share. Defaults are those of their configurations: published files leave out
/// whatever equals them.
void translate_gemma(Translation& t) {
  t.take("layers", "num_hidden_layers");
  t.take("hidden", "hidden_size");
  t.take("ffn.intermediate", "intermediate_size");
  t.take_or("norm.epsilon", "rms_norm_eps", "1e-6");
  t.take_or("tied_embeddings", "tie_word_embeddings", "true");
  for (const char* key : {"hidden_activation", "hidden_act"}) {
    t.allow(key, {"gelu_pytorch_tanh"});
  }
  t.set("activation", "gelu_tanh");
  t.set("scaled_embeddings", "true");
  t.set("post_norms", "true");
  t.take_if("checkpoint_format", t.has("dtype") ? "dtype" : "torch_dtype");
  t.take("sliding_attention.window", "sliding_window");
}

void translate_gemma_heads(Translation& t) {
  t.take("attention.heads", "num_attention_heads");
  t.take("attention.kv_heads", "num_key_value_heads");
  t.take_or("attention.head_dim", "head_dim", "256");
  t.take_or("attention.softmax_dim", "query_pre_attn_scalar", "256");
  t.take_if("attention.softcap", "attn_logit_softcapping");
  t.take_if("attention.qkv_bias", "attention_bias");
  t.take_if("attention.output_bias", "attention_bias");
}

/// Rope sections of two kinds of layers in recent configs: rope_parameters holds a map for each.
const Tree* rope_of_layers(const Translation& t, const char* layer_type) {
  const Tree* all = rope_parameters(t);
  return all == nullptr ? nullptr : all->find(layer_type);
}

void translate_gemma4_experts(Translation& t) {
  t.take("experts.count", "num_experts");
  t.take("experts.top_k", "top_k_experts");
  t.take("experts.intermediate", "moe_intermediate_size");
  t.set("experts.beside_ffn", "true", "enable_moe_block");
  t.set("experts.router.rule", "topk_softmax");
  t.set("experts.router.norm", "true");
  t.set("experts.router.expert_scale", "true");
}

}  // namespace

void translate_deepseek(Translation& t) {
  translate_outside(t);
  translate_latent(t);
  t.allow("moe_layer_freq", {"1"});
  t.take("ffn.intermediate", "intermediate_size");
  t.take("dense_layers", "first_k_dense_replace");
  t.take("experts.count", "n_routed_experts");
  t.take("experts.top_k", "num_experts_per_tok");
  t.take("experts.intermediate", "moe_intermediate_size");
  t.take_or("experts.shared", "n_shared_experts", "0");
  translate_deepseek_router(t);
  if (t.number("num_nextn_predict_layers", 0) > 0) {
    t.take("mtp.modules", "num_nextn_predict_layers");
  }
}

void translate_qwen3_next(Translation& t) {
  translate_outside(t);
  translate_heads(t, "attention", 256);
  t.set("norm.one_plus_weight", "true");
  t.set("attention.qk_norm", "per_head");
  t.take_or("attention.output_gate", "attn_output_gate", "true");
  const Tree* parameters = rope_parameters(t);
  const double outer = t.number("partial_rotary_factor", 0.25);
  const double part = t.number_in(parameters, "partial_rotary_factor", outer);
  translate_rope(t, "rope", parameters);
  t.set("rope.rotated", part * t.number("head_dim", 256));
  const auto pattern = pattern_of(t);
  t.set("pattern",
        pattern.value_or(interval_pattern(t, t.number("full_attention_interval", 4), 'L', 'F')),
        pattern ? "layer_types" : "full_attention_interval");
  translate_delta(t);
  translate_next_ffn(t);
  if (t.model_type() == "qwen3_next") {
    // The config does not count the module whose weights the checkpoints hold ("mtp.*").
    t.set("mtp.modules", "1");
  } else if (t.number("mtp_num_hidden_layers", 0) > 0) {
    t.allow("mtp_num_hidden_layers", {"1"});
    t.set("mtp.modules", "1", "mtp_num_hidden_layers");
  }
}

void translate_gemma2(Translation& t) {
  translate_gemma(t);
  translate_gemma_heads(t);
  t.take("vocabulary", "vocab_size");
  t.take("max_context", "max_position_embeddings");
  t.set("norm.one_plus_weight", "true");
  t.take_if("final_softcap", "final_logit_softcapping");
  t.set("pattern", pattern_of(t).value_or(interval_pattern(t, 2, 'S', 'F')), "layer_types");
  translate_rope(t, "rope", rope_parameters(t), "10000");
}

void translate_gemma3(Translation& t) {
  translate_gemma(t);
  translate_gemma_heads(t);
  t.allow("use_bidirectional_attention", {});
  t.take_or("vocabulary", "vocab_size", "262208");
  t.take_or("max_context", "max_position_embeddings", "131072");
  t.set("norm.one_plus_weight", "true");
  t.set("attention.qk_norm", "per_head");
  t.take_if("final_softcap", "final_logit_softcapping");
  const auto pattern = pattern_of(t);
  t.set("pattern",
        pattern.value_or(interval_pattern(t, t.number("sliding_window_pattern", 6), 'S', 'F')),
        pattern ? "layer_types" : "sliding_window_pattern");
  if (const Tree* full = rope_of_layers(t, "full_attention")) {
    translate_rope(t, "rope", full, "1e6");
    translate_rope(t, "sliding_attention.rope", rope_of_layers(t, "sliding_attention"), "10000");
    return;
  }
  translate_rope(t, "rope", nullptr, "1e6");
  t.take_or("sliding_attention.rope.theta", "rope_local_base_freq", "10000");
}

void translate_gemma4(Translation& t) {
  translate_gemma(t);
  for (const char* key : {"hidden_size_per_layer_input", "num_kv_shared_layers"}) {
    t.allow(key, {"0"});
  }
  t.allow("use_double_wide_mlp", {});
  t.allow("use_bidirectional_attention", {"vision"});  // text stays causal
  t.take("vocabulary", "vocab_size");
  t.take("max_context", "max_position_embeddings");
  t.take_if("final_softcap", "final_logit_softcapping");
  t.set("pattern", pattern_of(t).value_or(interval_pattern(t, 6, 'S', 'F')), "layer_types");
  t.take("attention.heads", "num_attention_heads");
  t.take("attention.head_dim", t.has("global_head_dim") ? "global_head_dim" : "head_dim");
  const bool has_global_kv =
      t.flag("attention_k_eq_v", false) && t.has("num_global_key_value_heads");
  t.take("attention.kv_heads",
         has_global_kv ? "num_global_key_value_heads" : "num_key_value_heads");
  t.take_or("attention.keys_are_values", "attention_k_eq_v", "false");
  t.set("attention.softmax_dim", "1");
  t.set("attention.qk_norm", "per_head");
  t.set("attention.value_norm", "true");
  t.take("sliding_attention.kv_heads", "num_key_value_heads");
  t.take("sliding_attention.head_dim", "head_dim");
  t.set("sliding_attention.keys_are_values", "false");
  const Tree* full = rope_of_layers(t, "full_attention");
  const Tree* sliding = rope_of_layers(t, "sliding_attention");
  if (full == nullptr || sliding == nullptr) {
    t.need("rope_parameters");
    return;
  }
  translate_rope(t, "rope", full);
  translate_rope(t, "sliding_attention.rope", sliding);
  const double head_dim = t.number(t.has("global_head_dim") ? "global_head_dim" : "head_dim", 0);
  const double part = t.number_in(full, "partial_rotary_factor", 1);
  if (part != 1) t.set("rope.rotated", part * head_dim);
  if (t.flag("enable_moe_block", false)) translate_gemma4_experts(t);
}

}  // namespace tandem::config
