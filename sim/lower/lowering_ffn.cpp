// Feed-forward blocks as kernels: dense, experts, or both side by side.
#include "sim/lower/graph_builder.hpp"

namespace tandem {

/// Names of the kernels of a dense block.
struct GraphBuilder::FfnRoles {
  std::string_view gate_up, up, activation, down;
};

GraphBuilder::Index GraphBuilder::add_dense(const FfnRoles& roles, const FeedForward& ffn,
                                            std::int64_t width, bool bias, Index from,
                                            bool adds_residual) {
  const std::int64_t hidden = network_.hidden;
  const Index up = add(ffn.gated ? roles.gate_up : roles.up,
                       gemm(tokens_, width * (ffn.gated ? 2 : 1), hidden, false, bias), {from});
  const Index activation =
      add(roles.activation, ActivationKernel{tokens_, width, ffn.activation, ffn.gated}, {up});
  return add(roles.down, gemm(tokens_, hidden, width, adds_residual, bias),
             {activation, adds_residual ? hidden_from_ : no_kernel});
}

GraphBuilder::Index GraphBuilder::add_routed(const FeedForward& ffn, Index from, Index router) {
  const Experts& experts = *ffn.experts;
  const std::int64_t hidden = network_.hidden;
  const std::int64_t copies = tokens_ * experts.router.top_k;
  const Precision& precision = stage_.precision;
  const Index sent =
      add("dispatch", DispatchKernel{tokens_, experts.router.top_k, hidden}, {from, router});
  const std::vector<std::int64_t> rows = expert_rows(tokens_, experts.router, load_);
  const Index up = add(ffn.gated ? "expert_gate_up_projection" : "expert_up_projection",
                       GroupedGemmKernel{rows, experts.intermediate * (ffn.gated ? 2 : 1), hidden,
                                         precision.weights, precision.activations, experts.bias},
                       {sent});
  const Index activation =
      add("expert_activation",
          ActivationKernel{copies, experts.intermediate, ffn.activation, ffn.gated}, {up});
  return add("expert_down_projection",
             GroupedGemmKernel{rows, hidden, experts.intermediate, precision.weights,
                               precision.activations, experts.bias},
             {activation});
}

GraphBuilder::Index GraphBuilder::add_shared(const FeedForward& ffn, Index from) {
  const Experts& experts = *ffn.experts;
  const FfnRoles roles{"shared_gate_up_projection", "shared_up_projection", "shared_activation",
                       "shared_down_projection"};
  const Index shared = add_dense(roles, ffn, experts.shared_intermediate, false, from, false);
  if (!experts.shared_gate) return shared;
  const Index gate = add("shared_gate_projection", gemm(tokens_, 1, network_.hidden), {from});
  return add("shared_gate", ElementwiseKernel{ElementwiseKind::TokenGate, tokens_, network_.hidden},
             {shared, gate});
}

GraphBuilder::Index GraphBuilder::add_experts(const FeedForward& ffn, Index from,
                                              bool adds_residual) {
  const Experts& experts = *ffn.experts;
  const std::int64_t hidden = network_.hidden;
  Index router_input = from;
  if (experts.router_norm) {
    router_input = add("router_norm", NormKernel{tokens_, hidden, NormKind::Rms}, {hidden_from_});
  }
  const Index logits =
      add("router_projection", gemm(tokens_, experts.router.experts, hidden), {router_input});
  const Index router =
      add("router", RouterKernel{tokens_, experts.router, experts.expert_scale}, {logits});
  const Index routed = add_routed(ffn, from, router);
  const Index shared = experts.shared > 0 ? add_shared(ffn, from) : no_kernel;
  return add(
      "combine",
      CombineKernel{tokens_, experts.router.top_k, hidden, experts.shared > 0, adds_residual},
      {routed, router, shared, adds_residual ? hidden_from_ : no_kernel});
}

GraphBuilder::Index GraphBuilder::add_ffn(const LayerKind& kind) {
  const FeedForward& ffn = kind.ffn;
  const FfnRoles roles{"gate_up_projection", "up_projection", "activation", "down_projection"};
  const bool both = ffn.intermediate > 0 && ffn.experts;
  const bool adds_residual = !kind.post_norms && !both;
  const Index norm = add("ffn_norm", hidden_norm(tokens_), {hidden_from_});
  Index result = no_kernel;
  if (ffn.intermediate > 0) {
    result = add_dense(roles, ffn, ffn.intermediate, ffn.bias, norm, adds_residual);
  }
  if (both) {
    const Index dense = add("ffn_branch_norm", hidden_norm(tokens_), {result});
    const Index input = add("experts_norm", hidden_norm(tokens_), {hidden_from_});
    const Index routed = add_experts(ffn, input, false);
    result = add("experts_post_norm", hidden_norm(tokens_, true), {routed, dense});
  } else if (ffn.experts) {
    result = add_experts(ffn, norm, adds_residual);
  }
  if (kind.post_norms) {
    return add("ffn_post_norm", hidden_norm(tokens_, true), {result, hidden_from_});
  }
  if (both) {
    return add("ffn_residual", ElementwiseKernel{ElementwiseKind::Add, tokens_, network_.hidden},
               {result, hidden_from_});
  }
  return result;
}

}  // namespace tandem
