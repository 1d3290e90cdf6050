// Plain matrix products of a pass.
#include <algorithm>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/product_row.hpp"
#include "models/gpu/functional_ops.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// Where a product takes its rows and where it puts them.
struct ProductRows {
  Buffer from, to;
  bool is_rounded = true;
};

/// By role. What ends a half of a layer goes to the residual stream where the kernel adds it.
const std::map<std::string_view, ProductRows>& product_rows() {
  static const std::map<std::string_view, ProductRows> table = {
      {"mtp_combine", {Buffer::Joined, Buffer::Hidden}},
      {"output_projection", {Buffer::Attended, Buffer::Mixed}},
      {"query_projection", {Buffer::Normed, Buffer::Query}},
      {"query_up_projection", {Buffer::QueryLatent, Buffer::Query}},
      {"latent_down_projection", {Buffer::Normed, Buffer::Latent}},
      {"index_key_projection", {Buffer::Normed, Buffer::IndexKey}},
      {"index_weight_projection", {Buffer::Normed, Buffer::IndexWeights}},
      {"delta_projection", {Buffer::Normed, Buffer::DeltaInput}},
      {"delta_gate_projection", {Buffer::Normed, Buffer::DeltaGates}},
      {"gate_up_projection", {Buffer::Normed, Buffer::Inner}},
      {"up_projection", {Buffer::Normed, Buffer::Inner}},
      {"down_projection", {Buffer::Activated, Buffer::Mixed}},
      {"shared_gate_up_projection", {Buffer::Normed, Buffer::SharedInner}},
      {"shared_up_projection", {Buffer::Normed, Buffer::SharedInner}},
      {"shared_down_projection", {Buffer::SharedActivated, Buffer::Shared}},
      {"shared_gate_projection", {Buffer::Normed, Buffer::SharedGate}},
      {"lm_head", {Buffer::Final, Buffer::Logits}}};
  return table;
}

/// Products whose input depends on the layer.
ProductRows rows_of_product(const KernelCall& call) {
  const std::string_view role = call.kernel.role;
  if (role == "index_query_projection") {
    const auto& latent = std::get<LatentAttention>(call.kind().mixer);
    return {latent.shape.query_rank > 0 ? Buffer::QueryLatent : Buffer::Normed, Buffer::IndexQuery};
  }
  if (role == "router_projection") {  // logits choose: they are never rounded
    const bool has_norm = call.kind().ffn.experts->router_norm;
    return {has_norm ? Buffer::RouterInput : Buffer::Normed, Buffer::RouterLogits, false};
  }
  const auto found = product_rows().find(role);
  if (found != product_rows().end()) return found->second;
  throw ModelError("gpu: cannot execute a product of role '" + std::string(role) + "'");
}

/// Tiles of a kernel's plan; the CTA of the last part of a split K finishes a tile.
template <class Element>
void walk_tiles(const KernelCall& call, const GemmKernel& kernel, const Element& element) {
  const StageOnChip& on = call.on();
  const GemmTiling tiling = choose_tiling(on.chip.params(), kernel);
  const GemmGrid grid = grid_of(kernel, tiling);
  for (const std::int64_t cta : on.order_of(grid.tiles_m * grid.tiles_n * tiling.split)) {
    const TileCoordinates tile = raster(grid, raster_group, cta);
    if (tile.split != tiling.split - 1) continue;
    const std::int64_t last_row = std::min(kernel.m, (tile.m + 1) * tiling.tile_m);
    const std::int64_t last_column = std::min(kernel.n, (tile.n + 1) * tiling.tile_n);
    for (std::int64_t row = tile.m * tiling.tile_m; row < last_row; ++row) {
      for (std::int64_t column = tile.n * tiling.tile_n; column < last_column; ++column) {
        element(row, column);
      }
    }
  }
}

/// Elements of k that a plan sums at once: all in one ascending sum unless sums follow the plan.
std::int64_t part_of_k(const StageOnChip& on, const GemmKernel& kernel) {
  if (on.sums == SumOrder::Fixed) return kernel.k;
  const GemmTiling tiling = choose_tiling(on.chip.params(), kernel);
  return grid_of(kernel, tiling).slices_per_split * tiling.slice_k;
}

}  // namespace

void multiply(const KernelCall& call, const TrackedRows& a, const WeightMatrix& b,
              const WeightMatrix* bias, TrackedRows& c, bool is_rounded) {
  const StageOnChip& on = call.on();
  const auto& kernel = std::get<GemmKernel>(call.kernel.shape);
  if (a.rows() != kernel.m || b.rows != kernel.n || b.width != kernel.k || a.width() != kernel.k) {
    throw ModelError("gpu: operands of '" + std::string(call.kernel.role) +
                     "' have other shapes than its kernel");
  }
  const std::int64_t part = part_of_k(on, kernel);
  std::vector<ProductRow> inputs;
  std::vector<std::span<float>> rows;
  for (std::int64_t row = 0; row < kernel.m; ++row) {
    inputs.emplace_back(on, a.read(row, call.span.start), b);
    if (kernel.adds_residual) (void)c.read(row, call.span.start);
    rows.push_back(c.write(row, call.span.end));
  }
  walk_tiles(call, kernel, [&](std::int64_t row, std::int64_t column) {
    float& value = rows[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
    float sum = inputs[static_cast<std::size_t>(row)].dot(column, part);
    if (bias != nullptr) sum += bias->values[static_cast<std::size_t>(column)];
    if (kernel.adds_residual) sum += value;
    value = is_rounded ? round_to(on.type(), sum) : sum;
  });
}

void execute_product(const KernelCall& call) {
  const auto& kernel = std::get<GemmKernel>(call.kernel.shape);
  const ProductRows rows = rows_of_product(call);
  const TrackedRows& from = call.pass.at(rows.from);
  TrackedRows& to = kernel.adds_residual ? call.pass.at(Buffer::Hidden)
                                         : call.pass.fresh(rows.to, kernel.m, kernel.n);
  const WeightMatrix* bias = call.weights().find(std::string(call.kernel.role) + ".bias");
  multiply(call, from, call.own_weights(), bias, to, rows.is_rounded);
}

/// Rows of q, k, gate and v. Where keys are values, v is k as projected.
void execute_qkv(const KernelCall& call) {
  const auto& kernel = std::get<GemmKernel>(call.kernel.shape);
  const auto& a = std::get<GroupedAttention>(call.kind().mixer);
  const std::int64_t missing = a.keys_are_values ? a.kv_width() : 0;
  TrackedRows& qkv = call.pass.fresh(Buffer::Qkv, kernel.m, kernel.n + missing);
  multiply(call, call.pass.at(Buffer::Normed), call.own_weights(),
           call.weights().find("qkv_projection.bias"), qkv);
  if (missing == 0) return;
  for (std::int64_t row = 0; row < kernel.m; ++row) {
    const std::span<float> values = qkv.write(row, call.span.end);
    const auto keys = values.subspan(static_cast<std::size_t>(a.q_width()),
                                     static_cast<std::size_t>(a.kv_width()));
    std::copy(keys.begin(), keys.end(), values.end() - a.kv_width());
  }
}

}  // namespace tandem::gpu
