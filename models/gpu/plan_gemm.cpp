#include "models/gpu/plan_gemm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

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

/// tcgen05 with two CTAs: each of a pair of neighbours along M loads half of B for both (PTX ISA,
/// cta_group::2).
std::int64_t pair_of(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  const bool pairs = params.matrix_issue == MatrixIssue::TensorMemory && params.multicast > 1;
  return pairs && t.tile_m >= 128 && grid.tiles_m >= 2 ? 2 : 1;
}

/// CTAs of a cluster along M that take a tile of B from one read of L2 (a pair: half a tile each).
std::int64_t sharers_of_b(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  const std::int64_t pair = pair_of(params, grid, t);
  if (pair > 1) return pair;
  return grid.tiles_m >= params.multicast ? params.multicast : 1;
}

/// Pairs stand side by side along N in larger clusters and share A.
std::int64_t sharers_of_a(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  return pair_of(params, grid, t) > 1 && grid.tiles_n >= params.multicast ? params.multicast : 1;
}

/// Shared-memory bytes of one output element on its way out, written and read once: warps exchange
/// fp32 sums; wgmma and tcgen05 kernels convert first and store tiles by TMA (CUTLASS epilogues).
std::int64_t staging_bytes(const GpuParams& params, const ProductFormat& format) {
  return 2 * (params.matrix_issue == MatrixIssue::Warp ? accumulator_bytes : bytes_of(format.out));
}

class GemmProgram final : public CtaProgram {
 public:
  GemmProgram(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& tiling,
              std::int64_t largest_turn)
      : gemm_(gemm),
        format_(product_format(gemm)),
        tiling_(tiling),
        grid_(grid_of(gemm, tiling)),
        sharers_a_(sharers_of_a(params, grid_, tiling)),
        sharers_b_(sharers_of_b(params, grid_, tiling)),
        pair_(pair_of(params, grid_, tiling)),
        staging_bytes_(staging_bytes(params, format_)),
        turns_(loop_turns(grid_.slices_per_split, largest_turn)),
        last_turns_(
            loop_turns(grid_.slices - (tiling.split - 1) * grid_.slices_per_split, largest_turn)) {}

  [[nodiscard]] std::int64_t ctas() const override {
    return grid_.tiles_m * grid_.tiles_n * tiling_.split;
  }
  [[nodiscard]] std::int64_t tiles() const override {
    return operand_tiles() + grid_.tiles_m * grid_.tiles_n * (1 + tiling_.split);
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
             Operand::Activation, sharers_a_});
    out.add(weight_load(c, column, k));
    out.tensor = Flops(2 * rows(c) * columns(c) * k);
    out.tensor_padded = Flops(2 * tiling_.tile_m * tiling_.tile_n * k_padded);
    out.chain = chain_of(format_, k_padded);
    out.handoffs = turns[i + 1] - turns[i];
    out.shared_traffic = Bytes(shared_traffic(format_, tiling_, k_padded));
  }

  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const TileCoordinates c = at(cta);
    const std::int64_t elements = rows(c) * columns(c);
    out.staging = Bytes(elements * staging_bytes_);
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
  /// A CTA of a pair loads its half; the last row of an odd count has no partner.
  [[nodiscard]] TileLoad weight_load(const TileCoordinates& c, std::int64_t column,
                                     std::int64_t k) const {
    const std::int64_t row = (grid_.tiles_m + c.n * pair_) * tiles_per_row();
    const std::int64_t bytes = format_.b_bytes(columns(c), k);
    if (pair_ == 1) return {row + column, Bytes(bytes), Operand::Weight, sharers_b_};
    const bool is_second = c.m % 2 != 0;
    const bool is_alone = !is_second && c.m + 1 == grid_.tiles_m;
    const std::int64_t half = bytes / 2;
    return {row + (is_second ? tiles_per_row() : 0) + column,
            Bytes(is_alone ? bytes : (is_second ? bytes - half : half)), Operand::Weight, 1};
  }
  [[nodiscard]] std::int64_t operand_tiles() const {
    return (grid_.tiles_m + grid_.tiles_n * pair_) * tiles_per_row();
  }
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
    return operand_tiles() + c.m * grid_.tiles_n + c.n;
  }
  [[nodiscard]] std::int64_t workspace_tile(const TileCoordinates& c) const {
    const std::int64_t before = operand_tiles() + grid_.tiles_m * grid_.tiles_n;
    return before + (c.m * grid_.tiles_n + c.n) * tiling_.split + c.split;
  }

  GemmKernel gemm_;
  ProductFormat format_;
  GemmTiling tiling_;
  GemmGrid grid_;
  std::int64_t sharers_a_, sharers_b_;
  std::int64_t pair_;
  std::int64_t staging_bytes_;
  std::vector<std::int64_t> turns_;
  std::vector<std::int64_t> last_turns_;
};

