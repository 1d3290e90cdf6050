// Parts of a layer that work row by row.
#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

std::vector<Kernel> rmsnorm(RowReader& row, const Software&) {
  NormKernel shape;
  shape.tokens = row.integer("tokens", 1);
  shape.hidden = row.integer("hidden", 1);
  shape.adds_residual = row.integer("residual", 0, 0) != 0;
  return {{"rmsnorm", -1, row.element("dtype", ElementType::Bfloat16), shape, {}}};
}

std::vector<Kernel> silu_mul(RowReader& row, const Software&) {
  const ActivationKernel shape{row.integer("tokens", 1), row.integer("width", 1)};
  return {{"silu_mul", -1, row.element("dtype", ElementType::Bfloat16), shape, {}}};
}

std::vector<Kernel> rope(RowReader& row, const Software&) {
  RopeKernel shape;
  shape.tokens = row.integer("tokens", 1);
  shape.heads = row.integer("heads", 1);
  shape.kv_heads = row.integer("kv_heads", 1);
  shape.head_dim = row.integer("head_dim", 2, 128);
  shape.kv = row.element("dtype", ElementType::Bfloat16);
  return {{"rope", -1, shape.kv, shape, {}}};
}

}  // namespace

std::vector<RowOperator> layer_operators() {
  return {{"rmsnorm", {"tokens", "hidden"}, rmsnorm},
          {"silu_mul", {"tokens", "width"}, silu_mul},
          {"rope", {"tokens", "heads", "kv_heads"}, rope}};
}

}  // namespace tandem::entry
