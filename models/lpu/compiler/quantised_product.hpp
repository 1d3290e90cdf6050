// A matrix-vector product with activations that are quantised as they come: y = W x, with codes of
// x and a factor of the token's own, codes of W and a factor per output.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "models/lpu/compiler/quantise.hpp"

namespace tandem::lpu {

/// y [n] = W [n, k] x [k]; codes of x and W in `type` (Int8 or Fp8E4m3).
struct QuantisedProductShape {
  int k = 0;
  int n = 0;
  Type type = Type::Int8;
};

/// A compiled product and where its operands lie. Elements beyond k and n are padding: zeros.
struct CompiledQuantisedProduct {
  QuantisedProductShape shape;
  int k_tiles = 0;
  int n_tiles = 0;
  QuantiseRows input;                            ///< fp32 by vector of k; factor of the token
  std::array<std::vector<Rows>, 2> activations;  ///< codes, West and East
  std::vector<ColumnTile> weights;               ///< codes, n * k_tiles + k; column = output
  std::vector<Rows> factors;                     ///< fp32 by vector of n: of each output
  std::vector<Rows> outputs;                     ///< fp32 by vector of n
  Program program;
  std::int64_t cycles = 0;
};

/// Compiles it. Sums of int8 codes are exact in int32, those of e4m3 are rounded to fp32 tile by
/// tile; an output is (sum * factor of the output) * factor of the token. Deterministic. Throws
/// ModelError for other types and where operands do not fit.
[[nodiscard]] CompiledQuantisedProduct compile_quantised_product(
    const Geometry& geometry, const LatencyTable& latencies, const std::string& chip,
    const QuantisedProductShape& shape);

}  // namespace tandem::lpu
