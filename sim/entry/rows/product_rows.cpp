// Dense and batched products.
#include <algorithm>

#include "sim/entry/rows/operators.hpp"
#include "sim/lower/product_format.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::entry {
namespace {

std::int64_t software_count(const Software& software, const char* key, std::int64_t fallback) {
  return software.parameters.has(key) ? software.parameters.count(key) : fallback;
}

bool is_per_tensor(const formats::Precision& precision) {
  return precision.name == "fp8";
}

/// How `software` quantises `rows` rows of `width` elements.
QuantiseKernel quantise(std::int64_t rows, std::int64_t width, const formats::Precision& precision,
                        const Software& software) {
  QuantiseKernel shape{rows, width, &precision};
  if (!is_per_tensor(precision)) {
    // Threads take eight elements of a group of 16 (TensorRT-LLM and vLLM, cvt_fp16_to_fp4).
    const bool is_fp4 = precision.name == "nvfp4";
    shape.convert_access = is_fp4 ? 16 : software_count(software, "group_access", 16);
    return shape;
  }
  constexpr ScaleOrigin origins[] = {ScaleOrigin::Rows, ScaleOrigin::Tensor, ScaleOrigin::Known};
  shape.scales = origins[software_count(software, "fp8_scale", 0)];
  shape.search_ctas = software_count(software, "search_ctas", 0);
  shape.search_access = software_count(software, "search_access", 16);
  shape.convert_access = software_count(software, "convert_access", 16);
  return shape;
}

void add_quantisation(std::int64_t rows, std::int64_t width, const formats::Precision& precision,
                      const Software& software, std::vector<Kernel>& kernels) {
  if (!precision.activation || software_count(software, "quantises_rows", 1) == 0) return;
  // SmoothQuant rows leave the norm before them quantised.
  if (precision.name == "int8" && software_count(software, "quantises_in_norm", 0) == 1) return;
  kernels.push_back(
      {"quantise", -1, ElementType::Bfloat16, quantise(rows, width, precision, software), {}});
}

/// The scales of 1 x 128 blocks are laid out as the product wants them in `scale_launches` kernels,
/// or in `unaligned_launches` if the rows do not fill the 16 bytes of a copy of scales. Rows may
/// then be cleared and copied to a padded place too.
void add_scale_layout(std::int64_t rows, std::int64_t width, const formats::Precision& precision,
                      const Software& software, std::vector<Kernel>& kernels) {
  constexpr std::int64_t aligned_rows = 4;
  if (precision.name == "nvfp4" && software_count(software, "clears_fp4_scales", 0) == 1) {
    kernels.push_back({"scales",
                       -1,
                       ElementType::Int8,
                       ElementwiseKernel{ElementwiseKind::Add, rows, width / 16 + 1},
                       {}});
  }
  if (precision.name != "fp8_block") return;
  if (rows % aligned_rows != 0 && software_count(software, "pads_rows", 0) == 1) {
    const Kernel copy{
        "pad", -1, ElementType::Int8, ElementwiseKernel{ElementwiseKind::Scale, rows, width}, {}};
    kernels.insert(kernels.end(), {copy, copy});
  }
  const std::int64_t scales = (width + 127) / 128;
  const bool is_aligned = rows % aligned_rows == 0 || scales == 1;
  const std::int64_t launches =
      software_count(software, is_aligned ? "scale_launches" : "unaligned_launches", 0);
  for (std::int64_t i = 0; i < launches; ++i) {
    kernels.push_back({"scales",
                       -1,
                       ElementType::Float32,
                       ElementwiseKernel{ElementwiseKind::Add, rows, scales},
                       {}});
  }
}

/// A layer that takes bfloat16 rows: what quantises them is part of the operator.
std::vector<Kernel> gemm(RowReader& row, const Software& software) {
  GemmKernel shape;
  shape.m = row.integer("m", 1);
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.precision = row.precision("dtype");
  std::vector<Kernel> kernels;
  if (shape.precision == nullptr) {
    shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  } else {
    add_quantisation(shape.m, shape.k, *shape.precision, software, kernels);
    add_scale_layout(shape.m, shape.k, *shape.precision, software, kernels);
  }
  kernels.push_back({"gemm", -1, shape.activations, shape, {}});
  return kernels;
}

/// The precision of per-head products: a framework may quantise them by blocks in place of tensors.
const formats::Precision* batched_precision(const formats::Precision* named,
                                            const Software& software) {
  const bool by_blocks = software_count(software, "batched_blocks", 0) == 1;
  return by_blocks && named != nullptr && is_per_tensor(*named)
             ? &formats::find_precision("fp8_block")
             : named;
}

/// The per-head products of absorbed latent attention: rows of all heads are quantised together.
std::vector<Kernel> bmm(RowReader& row, const Software& software) {
  BatchedGemmKernel shape;
  shape.batch = row.integer("batch", 1);
  shape.m = row.integer("m", 1);
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.precision = batched_precision(row.precision("dtype"), software);
  std::vector<Kernel> kernels;
  if (shape.precision == nullptr) {
    shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  } else {
    add_quantisation(shape.batch * shape.m, shape.k, *shape.precision, software, kernels);
  }
  kernels.push_back({"bmm", -1, shape.activations, shape, {}});
  if (shape.precision != nullptr && software_count(software, "batched_copies", 0) == 1) {
    const ElementwiseKernel copy{ElementwiseKind::Scale, shape.batch * shape.m, shape.n};
    kernels.push_back({"copy", -1, shape.activations, copy, {}});
  }
  return kernels;
}

bool is_quantised(const Kernel& kernel) {
  const auto* gemm = std::get_if<GemmKernel>(&kernel.shape);
  const auto* batched = std::get_if<BatchedGemmKernel>(&kernel.shape);
  return (gemm != nullptr && gemm->precision != nullptr) ||
         (batched != nullptr && batched->precision != nullptr);
}

}  // namespace

Picoseconds product_overhead(const std::vector<Kernel>& kernels, const Software& software) {
  if (kernels.empty()) return Picoseconds(0);
  const auto time = [&](const char* key) { return from_seconds(software_value(software, key, 0)); };
  Picoseconds total(0);
  if (std::any_of(kernels.begin(), kernels.end(), is_quantised)) total += time("quantise_overhead");
  const auto* gemm = std::get_if<GemmKernel>(&kernels.back().shape);
  const bool by_blocks =
      gemm != nullptr && gemm->precision != nullptr && gemm->precision->name == "fp8_block";
  if (by_blocks) total += time("block_overhead");
  return total;
}

std::int64_t replayed_weight_copies(const std::vector<Kernel>& kernels, const Software& software) {
  if (kernels.empty()) return 1;
  const auto* gemm = std::get_if<GemmKernel>(&kernels.back().shape);
  if (gemm == nullptr) return 1;
  const bool has_block_scales = product_format(*gemm).b_scale_k > 0;
  const double plain = software_value(software, "weight_copies", 1);
  return static_cast<std::int64_t>(
      has_block_scales ? software_value(software, "block_weight_copies", plain) : plain);
}

std::vector<RowOperator> product_operators() {
  return {{"gemm", {"m", "n", "k", "dtype"}, gemm},
          {"bmm", {"batch", "m", "n", "k", "dtype"}, bmm, false, false, true}};
}

}  // namespace tandem::entry
