#include "models/gpu/weight_cutter.hpp"

namespace tandem::gpu {
namespace {

/// Names of the kernels of a dense block.
struct DenseRoles {
  std::string prefix;  ///< of its tensors
  std::string up, down;
};

void cut_dense(const FeedForward& ffn, const DenseRoles& roles, ShareRange columns, bool bias,
               bool adds_bias, WeightCutter& cutter) {
  const auto append = [&](const char* name) {
    cutter.rows(roles.up, roles.prefix + name, columns);
    if (bias) cutter.elements(roles.up + ".bias", roles.prefix + name + "_bias", columns);
  };
  if (ffn.gated) append("gate");
  append("up");
  cutter.columns(roles.down, roles.prefix + "down", columns);
  if (!bias) return;
  if (adds_bias) {
    cutter.whole(roles.down + ".bias", roles.prefix + "down_bias");
  } else {
    cutter.zeros(roles.down + ".bias", roles.prefix + "down_bias");
  }
}

/// Rows of gate and up of one expert stand together, so that one product makes both.
void cut_routed(const FeedForward& ffn, const Experts& experts, WeightCutter& cutter) {
  const ShareRange held = held_experts(experts, cutter.shard());
  const ShareRange columns = expert_columns(experts.intermediate, cutter.shard());
  const std::string up = ffn.gated ? "expert_gate_up_projection" : "expert_up_projection";
  const std::string down = "expert_down_projection";
  const std::int64_t hidden = cutter.at("experts.up").shape().back();
  const bool adds_bias = columns.begin == 0;
  for (std::int64_t e = held.begin; e < held.end; ++e) {
    const ShareRange one{e, e + 1};
    for (const char* name : {"gate", "up"}) {
      if (!ffn.gated && name[0] == 'g') continue;
      const std::string tensor = std::string("experts.") + name;
      cutter.experts(up, tensor, one, columns, {0, hidden});
      if (!experts.bias) continue;
      const std::int64_t first = e * experts.intermediate;
      cutter.elements(up + ".bias", tensor + "_bias", {first + columns.begin, first + columns.end});
    }
    cutter.experts(down, "experts.down", one, {0, hidden}, columns);
    if (!experts.bias) continue;
    if (adds_bias) {
      cutter.elements(down + ".bias", "experts.down_bias", {e * hidden, (e + 1) * hidden});
    } else {
      cutter.more_zeros(down + ".bias", hidden);
    }
  }
}

void cut_experts(const FeedForward& ffn, WeightCutter& cutter) {
  const Experts& experts = *ffn.experts;
  const Shard& shard = cutter.shard();
  cutter.whole("router_projection", "experts.router");
  if (experts.router_norm) cutter.whole("router_norm", "experts.router_norm");
  if (experts.router.bias) cutter.whole("router.bias", "experts.router_bias");
  if (experts.expert_scale) cutter.whole("router.scale", "experts.scale");
  cut_routed(ffn, experts, cutter);
  if (experts.shared == 0) return;
  const ShareRange columns = shard.of.sends_rows()
                                 ? ShareRange{0, experts.shared_intermediate}
                                 : tandem::share_of(experts.shared_intermediate,
                                                    shard.of.group_ranks(), shard.group_rank());
  const char* up = ffn.gated ? "shared_gate_up_projection" : "shared_up_projection";
  cut_dense(ffn, {"shared.", up, "shared_down_projection"}, columns, false, false, cutter);
  if (experts.shared_gate) cutter.whole("shared_gate_projection", "shared.switch");
}

}  // namespace

void cut_feed_forward(const FeedForward& ffn, WeightCutter& cutter) {
  const Shard& shard = cutter.shard();
  if (ffn.intermediate > 0) {
    const ShareRange columns =
        tandem::share_of(ffn.intermediate, shard.of.group_ranks(), shard.group_rank());
    cut_dense(ffn, {"ffn.", ffn.gated ? "gate_up_projection" : "up_projection", "down_projection"},
              columns, ffn.bias, shard.group_rank() == 0, cutter);
  }
  if (!ffn.experts) return;
  if (ffn.intermediate > 0) {
    cutter.norm("ffn_branch_norm", "ffn.post_norm");
    cutter.norm("experts_norm", "experts.norm");
    cutter.norm("experts_post_norm", "experts.post_norm");
  }
  cut_experts(ffn, cutter);
}

}  // namespace tandem::gpu
