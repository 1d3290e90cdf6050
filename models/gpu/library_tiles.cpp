#include "models/gpu/library_tiles.hpp"

#include <algorithm>
#include <cmath>

#include "models/gpu/gemm_tiling.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::gpu {
namespace {

GemmTiling tile(std::int64_t rows, std::int64_t columns, std::int64_t slice_k) {
  GemmTiling tiling;
  tiling.tile_m = rows;
  tiling.tile_n = columns;
  tiling.slice_k = slice_k;
  return tiling;
}

/// vllm-project/vllm csrc/quantization/w8a8/cutlass/c3x/scaled_mm_sm90_fp8_dispatch.cuh: up to 64
/// rows the operands are swapped; above, two warpgroups take tiles in turn.
GemmTiling vllm_fp8_wgmma(const GemmKernel& gemm) {
  constexpr std::int64_t narrow = 1280;
  if (gemm.m <= 16) return tile(16, 64, 256);
  if (gemm.m <= 64) return tile(gemm.n <= narrow ? 16 : 64, 64, 256);
  GemmTiling tiling = tile(gemm.m <= 128 ? 64 : 128, 128, 128);
  tiling.cluster_rows = 2;
  tiling.alternates = true;
  return tiling;
}

/// scaled_mm_sm100_fp8_dispatch.cuh: tiles of CTA pairs, here one CTA's half of them.
GemmTiling vllm_fp8_tcgen05(const GemmKernel& gemm) {
  if (gemm.m <= 16) return tile(32, 64, 128);
  if (gemm.m == 64 && gemm.k < 4096) return tile(64, 64, 128);
  if (gemm.m <= 64) return tile(64, 64, 256);
  GemmTiling tiling = tile(gemm.m <= 256 ? 64 : 128, 128, 128);
  tiling.cluster_rows = 2;
  return tiling;
}

/// vllm-project/vllm scaled_mm_blockwise_sm90_fp8_dispatch.cuh: one tile for all shapes.
GemmTiling vllm_blocks_wgmma() {
  return tile(128, 128, 128);
}

/// NVIDIA/TensorRT-LLM cpp/tensorrt_llm/thop/fp4Gemm.cpp, getDefaultGemmConfig:
/// CtaShape128x256x128B, ClusterShape_1x1x1.
GemmTiling tensorrt_fp4() {
  GemmTiling tiling = tile(128, 256, 256);
  tiling.clusters = false;
  return tiling;
}

struct Shape {
  std::int64_t rows, columns;
};

/// The score of a tile in flashinfer-ai/flashinfer, tactic selection of mm_fp4 (cute-dsl, sm100):
/// share of useful columns, fill of the waves, and a throughput that grows with the tile.
double flashinfer_score(const GpuParams& params, const Shape& tile, const Shape& product,
                        std::int64_t k) {
  const auto rows = static_cast<double>(tile.rows), columns = static_cast<double>(tile.columns);
  const std::int64_t tiles_n = ceil_div(product.columns, tile.columns);
  const std::int64_t ctas = tiles_n * ceil_div(product.rows, tile.rows);
  const std::int64_t slots = ceil_div(ctas, params.sms) * params.sms;
  const double used =
      static_cast<double>(product.columns) / (columns * static_cast<double>(tiles_n));
  const double balance = std::min(rows, columns) / std::max(rows, columns);
  const double throughput = std::sqrt(rows * columns) / 256 * std::pow(balance, 0.25);
  const bool is_large = tile.rows * tile.columns > 128 * 128;
  const double pipeline = !is_large || k > 2048 ? 1.0 : (k > 1024 ? 0.8 : 0.5);
  return static_cast<double>(product.rows * ctas) * used * throughput * pipeline /
         (rows * static_cast<double>(slots));
}

/// Rows count as the power of two below them; few rows that fill a copy become the columns.
GemmTiling flashinfer_fp4(const GpuParams& params, const GemmKernel& gemm) {
  constexpr std::int64_t most_rows = 4096;
  std::int64_t bucket = 1;
  while (2 * bucket <= std::min(gemm.m, most_rows)) bucket *= 2;
  const bool swaps = gemm.m % 8 == 0 && bucket >= 8 && bucket <= 16 && gemm.n > bucket;
  const Shape product = swaps ? Shape{gemm.n, bucket} : Shape{bucket, gemm.n};
  Shape best{128, 128};
  double most = -1;
  for (const std::int64_t columns : {64, 128, 192, 256}) {
    for (const std::int64_t rows : {128, 256}) {
      const double score = flashinfer_score(params, {rows, columns}, product, gemm.k);
      if (score > most) {
        most = score;
        best = {rows, columns};
      }
    }
  }
  // 256 rows are those of a pair of CTAs.
  GemmTiling tiling = swaps ? tile(best.columns, 128, 256) : tile(128, best.columns, 256);
  tiling.clusters = best.rows == 256;
  if (tiling.clusters && !swaps) tiling.cluster_rows = 2;
  return tiling;
}

std::optional<GemmTiling> vllm_tiling(const GpuParams& params, const GemmKernel& gemm) {
  const bool is_wgmma = params.matrix_issue == MatrixIssue::Warpgroup;
  const bool is_tcgen05 = params.matrix_issue == MatrixIssue::TensorMemory;
  if (gemm.precision->name == "fp8") {
    if (is_wgmma) return vllm_fp8_wgmma(gemm);
    if (is_tcgen05) return vllm_fp8_tcgen05(gemm);
  }
  if (gemm.precision->name == "fp8_block" && is_wgmma) return vllm_blocks_wgmma();
  if (gemm.precision->name == "nvfp4" && is_tcgen05) return flashinfer_fp4(params, gemm);
  return std::nullopt;
}

}  // namespace

std::optional<GemmTiling> dispatched_tiling(const GpuParams& params, const GemmKernel& gemm) {
  if (gemm.precision == nullptr) return std::nullopt;
  switch (params.product_library) {
    case ProductLibrary::Vllm:
      return vllm_tiling(params, gemm);
    case ProductLibrary::TensorRtLlm:
      if (gemm.precision->name == "nvfp4" && params.matrix_issue == MatrixIssue::TensorMemory) {
        return tensorrt_fp4();
      }
      break;
    case ProductLibrary::Chosen:
      break;
  }
  return std::nullopt;
}

}  // namespace tandem::gpu
