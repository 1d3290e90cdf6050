// A matrix product by itself, C = A W^T, from SRAM to SRAM: matrix-vector products bound by the
// weight streams and matrix-matrix products whose rows share an installed tile.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/compiler/scheduler.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// C [m, n] = A [m, k] W [n, k]^T. Int8 gives int32 sums, the float formats fp32.
struct GemmShape {
  std::int64_t m = 1;
  std::int64_t k = 0;
  std::int64_t n = 0;
  Type type = Type::Fp8E4m3;  ///< Int8, Fp8E4m3, Float16 or Bfloat16
};

/// A compiled product and where its operands lie. Elements beyond m, k and n are padding: what is
/// there must be zeros.
struct CompiledGemm {
  GemmShape shape;
  int k_tiles = 0;
  int n_tiles = 0;
  Program program;
  std::int64_t cycles = 0;                       ///< as the machine counts them
  std::vector<ColumnTile> weights;               ///< n * k_tiles + k; column = output
  std::array<std::vector<Rows>, 2> activations;  ///< West, East: row * k_tiles + k, both alike
  std::vector<Rows> outputs;                     ///< row * n_tiles + n, 4 bytes

  /// Tiles that one plane (pair of planes for two-byte types) multiplies, at most.
  [[nodiscard]] std::int64_t tile_steps(const Geometry& geometry) const;
};

/// Compiles a product. Sums of the tiles along k are added in order, in the accumulators.
/// Deterministic. Throws ModelError where operands do not fit the chip's SRAM.
[[nodiscard]] CompiledGemm compile_gemm(const Geometry& geometry, const LatencyTable& latencies,
                                        const std::string& chip, const GemmShape& shape);

}  // namespace tandem::lpu
