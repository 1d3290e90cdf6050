// Feed-forward blocks as kernels: dense, experts, or both side by side.
#include <numeric>

#include "sim/lower/graph_builder.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem {
namespace {

std::int64_t sum_of(const std::vector<std::int64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
}

}  // namespace

/// Names of the kernels of a dense block.
struct GraphBuilder::FfnRoles {
  std::string_view gate_up, up, activation, down;
};

GraphBuilder::Index GraphBuilder::add_dense(const FfnRoles& roles, const FeedForward& ffn,
                                            std::int64_t width, bool bias, Index from,
                                            bool adds_residual) {
  const std::int64_t hidden = network_.hidden;
  from = quantised(from, rows_, hidden);
  const Index up = add(ffn.gated ? roles.gate_up : roles.up,
                       gemm(rows_, width * (ffn.gated ? 2 : 1), hidden, false, bias), {from});
  const Index activation =
      add(roles.activation, ActivationKernel{rows_, width, ffn.activation, ffn.gated}, {up});
  return add(roles.down, gemm(rows_, hidden, width, adds_residual, bias),
             {quantised(activation, rows_, width), adds_residual ? hidden_from_ : no_kernel});
}

const std::vector<std::int64_t>& GraphBuilder::held_rows(const Experts& experts) {
  if (held_rows_.empty() || held_of_ != experts.router) {
    held_rows_ = held_expert_rows(all_tokens_, experts, shard_, load_);
    held_of_ = experts.router;
  }
  return held_rows_;
}

GraphBuilder::Index GraphBuilder::add_expert_products(const FeedForward& ffn,
                                                      std::vector<std::int64_t> rows, Index sent) {
  const Experts& experts = *ffn.experts;
  const std::int64_t hidden = network_.hidden;
  const std::int64_t copies = sum_of(rows);
  const ElementType activations = stage_.precision.activations;
  part_ = WeightPart::Experts;
  const Index up = add(ffn.gated ? "expert_gate_up_projection" : "expert_up_projection",
                       GroupedGemmKernel{rows, experts.intermediate * (ffn.gated ? 2 : 1), hidden,
                                         stored_type(), activations, experts.bias, products()},
                       {sent});
  const Index activation =
      add("expert_activation",
          ActivationKernel{copies, experts.intermediate, ffn.activation, ffn.gated}, {up});
  return add("expert_down_projection",
             GroupedGemmKernel{rows, hidden, experts.intermediate, stored_type(), activations,
                               experts.bias, products()},
             {activation});
}

GraphBuilder::Index GraphBuilder::add_routed(const FeedForward& ffn, Index from, Index router) {
  const std::int64_t top_k = ffn.experts->router.top_k;
  std::vector<std::int64_t> rows = held_rows(*ffn.experts);
  part_ = WeightPart::Experts;
  from = quantised(from, rows_, network_.hidden);
  DispatchKernel dispatch{rows_, top_k, network_.hidden};
  if (!shard_.is_whole()) {
    dispatch.copies = sum_of(rows);
  }
  const Index sent = add("dispatch", dispatch, {from, router});
  return add_expert_products(ffn, std::move(rows), sent);
}

/// Activations of experts leave their kernel quantised, as do rows that are sent (DeepEP). Rows go
/// to the chips of their experts in the format that these multiply, and come back as
/// activations; sending and weighted summing are parts of the exchanges.
GraphBuilder::Index GraphBuilder::add_sent(const FeedForward& ffn, Index router) {
  const Experts& experts = *ffn.experts;
  part_ = WeightPart::Experts;
  exchange_experts("expert_dispatch", CollectiveOp::MoeDispatch, experts, sent_type());
  const Index routed = add_expert_products(ffn, held_rows(experts), router);
  exchange_experts("expert_combine", CollectiveOp::MoeCombine, experts,
                   stage_.precision.activations);
  return routed;
}

ElementType GraphBuilder::sent_type() const {
  if (bytes_of(stored_type()) == 1) return stored_type();
  const bool narrows =
      products() != nullptr && products()->activation && bits_of(products()->activation->code) == 8;
  return narrows ? ElementType::Fp8E4m3 : stage_.precision.activations;
}

