// Dense and batched products.
#include "sim/entry/rows/operators.hpp"
#include "sim/lower/product_format.hpp"

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
    shape.convert_access = software_count(software, "group_access", 16);
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
  kernels.push_back(
      {"quantise", -1, ElementType::Bfloat16, quantise(rows, width, precision, software), {}});
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
  }
  kernels.push_back({"gemm", -1, shape.activations, shape, {}});
  return kernels;
}

/// The per-head products of absorbed latent attention: rows of all heads are quantised together.
std::vector<Kernel> bmm(RowReader& row, const Software& software) {
  BatchedGemmKernel shape;
  shape.batch = row.integer("batch", 1);
  shape.m = row.integer("m", 1);
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.precision = row.precision("dtype");
  std::vector<Kernel> kernels;
  if (shape.precision == nullptr) {
    shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  } else {
    add_quantisation(shape.batch * shape.m, shape.k, *shape.precision, software, kernels);
  }
  kernels.push_back({"bmm", -1, shape.activations, shape, {}});
  return kernels;
}

bool is_quantised(const Kernel& kernel) {
  const auto* gemm = std::get_if<GemmKernel>(&kernel.shape);
  const auto* batched = std::get_if<BatchedGemmKernel>(&kernel.shape);
  return (gemm != nullptr && gemm->precision != nullptr) ||
         (batched != nullptr && batched->precision != nullptr);
}

}  // namespace

Picoseconds quantise_overhead(const std::vector<Kernel>& kernels, const Software& software) {
  if (kernels.empty() || !is_quantised(kernels.back())) return Picoseconds(0);
  return from_seconds(software_value(software, "quantise_overhead", 0));
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
          {"bmm", {"batch", "m", "n", "k", "dtype"}, bmm}};
}

}  // namespace tandem::entry
