#include "models/gpu/plan_gemm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/gpu/plan_low_precision.hpp"
#include "models/gpu/plan_reduce.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t accumulator_bytes = 4;
/// Main-loop turns of one plan that are simulated one by one; above it, slices are merged.
constexpr std::int64_t turn_budget = 40'000;
constexpr std::int64_t warpgroup_rows = 64;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

/// Bytes of one K slice of both operands in shared memory.
std::int64_t slice_bytes(const ProductFormat& format, const GemmTiling& t) {
  return format.a_bytes(t.tile_m, t.slice_k) + format.b_bytes(t.tile_n, t.slice_k);
}

/// Each warpgroup of 64 rows reads its own rows of A and all of B from shared memory.
std::int64_t shared_traffic(const ProductFormat& format, const GemmTiling& t, std::int64_t k) {
  const std::int64_t readers = ceil_div(t.tile_m, warpgroup_rows);
  return k * (t.tile_m * format.a_bits + readers * t.tile_n * format.b_bits) / 8;
}

/// Tensor instructions along K: each takes 32 bytes of the wider operand.
std::int64_t chain_of(const ProductFormat& format, std::int64_t k) {
  return k * std::max(format.a_bits, format.b_bits) / 256;
}

std::int64_t sharers(const GpuParams& params, const GemmGrid& grid) {
  return grid.tiles_m >= params.multicast ? params.multicast : 1;
}

class GemmProgram final : public CtaProgram {
 public:
  GemmProgram(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& tiling,
              std::int64_t largest_turn)
      : params_(params),
        gemm_(gemm),
        format_(product_format(gemm)),
        tiling_(tiling),
        grid_(grid_of(gemm, tiling)),
        multicast_(sharers(params, grid_)),
        turns_(loop_turns(grid_.slices_per_split, largest_turn)),
        last_turns_(
            loop_turns(grid_.slices - (tiling.split - 1) * grid_.slices_per_split, largest_turn)) {}