/// Resources of a CTA: stage buffers, registers of 4 bytes. Warp-synchronous kernels: 128
/// accumulators and 80 other registers (operand fragments, double-buffered) per thread. Others: 40
/// beside the accumulators; one loading warpgroup beside one computing one per 64 x 256
/// accumulators.
CtaDemand demand_of(const GpuParams& params, const ProductFormat& format, const GemmTiling& t) {
  if (params.matrix_issue == MatrixIssue::Warp) {
    const std::int64_t threads = std::max<std::int64_t>(128, t.tile_m * t.tile_n / 128);
    return {Bytes(t.stages * slice_bytes(format, t)),
            Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 80 * 4), threads};
  }
  const std::int64_t compute = ceil_div(t.tile_m * t.tile_n, 64 * 256);
  const std::int64_t threads = 128 * (1 + compute);
  return {Bytes(t.stages * slice_bytes(format, t)),
          Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 40 * 4), threads};
}

/// Library kernels deepen the pipeline until one CTA fills the shared memory of its SM (multistage
/// and warp-specialised kernels of CUTLASS), as far as outstanding loads go.
void add_if_it_fits(const GpuParams& params, const ProductFormat& format, GemmTiling tiling,
                    std::vector<GemmTiling>& menu) {
  const std::int64_t limit =
      std::min(params.shared_memory.count(), params.max_bytes_in_flight.count());
  tiling.stages = std::min<std::int64_t>(8, limit / slice_bytes(format, tiling));
  tiling.ctas_per_sm = 1;
  if (tiling.stages < 2 || ctas_per_sm(params, demand_of(params, format, tiling)) < 1) return;
  menu.push_back(tiling);
}

