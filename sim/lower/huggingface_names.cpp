#include "sim/lower/huggingface_names.hpp"

#include <span>

namespace tandem {
namespace {

/// One of our names and what checkpoints call it. A null pointer ends the list early.
struct Entry {
  const char* ours;
  const char* theirs[3];
};

constexpr Entry attention_names[] = {
    {"attention_norm", {"input_layernorm.weight"}},
    {"attention.query", {"self_attn.q_proj.weight"}},
    {"attention.query_bias", {"self_attn.q_proj.bias"}},
    {"attention.key", {"self_attn.k_proj.weight"}},
    {"attention.key_bias", {"self_attn.k_proj.bias"}},
    {"attention.value", {"self_attn.v_proj.weight"}},
    {"attention.value_bias", {"self_attn.v_proj.bias"}},
    {"attention.query_norm", {"self_attn.q_norm.weight", "self_attn.q_a_layernorm.weight"}},
    {"attention.key_norm", {"self_attn.k_norm.weight"}},
    {"attention.sinks", {"self_attn.sinks"}},
    {"attention.output", {"self_attn.o_proj.weight"}},
    {"attention.output_bias", {"self_attn.o_proj.bias"}},
    {"attention.query_down", {"self_attn.q_a_proj.weight"}},
    {"attention.query_up", {"self_attn.q_b_proj.weight", "self_attn.q_proj.weight"}},
    {"attention.kv_down", {"self_attn.kv_a_proj_with_mqa.weight"}},
    {"attention.kv_norm", {"self_attn.kv_a_layernorm.weight"}},
    {"attention.kv_up", {"self_attn.kv_b_proj.weight"}},
    {"indexer.query", {"self_attn.indexer.wq_b.weight"}},
    {"indexer.key", {"self_attn.indexer.wk.weight"}},
    {"indexer.key_norm", {"self_attn.indexer.k_norm.weight"}},
    {"indexer.key_norm_bias", {"self_attn.indexer.k_norm.bias"}},
    {"indexer.head_weights", {"self_attn.indexer.weights_proj.weight"}},
};

constexpr Entry delta_names[] = {
    {"delta.qkv", {"linear_attn.in_proj_qkv.weight"}},
    {"delta.z", {"linear_attn.in_proj_z.weight"}},
    {"delta.b", {"linear_attn.in_proj_b.weight"}},
    {"delta.a", {"linear_attn.in_proj_a.weight"}},
    {"delta.conv", {"linear_attn.conv1d.weight"}},
    {"delta.a_log", {"linear_attn.A_log"}},
    {"delta.dt_bias", {"linear_attn.dt_bias"}},
    {"delta.norm", {"linear_attn.norm.weight"}},
    {"delta.output", {"linear_attn.out_proj.weight"}},
};

constexpr Entry ffn_names[] = {
    {"ffn.gate", {"mlp.gate_proj.weight"}},
    {"ffn.up", {"mlp.up_proj.weight"}},
    {"ffn.down", {"mlp.down_proj.weight"}},
    {"ffn.gate_bias", {"mlp.gate_proj.bias"}},
    {"ffn.up_bias", {"mlp.up_proj.bias"}},
    {"ffn.down_bias", {"mlp.down_proj.bias"}},
    {"ffn.post_norm", {"post_feedforward_layernorm_1.weight"}},
    {"experts.norm", {"pre_feedforward_layernorm_2.weight"}},
    {"experts.post_norm", {"post_feedforward_layernorm_2.weight"}},
    {"experts.router_norm", {"router.scale"}},
    {"experts.scale", {"router.per_expert_scale"}},
    {"shared.gate", {"mlp.shared_experts.gate_proj.weight", "mlp.shared_expert.gate_proj.weight"}},
    {"shared.up", {"mlp.shared_experts.up_proj.weight", "mlp.shared_expert.up_proj.weight"}},
    {"shared.down", {"mlp.shared_experts.down_proj.weight", "mlp.shared_expert.down_proj.weight"}},
    {"shared.switch", {"mlp.shared_expert_gate.weight"}},
};

void append(std::span<const Entry> entries, std::string_view tensor,
            std::vector<std::string>& names) {
  for (const Entry& entry : entries) {
    if (tensor != entry.ours) continue;
    for (const char* theirs : entry.theirs) {
      if (theirs != nullptr) names.emplace_back(theirs);
    }
  }
}

}  // namespace

std::vector<std::string> huggingface_names(const LayerKind& kind, std::string_view tensor) {
  // "post_attention_layernorm" is the norm before the second half, but in Gemma it follows the
  // first.
  if (tensor == "ffn_norm") {
    return {kind.post_norms ? "pre_feedforward_layernorm.weight"
                            : "post_attention_layernorm.weight"};
  }
  if (tensor == "attention_post_norm") return {"post_attention_layernorm.weight"};
  if (tensor == "ffn_post_norm") return {"post_feedforward_layernorm.weight"};
  if (tensor == "experts.router") {
    return {"mlp.gate.weight", "mlp.router.weight", "block_sparse_moe.gate.weight",
            "router.proj.weight"};
  }
  if (tensor == "experts.router_bias") {
    return {"mlp.gate.e_score_correction_bias", "mlp.router.bias",
            "block_sparse_moe.e_score_correction_bias"};
  }
  std::vector<std::string> names;
  append(attention_names, tensor, names);
  append(delta_names, tensor, names);
  append(ffn_names, tensor, names);
  return names;
}

}  // namespace tandem