  [[nodiscard]] std::int64_t ctas() const override {
    return grid_.tiles_m * grid_.tiles_n * tiling_.split;
  }
  [[nodiscard]] std::int64_t tiles() const override {
    const std::int64_t operands = (grid_.tiles_m + grid_.tiles_n) * tiles_per_row();
    return operands + grid_.tiles_m * grid_.tiles_n * (1 + tiling_.split);
  }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(turns_of(at(cta).split).size()) - 1;
  }

  void step(std::int64_t cta, int index, Step& out) const override {
    const TileCoordinates c = at(cta);
    const auto& turns = turns_of(c.split);
    const auto i = static_cast<std::size_t>(index);
    const std::int64_t first = c.split * grid_.slices_per_split;
    const std::int64_t k_begin = (first + turns[i]) * tiling_.slice_k;
    const std::int64_t k_end = std::min(gemm_.k, (first + turns[i + 1]) * tiling_.slice_k);
    const std::int64_t k = k_end - k_begin;
    const std::int64_t k_padded = (turns[i + 1] - turns[i]) * tiling_.slice_k;
    const std::int64_t column = c.split * static_cast<std::int64_t>(turns_.size() - 1) + index;
    out.add({c.m * tiles_per_row() + column, Bytes(format_.a_bytes(rows(c), k)),
             Operand::Activation, 1});
    out.add({(grid_.tiles_m + c.n) * tiles_per_row() + column,
             Bytes(format_.b_bytes(columns(c), k)), Operand::Weight, multicast_});
    out.tensor = Flops(2 * rows(c) * columns(c) * k);
    out.tensor_padded = Flops(2 * tiling_.tile_m * tiling_.tile_n * k_padded);
    out.chain = chain_of(format_, k_padded);
    out.shared_traffic = Bytes(shared_traffic(format_, tiling_, k_padded));
    out.schedule = loop_operations(params_, gemm_, tiling_, k_padded);
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const TileCoordinates c = at(cta);
    const std::int64_t elements = rows(c) * columns(c);
    if (tiling_.split > 1) {
      out.workspace_store = Bytes(elements * accumulator_bytes);
      out.store_tile = workspace_tile(c);
      return;
    }
    out.store = Bytes(format_.out_bytes(elements));
    if (gemm_.adds_residual) {
      out.load = {residual_tile(c), out.store, Operand::Activation, 1};
      out.vector = Flops(elements);
    }
  }

  /// The second phase: one CTA per output tile adds the partial sums in ascending split order.
  [[nodiscard]] std::vector<ReduceTask> reduction() const {
    std::vector<ReduceTask> tasks;
    for (std::int64_t cta = 0; cta < ctas(); cta += tiling_.split) {
      const TileCoordinates c = at(cta);
      const std::int64_t elements = rows(c) * columns(c);
      ReduceTask task;
      task.first_tile = workspace_tile(c);
      task.parts = tiling_.split;
      task.part_bytes = Bytes(elements * accumulator_bytes);
      task.epilogue.store = Bytes(format_.out_bytes(elements));
      if (gemm_.adds_residual) {
        task.epilogue.load = {residual_tile(c), task.epilogue.store, Operand::Activation, 1};
        task.epilogue.vector = Flops(elements);
      }
      tasks.push_back(task);
    }
    return tasks;
  }

 private:
  [[nodiscard]] TileCoordinates at(std::int64_t cta) const {
    return raster(grid_, tiling_.split, raster_group, cta);
  }
  [[nodiscard]] const std::vector<std::int64_t>& turns_of(std::int64_t split) const {
    return split == tiling_.split - 1 ? last_turns_ : turns_;
  }
  [[nodiscard]] std::int64_t tiles_per_row() const {
    return static_cast<std::int64_t>(turns_.size() - 1) * tiling_.split;
  }
  [[nodiscard]] std::int64_t rows(const TileCoordinates& c) const {
    return std::min(tiling_.tile_m, gemm_.m - c.m * tiling_.tile_m);
  }
  [[nodiscard]] std::int64_t columns(const TileCoordinates& c) const {
    return std::min(tiling_.tile_n, gemm_.n - c.n * tiling_.tile_n);
  }
  [[nodiscard]] std::int64_t residual_tile(const TileCoordinates& c) const {
    return (grid_.tiles_m + grid_.tiles_n) * tiles_per_row() + c.m * grid_.tiles_n + c.n;
  }
  [[nodiscard]] std::int64_t workspace_tile(const TileCoordinates& c) const {
    const std::int64_t before =
        (grid_.tiles_m + grid_.tiles_n) * tiles_per_row() + grid_.tiles_m * grid_.tiles_n;
    return before + (c.m * grid_.tiles_n + c.n) * tiling_.split + c.split;
  }

  GpuParams params_;
  GemmKernel gemm_;
  ProductFormat format_;
  GemmTiling tiling_;
  GemmGrid grid_;
  std::int64_t multicast_;
  std::vector<std::int64_t> turns_;
  std::vector<std::int64_t> last_turns_;
};

/// Resources of a CTA: stage buffers; accumulators and 40 other registers of 4 bytes per thread;
/// one loading warpgroup beside one computing warpgroup per 64 x 256 accumulators.
CtaDemand demand_of(const ProductFormat& format, const GemmTiling& t) {
  const std::int64_t compute = ceil_div(t.tile_m * t.tile_n, 64 * 256);
  const std::int64_t threads = 128 * (1 + compute);
  return {Bytes(t.stages * slice_bytes(format, t)),
          Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 40 * 4), threads};
}

void add_occupancies(const GpuParams& params, const ProductFormat& format, GemmTiling tiling,
                     std::vector<GemmTiling>& menu) {
  const std::int64_t slice = slice_bytes(format, tiling);
  for (const std::int64_t ctas : {1, 2, 4}) {
    const std::int64_t limit =
        std::min(params.shared_memory.count(), params.max_bytes_in_flight.count()) / ctas;
    tiling.stages = std::min<std::int64_t>(8, limit / slice);
    if (tiling.stages < 2) continue;
    tiling.ctas_per_sm = ctas;
    if (ctas_per_sm(params, demand_of(format, tiling)) < ctas) continue;
    menu.push_back(tiling);
  }
}

