// Mixtures of experts: grouped products, and the whole feed-forward block of one rank.
#include <algorithm>
#include <bit>
#include <charconv>

#include "sim/entry/rows/drawn_loads.hpp"
#include "sim/entry/rows/operators.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::entry {
namespace {

/// Loads are drawn choice by choice.
constexpr std::int64_t most_tokens = std::int64_t{1} << 24;
constexpr std::int64_t most_experts = 4096;

std::vector<Kernel> grouped_gemm(RowReader& row, const Software&) {
  GroupedGemmKernel shape;
  const std::int64_t groups = row.integer("groups", 1, std::nullopt, most_experts);
  shape.rows.assign(static_cast<std::size_t>(groups), row.integer("m", 1));
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
  std::int64_t access = 16;        ///< bytes that a thread of the quantisation loads at once
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
  layer.tokens = row.integer("tokens", 1, std::nullopt, most_tokens);
  layer.experts = row.integer("experts", 1, std::nullopt, most_experts);
  layer.top_k = row.integer("topk", 1);
  layer.ranks = row.integer("ep", 1, 1);
  block.hidden = row.integer("hidden", 1);
  const std::int64_t tp = row.integer("tp", 1, 1);
  const std::int64_t inter = row.integer("inter", 1);
  block.inter = inter / tp;
  block.gated = row.integer("gated", 0, 1) != 0;
  block.precision = row.precision("dtype");
  if (layer.top_k > layer.experts) row.refuse("topk", "'topk' exceeds 'experts'");
  if (layer.experts % layer.ranks != 0) row.refuse("ep", "'ep' does not divide 'experts'");
  if (inter % tp != 0) row.refuse("tp", "'tp' does not divide 'inter'");
  if (layer.top_k > layer.experts || layer.experts % layer.ranks != 0 || inter % tp != 0) {
    return block;
  }
  block.rows = routed_rows(row, layer);
  return block;
}

void add(std::vector<Kernel>& kernels, std::string_view role, KernelShape shape) {
  kernels.push_back({role, -1, ElementType::Bfloat16, std::move(shape), {}});
}

/// Softmax over the chosen logits.
void add_router(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  RouterKernel router;
  router.tokens = layer.tokens;
  router.router.rule = ops::RouterRule::TopkSoftmax;
  router.router.experts = layer.experts;
  router.router.top_k = layer.top_k;
  add(kernels, "router", router);
}

/// Up to 128 experts and 8 choices in one kernel, beyond in five of the tensor library: selection,
/// sort, two conversions, softmax (TensorRT-LLM, routing.py, RenormalizeMoeRoutingMethod).
void add_routing(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  add_router(block, kernels);
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

/// Scales per tensor are numbers of the checkpoint here; others are found on the way.
void add_quantise(const ExpertBlock& block, std::int64_t rows, std::int64_t width,
                  std::vector<Kernel>& kernels) {
  QuantiseKernel shape{rows, width, block.precision};
  if (block.precision->activation->granularity.cols == 0) shape.scales = ScaleOrigin::Known;
  shape.convert_access = block.access;
  add(kernels, "quantise", shape);
}

/// CUTLASS products' neighbours are grids of eight CTAs per SM (TensorRT-LLM, moe_kernels.cu,
/// expandInputRowsKernelLauncher and doActivation). With scales per group of elements they search
/// each row's expert, and set the scales behind each expert's rows to zero up to a multiple of 128
/// rows, whose number they take to be the largest possible.
RowWalk expert_walk(const ExpertBlock& block, std::int64_t width) {
  RowWalk walk;
  walk.ctas_per_sm = 8;
  const formats::Precision* precision = block.precision;
  const auto group = precision != nullptr && precision->activation
                         ? precision->activation->granularity.cols
                         : std::int64_t{0};
  if (group == 0) return walk;
  walk.access = 4;
  walk.searches_expert = true;
  walk.padding_rows = 128 * static_cast<std::int64_t>(block.rows.size());
  walk.padding_bytes = width / group;
  return walk;
}

/// Rows as the product wants them: element types have no 4-bit member, so rows of codes and scales
/// are counted in bytes.
void add_dispatch(const ExpertBlock& block, bool as_codes, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  DispatchKernel dispatch{layer.tokens, layer.top_k, block.hidden, block.copies(), {}};
  dispatch.walk = as_codes ? expert_walk(block, block.hidden) : expert_walk({}, block.hidden);
  if (as_codes) dispatch.hidden = product_format(product(block, 1, 1)).a_bytes(1, block.hidden);
  add(kernels, "dispatch", dispatch);
  if (as_codes) kernels.back().activations = ElementType::Fp8E4m3;
}

void add_combine(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  add(kernels, "combine",
      CombineKernel{layer.tokens, layer.top_k, block.hidden, false, false, block.copies()});
}

void add_activation(const ExpertBlock& block, const RowWalk& walk, std::vector<Kernel>& kernels) {
  add(kernels, "expert_activation",
      ActivationKernel{block.copies(), block.inter, ActivationKind::Silu, block.gated, walk});
}

std::int64_t up_width(const ExpertBlock& block) {
  return block.inter * (block.gated ? 2 : 1);
}

/// CUTLASS grouped products: rows are quantised before they are copied, the activation quantises
/// what it writes (TensorRT-LLM, moe_kernels.cu, CutlassMoeFCRunner::runMoe).
void add_grouped_block(const ExpertBlock& block, bool quantises, std::vector<Kernel>& kernels) {
  if (quantises) {
    add_quantise(block, block.layer.tokens, block.hidden, kernels);
  }
  add_dispatch(block, quantises, kernels);
  // Pointers and strides of each expert's product (computeStridesTmaWarpSpecialized).
  add(kernels, "expert_descriptors",
      ExpertSortKernel{1, 1, static_cast<std::int64_t>(block.rows.size())});
  const auto grouped = [&](std::int64_t n, std::int64_t k) {
    GroupedGemmKernel shape = product(block, n, k);
    shape.writes_descriptors = true;
    return shape;
  };
  add(kernels, "expert_gate_up_projection", grouped(up_width(block), block.hidden));
  add_activation(block, expert_walk(block, block.inter), kernels);
  add(kernels, "expert_down_projection", grouped(block.hidden, block.inter));
  add_combine(block, kernels);
}

/// Quantises rows by groups in grids of one CTA per SM, with four loads of one element outstanding
/// per thread (TensorRT-LLM, fp8_blockscale_gemm_kernel.cuh, fp8_grouped_gemm_run).
void add_narrow_quantise(const ExpertBlock& block, std::int64_t width,
                         std::vector<Kernel>& kernels) {
  add_quantise(block, block.copies(), width, kernels);
  auto& shape = std::get<QuantiseKernel>(kernels.back().shape);
  shape.convert_access = 2;
  shape.convert_ctas_per_sm = 1;
  shape.convert_unroll = 4;
}

/// Block scales: copied rows are quantised in a kernel of its own before each product; the
/// activation has a CTA per choice, whether its expert is here or not (TensorRT-LLM,
/// moe_kernels.cu, CutlassMoeFCRunner::BlockScaleFC1 and FC2, doGatedActivation).
void add_block_scaled(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  add_dispatch(block, false, kernels);
  add_narrow_quantise(block, block.hidden, kernels);
  add(kernels, "expert_gate_up_projection", product(block, up_width(block), block.hidden));
  RowWalk per_choice;
  per_choice.idle_ctas = layer.tokens * layer.top_k - block.copies();
  add_activation(block, per_choice, kernels);
  add_narrow_quantise(block, block.inter, kernels);
  add(kernels, "expert_down_projection", product(block, block.hidden, block.inter));
  add_combine(block, kernels);
}

/// Block scales by DeepGEMM's masked products, which want each expert's rows in a block of their
/// own: a search finds the expert of every choice, a Triton grid of 128 programs per group of
/// columns copies and quantises rows one element per thread, the activation is launched as 32
/// programs per expert and group whatever its rows, and a program per choice gathers the result
/// (TensorRT-LLM, fused_moe_deepgemm.py, forward_chunk).
void add_masked_block(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  const std::int64_t copies = block.copies();
  const std::int64_t choices = layer.tokens * layer.top_k;
  const auto local = static_cast<std::int64_t>(block.rows.size());
  add_dispatch(block, false, kernels);
  add(kernels, "expert_search", ExpertSortKernel{layer.tokens, layer.top_k, local});
  add_quantise(block, copies, block.hidden, kernels);
  auto& copy = std::get<QuantiseKernel>(kernels.back().shape);
  copy.convert_access = 2;
  copy.convert_threads = 128;
  copy.convert_ctas = std::max<std::int64_t>(1, block.hidden / 128) * 128;
  add(kernels, "expert_gate_up_projection", product(block, up_width(block), block.hidden));
  RowWalk per_expert;
  per_expert.idle_ctas = local * 32 * std::max<std::int64_t>(1, block.inter / 128);
  add_activation(block, per_expert, kernels);
  add(kernels, "expert_down_projection", product(block, block.hidden, block.inter));
  RowWalk per_choice;
  per_choice.idle_ctas = choices - copies;
  add(kernels, "expert_gather", DispatchKernel{copies, 1, block.hidden, copies, per_choice});
  add_combine(block, kernels);
}

/// 4-bit weights with MX rows: the first product gathers its rows and applies the activation; grids
/// are launched for any routing (TensorRT-LLM, trtllmGenKernels/blockScaleMoe/runner.cu).
void add_gathering_block(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  add_quantise(block, layer.tokens, block.hidden, kernels);
  const auto grid = [&](GroupedGemmKernel shape) {
    shape.launched_choices = layer.tokens * layer.top_k;
    shape.launched_experts = layer.experts;
    return shape;
  };
  GroupedGemmKernel up = grid(product(block, up_width(block), block.hidden));
  up.activations = ElementType::Fp8E4m3;
  add(kernels, "expert_gate_up_projection", up);
  add(kernels, "expert_down_projection", grid(product(block, block.hidden, block.inter)));
  add_combine(block, kernels);
}

/// 4-bit weights with rows of the network's type: Triton programs gather and scatter rows
/// themselves and apply the activation; three launches sort the choices (TensorRT-LLM,
/// fused_moe_triton.py; triton_kernels, routing.py and matmul_ogs.py).
void add_triton_block(const ExpertBlock& block, std::vector<Kernel>& kernels) {
  const RoutedLayer& layer = block.layer;
  add_router(block, kernels);
  for (int pass = 0; pass < 3; ++pass) {
    add(kernels, "expert_sort",
        ExpertSortKernel{layer.tokens, layer.top_k, layer.experts / layer.ranks});
  }
  add(kernels, "expert_gate_up_projection", product(block, up_width(block), block.hidden));
  add(kernels, "expert_down_projection", product(block, block.hidden, block.inter));
  add_combine(block, kernels);
}

void add_block(const ExpertBlock& block, bool has_deepgemm, std::vector<Kernel>& kernels) {
  const formats::Precision* precision = block.precision;
  if (precision != nullptr && !precision->activation) return add_triton_block(block, kernels);
  const bool quantises = precision != nullptr && precision->activation.has_value();
  const auto group = quantises ? precision->activation->granularity.cols : 0;
  if (quantises && bits_of(precision->weight->code) < bits_of(precision->activation->code)) {
    add_router(block, kernels);
    add_gathering_block(block, kernels);
    return;
  }
  add_routing(block, kernels);
  add_sort(block, kernels);
  if (group >= 128 && has_deepgemm) {
    add_masked_block(block, kernels);
  } else if (group >= 128) {
    add_block_scaled(block, kernels);
  } else {
    add_grouped_block(block, quantises, kernels);
  }
}

std::vector<Kernel> moe(RowReader& row, const Software& software) {
  ExpertBlock block = read_block(row);
  if (block.precision != nullptr && block.precision->activation) {
    const bool has_groups = block.precision->activation->granularity.cols > 0;
    const char* access = has_groups ? "group_access" : "convert_access";
    block.access = static_cast<std::int64_t>(software_value(software, access, 16));
  }
  std::vector<Kernel> kernels;
  // Where blocks run in DeepGEMM, its kernels for scales are launched.
  const bool has_deepgemm = software_value(software, "scale_launches", 0) > 0;
  if (!block.rows.empty()) add_block(block, has_deepgemm, kernels);
  return kernels;
}

}  // namespace

std::vector<RowOperator> expert_operators() {
  return {{"grouped_gemm", {"groups", "m", "n", "k", "dtype"}, grouped_gemm},
          {"moe", {"tokens", "hidden", "inter", "topk", "experts", "dtype"}, moe, true}};
}

}  // namespace tandem::entry
