// Which tiling a library runs: the menu of an architecture, the predicted cost of each entry, and
// the choice.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/gpu/gemm_tiling.hpp"
#include "models/gpu/library_tiles.hpp"
#include "models/gpu/plan_low_precision.hpp"
#include "models/gpu/shared_constants.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// Resources of a CTA: stage buffers, registers of 4 bytes. Warp-synchronous kernels: 128
/// accumulators and 80 other registers (operand fragments, double-buffered) per thread. wgmma: 40
/// beside the accumulators; one loading warpgroup beside one computing one per 64 x 256
/// accumulators. tcgen05: sums stay in tensor memory; four warps load, multiply and schedule, four
/// take the sums out (CUTLASS sm100 warp-specialised kernels), with 128 registers per thread.
CtaDemand demand_of(const GpuParams& params, const ProductFormat& format, const GemmTiling& t) {
  if (params.matrix_issue == MatrixIssue::Warp) {
    const std::int64_t threads = std::max<std::int64_t>(128, t.tile_m * t.tile_n / 128);
    return {Bytes(t.stages * slice_bytes(format, t)),
            Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 80 * 4), threads};
  }
  if (params.matrix_issue == MatrixIssue::TensorMemory) {
    constexpr std::int64_t threads = 256, registers = 128;
    return {Bytes(t.stages * slice_bytes(format, t)), Bytes(threads * registers * 4), threads};
  }
  const std::int64_t compute = ceil_div(t.tile_m * t.tile_n, 64 * 256);
  const std::int64_t threads = 128 * (1 + compute);
  return {Bytes(t.stages * slice_bytes(format, t)),
          Bytes(t.tile_m * t.tile_n * accumulator_bytes + threads * 40 * 4), threads};
}

constexpr std::int64_t most_stages = 8;

/// Whether tensor memory, where the sums are kept in it, holds those of a tile.
bool sums_fit(const GpuParams& params, const GemmTiling& t) {
  return params.matrix_issue != MatrixIssue::TensorMemory ||
         t.tile_m * t.tile_n * accumulator_bytes <= params.tensor_memory.count();
}

/// Library kernels deepen the pipeline until one CTA fills the shared memory of its SM (multistage
/// and warp-specialised kernels of CUTLASS), as far as outstanding loads go.
void add_if_it_fits(const GpuParams& params, const ProductFormat& format, GemmTiling tiling,
                    std::vector<GemmTiling>& menu) {
  const std::int64_t limit =
      std::min(params.shared_memory.count(), params.max_bytes_in_flight.count());
  tiling.stages = std::min(most_stages, limit / slice_bytes(format, tiling));
  tiling.ctas_per_sm = 1;
  if (!sums_fit(params, tiling)) return;
  if (tiling.stages < 2 || ctas_per_sm(params, demand_of(params, format, tiling)) < 1) return;
  menu.push_back(tiling);
}

Picoseconds at_rate(double amount, double per_second) {
  return Picoseconds(
      static_cast<std::int64_t>(std::ceil(amount / per_second * picoseconds_per_second)));
}

struct Tile {
  std::int64_t m, n;
};