Picoseconds at_rate(double amount, double per_second) {
  return Picoseconds(
      static_cast<std::int64_t>(std::ceil(amount / per_second * picoseconds_per_second)));
}

}  // namespace

GemmGrid grid_of(const GemmKernel& gemm, const GemmTiling& tiling) {
  GemmGrid grid;
  grid.tiles_m = ceil_div(gemm.m, tiling.tile_m);
  grid.tiles_n = ceil_div(gemm.n, tiling.tile_n);
  grid.slices = ceil_div(gemm.k, tiling.slice_k);
  grid.slices_per_split = ceil_div(grid.slices, tiling.split);
  return grid;
}

TileCoordinates raster(const GemmGrid& grid, std::int64_t split, std::int64_t group,
                       std::int64_t cta) {
  const std::int64_t tile = cta / split;
  const std::int64_t per_group = group * grid.tiles_n;
  const std::int64_t first_m = tile / per_group * group;
  const std::int64_t height = std::min(group, grid.tiles_m - first_m);
  const std::int64_t inside = tile % per_group;
  return {first_m + inside % height, inside / height, cta % split};
}

std::vector<GemmTiling> gemm_menu(const GpuParams& params, const GemmKernel& gemm) {
  std::vector<GemmTiling> menu;
  GemmTiling tiling;
  const ProductFormat format = product_format(gemm);
  tiling.slice_k = 1024 / std::max(format.a_bits, format.b_bits);
  if (promotes_sums(params, gemm)) {
    for (const TileShape& tile : block_scaled_tiles(gemm.m)) {
      tiling.tile_m = tile.m;
      tiling.tile_n = tile.n;
      add_occupancies(params, format, tiling, menu);
    }
    return menu;
  }
  for (const std::int64_t tile_m : {16, 32, 64, 128, 192, 256}) {
    if (tile_m > 16 && tile_m >= 2 * gemm.m) continue;
    for (const std::int64_t tile_n : {32, 64, 96, 128, 160, 192, 224, 256}) {
      if (tile_m * tile_n > 256 * 160 || (tile_n > 32 && tile_n >= 2 * gemm.n)) continue;
      for (const std::int64_t split : {1, 2, 3, 4, 6, 8, 12, 16}) {
        tiling.tile_m = tile_m;
        tiling.tile_n = tile_n;
        tiling.split = split;
        const GemmGrid grid = grid_of(gemm, tiling);
        const std::int64_t tiles = grid.tiles_m * grid.tiles_n;
        if (split > 1 && (tiles > params.sms || grid.slices < 4 * split)) continue;
        if ((split - 1) * grid.slices_per_split >= grid.slices) continue;
        add_occupancies(params, format, tiling, menu);
      }
    }
  }
  return menu;
}

