// Parts of a layer that work row by row.
#include <algorithm>

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

/// Up (with the gate in one product), activation and down of one rank.
std::vector<Kernel> mlp_layer(RowReader& row, const Software&) {
  const std::int64_t tokens = row.integer("tokens", 1);
  const std::int64_t hidden = row.integer("hidden", 1);
  const std::int64_t ranks = row.integer("tp", 1, 1);
  const std::int64_t inter = row.integer("inter", 1);
  if (inter % ranks != 0) row.refuse("tp", "'tp' does not divide 'inter'");
  const std::int64_t width = std::max<std::int64_t>(1, inter / ranks);
  const bool is_gated = row.integer("gated", 0, 1) != 0;
  const ElementType type = row.element("dtype", ElementType::Bfloat16);
  GemmKernel up{tokens, (is_gated ? 2 : 1) * width, hidden, type, type};
  GemmKernel down{tokens, hidden, width, type, type};
  ActivationKernel activation{tokens, width};
  activation.gated = is_gated;
  return {{"gate_up_projection", -1, type, up, {}},
          {"activation", -1, type, activation, {}},
          {"down_projection", -1, type, down, {}}};
}

}  // namespace

std::vector<RowOperator> layer_operators() {
  return {{"rmsnorm", {"tokens", "hidden"}, rmsnorm, false, true},
          {"mlp_layer", {"tokens", "hidden", "inter"}, mlp_layer},
          {"silu_mul", {"tokens", "width"}, silu_mul, false, true},
          {"rope", {"tokens", "heads", "kv_heads"}, rope, false, true}};
}

}  // namespace tandem::entry