/// Tiles that the libraries build; vectors count as the 16 rows of a tensor instruction.
/// Warp-synchronous: cuBLAS (NVIDIA, Matrix Multiplication Background, section 2.3). Others: one
/// side is one to four instructions of 64 rows, the other the width of an instruction, in steps of
/// 32 up to 256 columns, 16 for few tokens (CUTLASS sm90 and sm100 builders); either side may lie
/// along the tokens, since a library may swap A and B.
std::vector<Tile> tiles_of(const GpuParams& params, const GemmKernel& gemm) {
  if (params.matrix_issue == MatrixIssue::Warp) {
    if (multiplies_vectors(params, gemm)) return {{16, 64}, {16, 128}};
    return {{64, 64}, {64, 128}, {128, 64}, {128, 128}, {128, 256}, {256, 128}};
  }
  std::vector<Tile> tiles;
  for (const std::int64_t m : {16, 32, 64, 96, 128, 160, 192, 224, 256}) {
    for (const std::int64_t n : {32, 64, 96, 128, 160, 192, 224, 256}) {
      const bool has_instruction_side = (m % 64 == 0) || (n % 64 == 0);
      if (has_instruction_side && m * n <= 256 * 160) tiles.push_back({m, n});
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
  if (const auto dispatched = dispatched_tiling(params, gemm)) {
    add_if_it_fits(params, format, *dispatched, menu);
    return menu;
  }
  if (promotes_sums(params, gemm)) {
    for (const TileShape& tile : block_scaled_tiles(gemm.m)) {
      tiling.tile_m = tile.m;
      tiling.tile_n = tile.n;
      add_if_it_fits(params, format, tiling, menu);
    }
    return menu;
  }
  const std::vector<Tile> tiles = tiles_of(params, gemm);
  for (const Tile& tile : tiles) {
    if (tile.m > tiles.front().m && tile.m >= 2 * gemm.m) continue;
    if (tile.n > tiles.front().n && tile.n >= 2 * gemm.n) continue;
    for (const std::int64_t split : {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64}) {
      tiling.tile_m = tile.m;
      tiling.tile_n = tile.n;
      tiling.split = split;
      const GemmGrid grid = grid_of(gemm, tiling);
      const std::int64_t outputs = grid.tiles_m * grid.tiles_n;
      if (split > 1 && !splits_sums(params, gemm)) continue;
      if (split > 1 && (outputs > 2 * params.sms || grid.slices < 4 * split)) continue;
      if ((split - 1) * grid.slices_per_split >= grid.slices) continue;
      add_if_it_fits(params, format, tiling, menu);
    }
  }
  return menu;
}

namespace {

/// Seconds of one K slice on an SM's tensor pipe, shared memory or CUDA cores.
double slice_seconds(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& t) {
  const ProductFormat format = product_format(gemm);
  const double rate = params.matrix_peak(format.pipe).count() * params.matrix_efficiency /
                      static_cast<double>(params.sms);
  const double flops = static_cast<double>(2 * t.tile_m * t.tile_n * t.slice_k);
  const double shared = static_cast<double>(shared_traffic(format, t, t.slice_k));
  const double issue = static_cast<double>(loop_operations(params, gemm, t, t.slice_k).count());
  return std::max({flops / rate, shared / (params.shared_bytes_per_clock * params.clock.count()),
                   issue * static_cast<double>(params.sms) / params.vector_peak().count()});
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
  const double tensor = slice_seconds(params, gemm, t);
  const double in_flight = static_cast<double>(t.ctas_per_sm * t.stages) * slice;
  const double port = std::min(params.port_bytes_per_clock * params.clock.count(),
                               in_flight / to_seconds(params.hbm_latency));
  const double chain =
      static_cast<double>(chain_of(format, t.slice_k)) * to_seconds(params.matrix_latency);
  const double own_path =
      rounds * slices *
      (std::max(tensor, chain) +
       to_seconds(params.stage_handoff) * static_cast<double>(handoffs_per_slice(params, gemm)));
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
             params.launch_gap() + params.l2_latency * 2;
  }
  return total;
}

GemmTiling choose_tiling(const GpuParams& params, const GemmKernel& gemm) {
  if (gemm.m < 1 || gemm.n < 1 || gemm.k < 1) {
    throw ModelError(fmt::format("gpu: a GEMM of {} x {} x {} is empty", gemm.m, gemm.n, gemm.k));
  }
  const std::vector<GemmTiling> menu = gemm_menu(params, gemm);
  if (menu.empty()) throw ModelError("gpu: no GEMM tile fits the shared memory of this chip");
  std::vector<Picoseconds> times;
  for (const GemmTiling& tiling : menu) times.push_back(predict_gemm(params, gemm, tiling));
  const Picoseconds close =
      at_rate(to_seconds(*std::min_element(times.begin(), times.end())) * shared::tiling_tie, 1);
  const GemmTiling* best = nullptr;
  for (std::size_t i = 0; i < menu.size(); ++i) {
    if (times[i] > close) continue;
    if (best == nullptr || l2_reads(params, gemm, menu[i]) < l2_reads(params, gemm, *best)) {
      best = &menu[i];
    }
  }
  return *best;
}

}  // namespace tandem::gpu
