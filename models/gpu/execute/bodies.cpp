#include "models/gpu/execute/bodies.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

using Body = void (*)(const KernelCall&);

void leave_to_caller(const KernelCall&) {}   // who asked for the logits picks the token
void leave_to_cache(const KernelCall&) {}    // its rows are what the codec gives back
void leave_to_product(const KernelCall&) {}  // it quantises each row by itself: the same codes

/// Query and attention kernels of latent attention go by the same names as those of grouped
/// attention.
void execute_query_norm(const KernelCall& call) {
  const bool is_latent = std::holds_alternative<LatentAttention>(call.kind().mixer);
  is_latent ? execute_latent_norm(call) : execute_qk_norm(call);
}

void execute_rope(const KernelCall& call) {
  const bool is_latent = std::holds_alternative<LatentAttention>(call.kind().mixer);
  is_latent ? execute_latent_rope(call) : execute_cache_write(call);
}

void execute_any_attention(const KernelCall& call) {
  const bool is_latent = std::holds_alternative<LatentAttention>(call.kind().mixer);
  is_latent ? execute_naive_attention(call) : execute_attention(call);
}

const std::map<std::string_view, Body>& bodies() {
  static const std::map<std::string_view, Body> table = {
      {"embedding", execute_embedding},
      {"mtp_embedding", execute_embedding},
      {"mtp_embedding_norm", execute_joined_norm},
      {"mtp_hidden_norm", execute_joined_norm},
      {"embedding_scale", execute_embedding_scale},
      {"position_embedding", execute_position_embedding},
      {"attention_norm", execute_hidden_norm},
      {"qkv_projection", execute_qkv},
      {"query_norm", execute_query_norm},
      {"key_norm", execute_qk_norm},
      {"value_norm", execute_qk_norm},
      {"rope", execute_rope},
      {"cache_write", execute_cache_write},
      {"attention", execute_any_attention},
      {"output_gate", execute_output_gate},
      {"latent_norm", execute_latent_norm},
      {"kv_read", leave_to_cache},
      {"latent_read", execute_latent_read},
      {"kv_up_projection", execute_latent_up},
      {"query_absorption", execute_absorption},
      {"latent_attention", execute_absorbed_attention},
      {"value_projection", execute_value_projection},
      {"index_key_norm", execute_index_key_norm},
      {"index_rope", execute_index_rope},
      {"indexer", execute_indexer},
      {"short_convolution", execute_convolution},
      {"delta_gates", execute_delta_gates},
      {"gated_delta_chunked", execute_delta_rule},
      {"gated_delta_recurrent", execute_delta_rule},
      {"delta_norm", execute_delta_norm},
      {"attention_post_norm", execute_post_norm},
      {"ffn_norm", execute_hidden_norm},
      {"activation", execute_activation},
      {"shared_activation", execute_activation},
      {"ffn_branch_norm", execute_hidden_norm},
      {"experts_norm", execute_hidden_norm},
      {"router_norm", execute_hidden_norm},
      {"router", execute_router},
      {"dispatch", execute_dispatch},
      {"expert_gate_up_projection", execute_expert_product},
      {"expert_up_projection", execute_expert_product},
      {"expert_activation", execute_expert_product},
      {"expert_down_projection", execute_expert_product},
      {"shared_gate", execute_token_gate},
      {"shared_sum", execute_sum},
      {"combine", execute_combine},
      {"expert_residual", execute_sum},
      {"experts_post_norm", execute_post_norm},
      {"ffn_residual", execute_sum},
      {"ffn_post_norm", execute_post_norm},
      {"final_norm", execute_final_norm},
      {"logit_softcap", execute_logit_cap},
      {"quantise", leave_to_product},
      {"sample", leave_to_caller}};
  return table;
}

}  // namespace

void execute(const KernelCall& call) {
  const auto found = bodies().find(call.kernel.role);
  if (found != bodies().end()) return found->second(call);
  if (std::holds_alternative<GemmKernel>(call.kernel.shape)) return execute_product(call);
  throw ModelError(fmt::format("gpu: cannot execute a kernel of role '{}'", call.kernel.role));
}

}  // namespace tandem::gpu
