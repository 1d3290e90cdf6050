#include "models/gpu/plan_low_precision.hpp"

#include "models/gpu/shared_constants.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t block_k = 128;

/// Lane operations per weight: byte permutes, subtraction and packing of four (int8) or eight (4
/// bits) codes, CUTLASS FastInterleavedAndBiasedNumericArrayConverter: 10 instructions for four,
/// 12 for eight and a multiply by the group's scale per pair.
std::int64_t widening_operations(const ProductFormat& format, std::int64_t weights) {
  return format.b_bits == 8 ? weights * 10 / 4 : weights * 2;
}

}  // namespace

bool promotes_sums(const GpuParams& params, const GemmKernel& gemm) {
  return gemm.precision != nullptr && gemm.precision->activation && params.peak_fp4.count() <= 0 &&
         product_format(gemm).a_scale_k > 0;
}

bool multiplies_vectors(const GpuParams& params, const GemmKernel& gemm) {
  constexpr std::int64_t weight_only_rows = 15, int8_rows = 4;
  if (gemm.precision == nullptr) return false;
  if (!gemm.precision->activation) return gemm.m <= weight_only_rows;
  return gemm.precision->name == "int8" && gemm.m <= int8_rows &&
         params.product_library == ProductLibrary::TensorRtLlm;
}

bool splits_sums(const GpuParams& params, const GemmKernel& gemm) {
  if (gemm.precision == nullptr) return true;
  if (gemm.precision->name == "fp8") return params.product_library != ProductLibrary::Vllm;
  return multiplies_vectors(params, gemm);
}

VectorWork promotion_of(const GpuParams& params, const GemmKernel& gemm) {
  const bool waits = promotes_sums(params, gemm) && !params.alternates_promotion;
  return waits ? VectorWork::AfterTensor : VectorWork::BesideTensor;
}

std::int64_t handoffs_per_slice(const GpuParams& params, const GemmKernel& gemm) {
  const bool promotes_alone = promotes_sums(params, gemm) && !params.alternates_promotion;
  return promotes_alone ? shared::promoted_handoffs : 1;
}

Flops loop_operations(const GpuParams& params, const GemmKernel& gemm, const GemmTiling& tiling,
                      std::int64_t k) {
  const ProductFormat format = product_format(gemm);
  if (promotes_sums(params, gemm)) {
    return Flops(tiling.tile_m * tiling.tile_n * (k + block_k - 1) / block_k);
  }
  const bool widens = gemm.precision != nullptr && format.b_bits < format.a_bits;
  return Flops(widens ? widening_operations(format, tiling.tile_n * k) : 0);
}

std::vector<TileShape> block_scaled_tiles(std::int64_t rows) {
  std::vector<TileShape> tiles;
  if (rows < 32) {
    for (const std::int64_t n : {64, 128}) tiles.push_back({rows <= 16 ? 16 : 32, n});
    return tiles;
  }
  for (std::int64_t n = 16; n <= block_k; n += 16) tiles.push_back({rows <= 64 ? 64 : 128, n});
  return tiles;
}

}  // namespace tandem::gpu
