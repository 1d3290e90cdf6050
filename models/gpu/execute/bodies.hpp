// What each kernel of a pass computes, on real numbers and in fixed order. Only element
// conversions, special functions and innermost dot products are shared with the references.
#pragma once

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// Executes one kernel of lower(), found by its role and the kind of its layer. Throws ModelError
/// for roles without a body.
void execute(const KernelCall& call);

// Bodies, by file.
// products.cpp
void execute_product(const KernelCall& call);
void execute_qkv(const KernelCall& call);
/// c (+)= a b^T (+ bias) over the tiles of the kernel's plan.
void multiply(const KernelCall& call, const TrackedRows& a, const WeightMatrix& b,
              const WeightMatrix* bias, TrackedRows& c, bool is_rounded = true);
// norms.cpp
void execute_hidden_norm(const KernelCall& call);
void execute_post_norm(const KernelCall& call);
void execute_qk_norm(const KernelCall& call);
void execute_final_norm(const KernelCall& call);
void execute_joined_norm(const KernelCall& call);
/// One norm of the kind that the network has for hidden states.
void normalise(const KernelCall& call, std::span<const float> x, std::span<float> y);
// elementwise.cpp
void execute_embedding(const KernelCall& call);
void execute_embedding_scale(const KernelCall& call);
void execute_position_embedding(const KernelCall& call);
void execute_activation(const KernelCall& call);
void execute_token_gate(const KernelCall& call);
void execute_sum(const KernelCall& call);
void execute_logit_cap(const KernelCall& call);
/// to = round(to + from), row by row.
void add_rows(const KernelCall& call, const TrackedRows& from, TrackedRows& to);
// attention.cpp
void execute_cache_write(const KernelCall& call);
void execute_attention(const KernelCall& call);
void execute_output_gate(const KernelCall& call);
// latent.cpp
void execute_latent_norm(const KernelCall& call);
void execute_latent_rope(const KernelCall& call);
void execute_latent_read(const KernelCall& call);
void execute_latent_up(const KernelCall& call);
void execute_absorption(const KernelCall& call);
void execute_value_projection(const KernelCall& call);
void execute_naive_attention(const KernelCall& call);
void execute_absorbed_attention(const KernelCall& call);
// indexer.cpp
void execute_index_key_norm(const KernelCall& call);
void execute_index_rope(const KernelCall& call);
void execute_indexer(const KernelCall& call);
// delta.cpp
void execute_convolution(const KernelCall& call);
void execute_delta_gates(const KernelCall& call);
void execute_delta_rule(const KernelCall& call);
void execute_delta_norm(const KernelCall& call);
// experts.cpp
void execute_router(const KernelCall& call);
void execute_dispatch(const KernelCall& call);
void execute_expert_product(const KernelCall& call);
void execute_combine(const KernelCall& call);
/// What experts make of rows that no kernel of the pass has taken through them: kernels are
/// lowered for the rows that experts get on average.
void finish_experts(PassState& pass, std::int64_t layer, Picoseconds at);

}  // namespace tandem::gpu
