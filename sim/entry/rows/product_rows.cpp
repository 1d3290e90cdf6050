// Dense and batched products.
#include "sim/entry/rows/operators.hpp"

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

std::vector<RowOperator> product_operators() {
  return {{"gemm", {"m", "n", "k", "dtype"}, gemm}};
}

}  // namespace tandem::entry
