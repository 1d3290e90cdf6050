// Dense and batched products.
#include "sim/entry/rows/operators.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::entry {
namespace {

/// A layer that takes bfloat16 rows: what quantises them is part of the operator.
std::vector<Kernel> gemm(RowReader& row, const Software&) {
  GemmKernel shape;
  shape.m = row.integer("m", 1);
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.precision = row.precision("dtype");
  std::vector<Kernel> kernels;
  if (shape.precision == nullptr) {
    shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  } else if (shape.precision->activation) {
    kernels.push_back(
        {"quantise", -1, shape.activations, QuantiseKernel{shape.m, shape.k, shape.precision}, {}});
  }
  kernels.push_back({"gemm", -1, shape.activations, shape, {}});
  return kernels;
}

}  // namespace

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
  return {{"gemm", {"m", "n", "k", "dtype"}, gemm}};
}

}  // namespace tandem::entry
