// Mixtures of experts: grouped products, and the whole feed-forward block of one rank.
#include <algorithm>
#include <bit>
#include <charconv>

#include "sim/entry/rows/drawn_loads.hpp"
#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

std::vector<Kernel> grouped_gemm(RowReader& row, const Software&) {
  GroupedGemmKernel shape;
  shape.rows.assign(
      static_cast<std::size_t>(std::min<std::int64_t>(row.integer("groups", 1), 4096)),
      row.integer("m", 1));
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.precision = row.precision("dtype");
  if (shape.precision == nullptr) {
    shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  }
  return {{"grouped_gemm", -1, shape.activations, shape, {}}};
}

/// The block that a row describes.
struct ExpertBlock {
  RoutedLayer layer;
  std::int64_t hidden = 0, inter = 0;  ///< inter of this rank
  bool gated = true;
  const formats::Precision* precision = nullptr;
  std::vector<std::int64_t> rows;  ///< of each expert of this rank
  [[nodiscard]] std::int64_t copies() const {
    std::int64_t sum = 0;
    for (const std::int64_t of_expert : rows) sum += of_expert;
    return sum;
  }
};

/// balanced, or power_law_x with the exponent x.
std::vector<std::int64_t> routed_rows(RowReader& row, const RoutedLayer& layer) {
  constexpr std::string_view power_law = "power_law_";
  const std::string name = row.text("distribution", "balanced");
  if (name == "balanced") return balanced_rows(layer);
  double exponent = 0;
  const char* end = name.data() + name.size();
  if (name.starts_with(power_law) &&
      std::from_chars(name.data() + power_law.size(), end, exponent).ptr == end) {
    return power_law_rows(layer, exponent);
  }
  row.refuse("distribution", "'distribution' is 'balanced' or 'power_law_' with an exponent");
  return balanced_rows(layer);
}

ExpertBlock read_block(RowReader& row) {
  ExpertBlock block;
  RoutedLayer& layer = block.layer;
  layer.tokens = row.integer("tokens", 1);
  layer.experts = std::min<std::int64_t>(row.integer("experts", 1), 4096);
  layer.top_k = row.integer("topk", 1);
  layer.ranks = row.integer("ep", 1, 1);
  block.hidden = row.integer("hidden", 1);
  const std::int64_t tp = row.integer("tp", 1, 1);
  block.inter = row.integer("inter", 1) / tp;
  block.gated = row.integer("gated", 0, 1) != 0;
  block.precision = row.precision("dtype");
  if (layer.top_k > layer.experts) row.refuse("topk", "'topk' exceeds 'experts'");
  if (layer.experts % layer.ranks != 0) row.refuse("ep", "'ep' does not divide 'experts'");
  if (block.inter < 1) row.refuse("tp", "'tp' leaves nothing of 'inter'");
  if (layer.top_k > layer.experts || layer.experts % layer.ranks != 0 || block.inter < 1) {
    return block;
  }
  block.rows = routed_rows(row, layer);
  return block;
}

void add(std::vector<Kernel>& kernels, std::string_view role, KernelShape shape) {
  kernels.push_back({role, -1, ElementType::Bfloat16, std::move(shape), {}});
}

/// Softmax over the chosen logits; up to 128 experts and 8 choices in one kernel, beyond in five of
/// the tensor library: selection, sort, two conversions, softmax (TensorRT-LLM, routing.py,
/// RenormalizeMoeRoutingMethod).
void add_routing(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  RouterKernel router;
  router.tokens = layer.tokens;
  router.router.rule = ops::RouterRule::TopkSoftmax;
  router.router.experts = layer.experts;
  router.router.top_k = layer.top_k;
  add(kernels, "router", router);
  if (layer.experts <= 128 && layer.top_k <= 8) return;
  for (const char* role : {"router_sort", "router_indices", "router_logits", "router_softmax"}) {
    add(kernels, role, ElementwiseKernel{ElementwiseKind::Scale, layer.tokens, layer.top_k});
  }
}

/// One kernel sorts up to 256 tokens, three kernels more (TensorRT-LLM, moe_kernels.cu,
/// fusedBuildExpertMapsSortFirstToken and threeStepBuildExpertMapsSortFirstToken).
void add_sort(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  const int passes = layer.tokens <= 256 ? 1 : 3;
  for (int pass = 0; pass < passes; ++pass) {
    add(kernels, "expert_sort",
        ExpertSortKernel{layer.tokens, layer.top_k, layer.experts / layer.ranks});
  }
}

/// Rows per expert of the power of two of tokens below, evenly routed: on these the library times
/// its schedules (TensorRT-LLM, autotuner.py and torch_custom_ops.py, last_positive_power_of_2).
std::int64_t tuned_rows(const RoutedLayer& layer) {
  const auto bucket =
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(layer.tokens)));
  return std::max<std::int64_t>(1, bucket * layer.top_k / layer.experts);
}

GroupedGemmKernel product(const ExpertBlock& block, std::int64_t n, std::int64_t k) {
  GroupedGemmKernel shape;
  shape.rows = block.rows;
  shape.n = n;
  shape.k = k;
  shape.precision = block.precision;
  shape.tuned_rows = tuned_rows(block.layer);
  return shape;
}

void add_block(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  const std::int64_t copies = block.copies();
  const bool quantises = block.precision != nullptr && block.precision->activation.has_value();
  add_routing(block, kernels);
  add_sort(block, kernels);
  if (quantises) {
    add(kernels, "quantise", QuantiseKernel{layer.tokens, block.hidden, block.precision});
  }
  add(kernels, "dispatch", DispatchKernel{layer.tokens, layer.top_k, block.hidden, copies});
  // Pointers, strides and scales of each expert's product (computeStridesTmaWarpSpecialized).
  add(kernels, "expert_descriptors",
      ExpertSortKernel{1, 1, static_cast<std::int64_t>(block.rows.size())});
  add(kernels, "expert_gate_up_projection",
      product(block, block.inter * (block.gated ? 2 : 1), block.hidden));
  add(kernels, "expert_activation",
      ActivationKernel{copies, block.inter, ActivationKind::Silu, block.gated});
  add(kernels, "expert_down_projection", product(block, block.hidden, block.inter));
  add(kernels, "combine",
      CombineKernel{layer.tokens, layer.top_k, block.hidden, false, false, copies});
}

std::vector<Kernel> moe(RowReader& row, const Software&) {
  const ExpertBlock block = read_block(row);
  std::vector<Kernel> kernels;
  if (!block.rows.empty()) add_block(block, kernels);
  return kernels;
}

}  // namespace

std::vector<RowOperator> expert_operators() {
  return {{"grouped_gemm", {"groups", "m", "n", "k", "dtype"}, grouped_gemm},
          {"moe", {"tokens", "hidden", "inter", "topk", "experts", "dtype"}, moe}};
}

}  // namespace tandem::entry
