// Feed-forward blocks: dense ones and mixtures of experts with their routers.
#include <fmt/format.h>

#include <cmath>

#include "sim/config/build_layers.hpp"

namespace tandem::config {
namespace {

/// Checks of a router whose counts are `reader`'s, the experts' section being `experts`.
void check_router(const ops::Router& router, const MapReader& experts, const MapReader& reader) {
  if (router.top_k > router.experts) {
    experts.report("top_k", fmt::format("'top_k' is {}, more than the {} experts", router.top_k,
                                        router.experts));
  }
  if (router.experts % router.groups != 0) {
    reader.report("groups", fmt::format("'groups' ({}) does not divide the {} experts",
                                        router.groups, router.experts));
    return;
  }
  if (router.top_groups > router.groups) {
    reader.report("top_groups", fmt::format("'top_groups' is {}, more than the {} groups",
                                            router.top_groups, router.groups));
    return;
  }
  const std::int64_t group = router.experts / router.groups;
  if (router.groups > 1 && router.top_k <= router.experts &&
      router.top_k > router.top_groups * group) {
    reader.report("top_groups", fmt::format("{} groups of {} experts do not hold the 'top_k' of {}",
                                            router.top_groups, group, router.top_k));
  }
  if (router.group_score == ops::GroupScore::SumOfTop2 && group < 2) {
    reader.report("group_score", "'sum_of_top2' needs groups of at least 2 experts");
  }
}

void read_router(const Tree& tree, const MapReader& experts, Experts& result,
                 ReadContext& context) {
  const MapReader reader(tree, router_section(), "router", context);
  if (!tree.is_map()) return;
  ops::Router& router = result.router;
  router.rule =
      reader.choice<ops::RouterRule>("rule", {{"softmax_topk", ops::RouterRule::SoftmaxTopk},
                                              {"topk_softmax", ops::RouterRule::TopkSoftmax},
                                              {"sigmoid_bias", ops::RouterRule::SigmoidBias}});
  router.renormalise = reader.flag("renormalise");
  router.scale = reader.number("scale");
  router.bias = reader.flag("bias");
  router.groups = reader.count("groups");
  router.top_groups = reader.count("top_groups");
  router.group_score = reader.choice<ops::GroupScore>(
      "group_score",
      {{"best", ops::GroupScore::Best}, {"sum_of_top2", ops::GroupScore::SumOfTop2}});
  router.group_mask = reader.choice<ops::GroupMask>(
      "group_mask",
      {{"minus_infinity", ops::GroupMask::MinusInfinity}, {"zero", ops::GroupMask::Zero}});
  result.router_norm = reader.flag("norm");
  result.expert_scale = reader.flag("expert_scale");
  if (experts.has_all({"count", "top_k"})) check_router(router, experts, reader);
}

void read_shared(const MapReader& reader, Experts& experts) {
  experts.shared = reader.count("shared");
  const std::optional<double> width = reader.optional_number("shared_intermediate");
  experts.shared_intermediate =
      width ? std::llround(*width) : experts.shared * experts.intermediate;
  experts.shared_gate = reader.flag("shared_gate");
  if (experts.shared > 0) return;
  for (const char* key : {"shared_intermediate", "shared_gate"}) {
    if (reader.has(key)) {
      reader.report(key, fmt::format("'{}' needs shared experts; write 'shared: 1' as well", key));
    }
  }
}

}  // namespace

FeedForward build_ffn(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, ffn_section(), "ffn", context);
  FeedForward ffn;
  if (!tree.is_map()) return ffn;
  ffn.intermediate = reader.count("intermediate");
  ffn.gated = reader.flag("gated");
  ffn.bias = reader.flag("bias");
  return ffn;
}

Experts build_experts(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, experts_section(), "experts", context);
  Experts experts;
  if (!tree.is_map()) return experts;
  experts.router.experts = reader.count("count");
  experts.router.top_k = reader.count("top_k");
  experts.intermediate = reader.count("intermediate");
  experts.bias = reader.flag("bias");
  read_shared(reader, experts);
  if (reader.has("router")) read_router(*reader.child("router"), reader, experts, context);
  return experts;
}

}  // namespace tandem::config