/// Tensor memory holds two sets of sums of at most 128 x 256 (256 KiB per SM), so that one is
/// stored while the other grows.
bool overlaps_epilogue(const GpuParams& params, const GemmTiling&) {
  return params.persistent_kernels && params.matrix_issue == MatrixIssue::TensorMemory;
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

namespace {

struct Tile {
  std::int64_t m, n;
};

/// Tiles that the libraries build. Warp-synchronous: cuBLAS (NVIDIA, Matrix Multiplication
/// Background, section 2.3). Others: heights of one to four 64-row instructions, widths in steps of
/// 32 up to the 256 columns of one instruction (CUTLASS sm90 and sm100 builders).
std::vector<Tile> tiles_of(const GpuParams& params) {
  if (params.matrix_issue == MatrixIssue::Warp) {
    return {{64, 64}, {64, 128}, {128, 64}, {128, 128}, {128, 256}, {256, 128}};
  }
  std::vector<Tile> tiles;
  for (const std::int64_t m : {16, 32}) {
    for (const std::int64_t n : {64, 128, 256}) tiles.push_back({m, n});
  }
  for (const std::int64_t m : {64, 128, 192, 256}) {
    for (const std::int64_t n : {32, 64, 96, 128, 160, 192, 224, 256}) {
      if (m * n <= 256 * 160) tiles.push_back({m, n});
    }
  }
  return tiles;
}

}  // namespace

std::vector<GemmTiling> gemm_menu(const GpuParams& params, const GemmKernel& gemm) {
  std::vector<GemmTiling> menu;
  GemmTiling tiling;
  const ProductFormat format = product_format(gemm);
  const std::int64_t slice_bits = params.matrix_issue == MatrixIssue::Warp ? 512 : 1024;
  tiling.slice_k = slice_bits / std::max(format.a_bits, format.b_bits);
  const std::vector<Tile> tiles = tiles_of(params);
  for (const Tile& tile : tiles) {
    if (tile.m > tiles.front().m && tile.m >= 2 * gemm.m) continue;
    if (tile.n > tiles.front().n && tile.n >= 2 * gemm.n) continue;
    for (const std::int64_t split : {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64}) {
      tiling.tile_m = tile.m;
      tiling.tile_n = tile.n;
      tiling.split = split;
      const GemmGrid grid = grid_of(gemm, tiling);
      const std::int64_t outputs = grid.tiles_m * grid.tiles_n;
      if (split > 1 && (outputs > 2 * params.sms || grid.slices < 4 * split)) continue;
      if ((split - 1) * grid.slices_per_split >= grid.slices) continue;
      add_if_it_fits(params, format, tiling, menu);
    }
  }
  return menu;
}

namespace {

/// Seconds of one K slice on an SM's tensor pipe.
double slice_seconds(const GpuParams& params, const ProductFormat& format, const GemmTiling& t) {
  const double rate = params.matrix_peak(format.pipe).count() * params.matrix_efficiency /
                      static_cast<double>(params.sms);
  const double flops = static_cast<double>(2 * t.tile_m * t.tile_n * t.slice_k);
  const double shared = static_cast<double>(shared_traffic(format, t, t.slice_k));
  return std::max(flops / rate, shared / (params.shared_bytes_per_clock * params.clock.count()));
}

/// Seconds from the last sum of a tile to its last store.
double epilogue_seconds(const GpuParams& params, const ProductFormat& format, const GemmTiling& t) {
  const double elements = static_cast<double>(t.tile_m * t.tile_n);
  const double out = t.split > 1 ? accumulator_bytes : static_cast<double>(bytes_of(format.out));
  return elements / params.clock.count() *
         (static_cast<double>(staging_bytes(params, format)) / params.shared_bytes_per_clock +
          out / params.store_bytes_per_clock);
}

/// Bytes of a K slice that a CTA fetches itself.
double loaded_slice(const GpuParams& params, const GemmGrid& grid, const ProductFormat& format,
                    const GemmTiling& t) {
  return static_cast<double>(format.a_bytes(t.tile_m, t.slice_k) +
                             format.b_bytes(t.tile_n, t.slice_k) / pair_of(params, grid, t));
}

/// Bytes that all CTAs together read from L2.
double l2_reads(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& t) {
  const GemmGrid grid = grid_of(gemm, t);
  const ProductFormat format = product_format(gemm);
  const std::int64_t a = format.a_bytes(t.tile_m, t.slice_k) / sharers_of_a(params, grid, t);
  const std::int64_t b = format.b_bytes(t.tile_n, t.slice_k) / sharers_of_b(params, grid, t);
  return static_cast<double>(grid.tiles_m * grid.tiles_n * grid.slices * (a + b));
}

/// Bytes of A, B and C once, at the memory's rate.
double memory_seconds(const GpuParams& params, const ProductFormat& format,
                      const GemmKernel& gemm) {
  return static_cast<double>(format.b_bytes(gemm.n, gemm.k) + format.a_bytes(gemm.m, gemm.k) +
                             format.out_bytes(gemm.m * gemm.n)) /
         params.hbm.bandwidth.count();
}

}  // namespace

Picoseconds predict_gemm(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& t) {
  const GemmGrid grid = grid_of(gemm, t);
  const ProductFormat format = product_format(gemm);
  const std::int64_t ctas = grid.tiles_m * grid.tiles_n * t.split;
  const auto per_sm = static_cast<double>(ceil_div(ctas, params.sms));
  const auto rounds = static_cast<double>(ceil_div(ctas, params.sms * t.ctas_per_sm));
  const auto slices = static_cast<double>(grid.slices_per_split);
  const double slice = loaded_slice(params, grid, format, t);
  const double tensor = slice_seconds(params, format, t);
  const double in_flight = static_cast<double>(t.ctas_per_sm * t.stages) * slice;
  const double port = std::min(params.port_bytes_per_clock * params.clock.count(),
                               in_flight / to_seconds(params.hbm_latency));
  const double chain =
      static_cast<double>(chain_of(format, t.slice_k)) * to_seconds(params.matrix_latency);
  const double own_path =
      rounds * slices * (std::max(tensor, chain) + to_seconds(params.stage_handoff));
  const double busiest =
      std::max({own_path, per_sm * slices * tensor, per_sm * slices * slice / port,
                l2_reads(params, gemm, t) / params.l2_bandwidth.count(),
                memory_seconds(params, format, gemm)});
  const bool overlaps = overlaps_epilogue(params, t);
  const double fill = to_seconds(params.cta_start + params.hbm_latency + params.l2_latency) *
                      (params.persistent_kernels ? 1 : rounds);
  Picoseconds total =
      at_rate(busiest + fill + (overlaps ? 1 : per_sm) * epilogue_seconds(params, format, t), 1);
  if (t.split > 1) {
    const auto partial = static_cast<double>(2 * gemm.m * gemm.n * t.split * accumulator_bytes);
    total += at_rate(partial, params.l2_bandwidth.count()) + params.kernel_tail +
             params.launch_overhead + params.l2_latency * 2;
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
  main.overlaps_epilogue = overlaps_epilogue(params, tiling);
  main.program = program;
  plan.phases.push_back(main);
  if (tiling.split > 1) {
    plan.phases.push_back(reduce_phase(params, program->reduction(), program->tiles()));
    plan.phases.back().is_launched = true;
    plan.phases.back().has_setup = false;
  }
  return plan;
}

GemmTiling choose_tiling(const GpuParams& params, const GemmKernel& gemm) {
  if (gemm.m < 1 || gemm.n < 1 || gemm.k < 1) {
    throw ModelError(fmt::format("gpu: a GEMM of {} x {} x {} is empty", gemm.m, gemm.n, gemm.k));
  }
  const std::vector<GemmTiling> menu = gemm_menu(params, gemm);
  if (menu.empty()) throw ModelError("gpu: no GEMM tile fits the shared memory of this chip");
  std::vector<Picoseconds> times;
  for (const GemmTiling& tiling : menu) times.push_back(predict_gemm(params, gemm, tiling));
  const Picoseconds close = *std::min_element(times.begin(), times.end()) * 21 / 20;
  const GemmTiling* best = nullptr;
  for (std::size_t i = 0; i < menu.size(); ++i) {
    if (times[i] > close) continue;
    if (best == nullptr || l2_reads(params, gemm, menu[i]) < l2_reads(params, gemm, *best)) {
      best = &menu[i];
    }
  }
  return *best;
}

KernelPlan plan_gemm(const GpuParams& params, const Kernel&, const GemmKernel& gemm) {
  return plan_gemm_with(params, gemm, choose_tiling(params, gemm));
}

}  // namespace tandem::gpu