GraphBuilder::Index GraphBuilder::add_shared(const FeedForward& ffn, Index from) {
  const Experts& experts = *ffn.experts;
  part_ = WeightPart::FeedForward;
  const FfnRoles roles{"shared_gate_up_projection", "shared_up_projection", "shared_activation",
                       "shared_down_projection"};
  const Index shared = add_dense(roles, ffn, experts.shared_intermediate, false, from, false);
  if (!experts.shared_gate) return shared;
  const Index gate = add("shared_gate_projection", plain_gemm(rows_, 1, network_.hidden), {from});
  return add("shared_gate", ElementwiseKernel{ElementwiseKind::TokenGate, rows_, network_.hidden},
             {shared, gate});
}

GraphBuilder::Index GraphBuilder::add_experts(const FeedForward& ffn, Index from,
                                              bool adds_residual) {
  const Experts& experts = *ffn.experts;
  const std::int64_t hidden = network_.hidden;
  part_ = WeightPart::Experts;
  Index router_input = from;
  if (experts.router_norm) {
    router_input = add("router_norm", NormKernel{rows_, hidden, NormKind::Rms}, {hidden_from_});
  }
  const Index logits =
      add("router_projection", plain_gemm(rows_, experts.router.experts, hidden), {router_input});
  const Index router =
      add("router", RouterKernel{rows_, experts.router, experts.expert_scale}, {logits});
  if (shard_.of.sends_rows()) return add_sent_experts(ffn, from, router, adds_residual);
  const Index routed = add_routed(ffn, from, router);
  const Index shared = experts.shared > 0 ? add_shared(ffn, from) : no_kernel;
  const bool alone = shard_.is_whole();
  CombineKernel combine{rows_, experts.router.top_k, hidden, experts.shared > 0,
                        adds_residual && alone};
  if (!alone) combine.copies = sum_of(held_rows(experts));
  const Index result =
      add("combine", combine,
          {routed, router, shared, combine.adds_residual ? hidden_from_ : no_kernel});
  reduce_hidden("expert_reduce", adds_residual);
  return result;
}

/// What comes back from the experts is already summed; shared experts and residual are added.
GraphBuilder::Index GraphBuilder::add_sent_experts(const FeedForward& ffn, Index from, Index router,
                                                   bool adds_residual) {
  const Index shared = ffn.experts->shared > 0 ? add_shared(ffn, from) : no_kernel;
  Index result = add_sent(ffn, router);
  if (ffn.experts->shared > 0) {
    result = add("shared_sum", ElementwiseKernel{ElementwiseKind::Add, rows_, network_.hidden},
                 {result, shared});
  }
  if (!adds_residual) return result;
  return add("expert_residual", ElementwiseKernel{ElementwiseKind::Add, rows_, network_.hidden},
             {result, hidden_from_});
}

GraphBuilder::Index GraphBuilder::add_ffn(const LayerKind& kind) {
  const FeedForward& ffn = kind.ffn;
  const FfnRoles roles{"gate_up_projection", "up_projection", "activation", "down_projection"};
  const bool both = ffn.intermediate > 0 && ffn.experts;
  const bool adds_residual = !kind.post_norms && !both;
  part_ = WeightPart::FeedForward;
  const Index norm = add("ffn_norm", hidden_norm(rows_), {hidden_from_});
  Index result = no_kernel;
  if (ffn.intermediate > 0) {
    result =
        add_dense(roles, ffn, ffn.intermediate, ffn.bias, norm, adds_residual && !shares_layers());
    reduce_hidden("ffn_reduce", adds_residual);
  }
  if (both) {
    const Index dense = add("ffn_branch_norm", hidden_norm(rows_), {result});
    const Index input = add("experts_norm", hidden_norm(rows_), {hidden_from_});
    const Index routed = add_experts(ffn, input, false);
    result = add("experts_post_norm", hidden_norm(rows_, true), {routed, dense});
  } else if (ffn.experts) {
    result = add_experts(ffn, norm, adds_residual);
  }
  if (kind.post_norms) {
    return add("ffn_post_norm", hidden_norm(rows_, true), {result, hidden_from_});
  }
  if (both) {
    return add("ffn_residual", ElementwiseKernel{ElementwiseKind::Add, rows_, network_.hidden},
               {result, hidden_from_});
  }
  return result;
}

}  // namespace tandem