Picoseconds predict_gemm(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& t) {
  const GemmGrid grid = grid_of(gemm, t);
  const ProductFormat format = product_format(gemm);
  const std::int64_t ctas = grid.tiles_m * grid.tiles_n * t.split;
  const auto per_sm = static_cast<double>(ceil_div(ctas, params.sms));
  const double sms = static_cast<double>(params.sms);
  const double slices = static_cast<double>(grid.slices_per_split);
  const double slice = static_cast<double>(slice_bytes(format, t));
  const double clock = params.clock.count();
  const double tensor_rate =
      params.matrix_peak(format.pipe).count() * params.matrix_efficiency / sms;
  const double slice_flops = static_cast<double>(2 * t.tile_m * t.tile_n * t.slice_k);
  const double shared = static_cast<double>(shared_traffic(format, t, t.slice_k));
  const double operations =
      static_cast<double>(loop_operations(params, gemm, t, t.slice_k).count());
  const double slice_seconds =
      std::max({slice_flops / tensor_rate, shared / (params.shared_bytes_per_clock * clock),
                operations * sms / params.vector_peak().count()});
  const double in_flight = static_cast<double>(t.ctas_per_sm * t.stages) * slice;
  const double port =
      std::min(params.port_bytes_per_clock * clock, in_flight / to_seconds(params.hbm_latency));
  const double weights = static_cast<double>(format.b_bytes(t.tile_n, t.slice_k));
  const double l2_slice = slice - weights * (1 - 1.0 / static_cast<double>(sharers(params, grid)));
  const double hbm_bytes =
      static_cast<double>(format.b_bytes(gemm.n, gemm.k) + format.a_bytes(gemm.m, gemm.k) +
                          format.out_bytes(gemm.m * gemm.n));
  const std::int64_t resident = params.sms * t.ctas_per_sm;
  const auto chain = static_cast<double>(chain_of(format, grid.slices_per_split * t.slice_k)) *
                     to_seconds(params.matrix_latency) *
                     static_cast<double>(ceil_div(ctas, resident));
  const double busiest =
      std::max({chain, per_sm * slices * slice_seconds, per_sm * slices * slice / port,
                static_cast<double>(ctas) * slices * l2_slice / params.l2_bandwidth.count(),
                hbm_bytes / params.hbm.bandwidth.count()});
  const std::int64_t rounds = params.persistent_kernels ? 1 : ceil_div(ctas, resident);
  const Picoseconds fill = params.cta_start + params.hbm_latency + params.l2_latency;
  Picoseconds total = at_rate(busiest, 1) + fill * (t.ctas_per_sm > 1 ? 1 : rounds);
  if (t.split > 1) {
    const auto partial = static_cast<double>(2 * gemm.m * gemm.n * t.split * accumulator_bytes);
    total +=
        at_rate(partial, params.l2_bandwidth.count()) + params.cta_start + params.l2_latency * 2;
  }
  return total;
}

KernelPlan plan_gemm_with(const GpuParams& params, const GemmKernel& gemm,
                          const GemmTiling& tiling) {
  const GemmGrid grid = grid_of(gemm, tiling);
  const std::int64_t total = grid.tiles_m * grid.tiles_n * grid.slices;
  const std::int64_t largest =
      std::max(std::max<std::int64_t>(1, tiling.stages / 2), total / turn_budget);
  auto program = std::make_shared<GemmProgram>(params, gemm, tiling, largest);
  KernelPlan plan;
  plan.algorithm = fmt::format("gemm {}x{} split {}", tiling.tile_m, tiling.tile_n, tiling.split);
  PlanPhase main;
  main.ctas_per_sm = tiling.ctas_per_sm;
  main.stages = std::max<std::int64_t>(2, tiling.stages / largest);
  main.pipe = product_format(gemm).pipe;
  main.persistent = params.persistent_kernels;
  main.overlaps_vector = true;
  main.program = program;
  plan.phases.push_back(main);
  if (tiling.split > 1) {
    plan.phases.push_back(reduce_phase(params, program->reduction(), program->tiles()));
  }
  return plan;
}

GemmTiling choose_tiling(const GpuParams& params, const GemmKernel& gemm) {
  if (gemm.m < 1 || gemm.n < 1 || gemm.k < 1) {
    throw ModelError(fmt::format("gpu: a GEMM of {} x {} x {} is empty", gemm.m, gemm.n, gemm.k));
  }
  const std::vector<GemmTiling> menu = gemm_menu(params, gemm);
  if (menu.empty()) throw ModelError("gpu: no GEMM tile fits the shared memory of this chip");
  const GemmTiling* best = nullptr;
  Picoseconds best_time(0);
  for (const GemmTiling& tiling : menu) {
    const Picoseconds time = predict_gemm(params, gemm, tiling);
    if (best != nullptr && time >= best_time) continue;
    best = &tiling;
    best_time = time;
  }
  return *best;
}

KernelPlan plan_gemm(const GpuParams& params, const Kernel&, const GemmKernel& gemm) {
  return plan_gemm_with(params, gemm, choose_tiling(params, gemm));
}

}  // namespace tandem::gpu
