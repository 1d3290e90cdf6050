#include "models/gpu/gemm_tiling.hpp"

#include <algorithm>

#include "models/gpu/lane_units.hpp"

namespace tandem::gpu {
namespace {}  // namespace

std::int64_t slice_bytes(const ProductFormat& format, const GemmTiling& t) {
  return format.a_bytes(t.tile_m, t.slice_k) + format.b_bytes(t.tile_n, t.slice_k);
}

std::int64_t shared_traffic(const ProductFormat& format, const GemmTiling& t, std::int64_t k) {
  const std::int64_t readers = ceil_div(t.tile_m, warpgroup_rows);
  return k * (t.tile_m * format.a_bits + readers * t.tile_n * format.b_bits) / 8;
}

std::int64_t chain_of(const ProductFormat& format, std::int64_t k) {
  return k * std::max(format.a_bits, format.b_bits) / 256;
}

std::int64_t pair_of(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  const bool pairs = params.matrix_issue == MatrixIssue::TensorMemory && params.multicast > 1;
  return pairs && t.clusters && t.tile_m >= 128 && grid.tiles_m >= 2 ? 2 : 1;
}

std::int64_t sharers_of_b(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  const std::int64_t pair = pair_of(params, grid, t);
  if (pair > 1) return pair;
  return t.clusters && grid.tiles_m >= params.multicast ? params.multicast : 1;
}

std::int64_t sharers_of_a(const GpuParams& params, const GemmGrid& grid, const GemmTiling& t) {
  return pair_of(params, grid, t) > 1 && grid.tiles_n >= params.multicast ? params.multicast : 1;
}

std::int64_t staging_bytes(const GpuParams& params, const ProductFormat& format) {
  return 2 * (params.matrix_issue == MatrixIssue::Warp ? accumulator_bytes : bytes_of(format.out));
}

std::int64_t scale_copies(const GpuParams& params, const ProductFormat& format, const GemmTiling& t,
                          std::int64_t k) {
  constexpr std::int64_t lanes = 128;
  if (params.matrix_issue != MatrixIssue::TensorMemory || params.peak_fp4.count() <= 0) return 0;
  if (format.a_scale_k == 0 || format.b_scale_k == 0) return 0;
  return ceil_div(t.tile_m, lanes) * lanes * ceil_div(k, format.a_scale_k) +
         ceil_div(t.tile_n, lanes) * lanes * ceil_div(k, format.b_scale_k);
}

bool overlaps_epilogue(const GpuParams& params, const GemmTiling& t) {
  if (t.alternates) return params.persistent_kernels;
  return params.persistent_kernels && params.matrix_issue == MatrixIssue::TensorMemory &&
         2 * t.tile_m * t.tile_n * accumulator_bytes <= params.tensor_memory.count();
}

}  // namespace tandem::gpu
