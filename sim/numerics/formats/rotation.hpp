// Random orthogonal maps that spread a vector's energy over its coordinates before quantisation.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"

namespace tandem::formats {

/// An orthogonal map P of `dim` coordinates.
class Rotation {
 public:
  /// Gram-Schmidt of Gaussian rows: uniform over the orthogonal matrices, as the QR of a Gaussian
  /// matrix (TurboQuant, arXiv 2504.19874 Algorithm 1). Draws dim^2 normals.
  [[nodiscard]] static Rotation gaussian(std::int64_t dim, RandomStream& random);
  /// Signs, then the normalised Walsh-Hadamard transform (as vLLM's turboquant_* caches use one).
  /// Draws dim signs. Throws ModelError unless dim is a power of two.
  [[nodiscard]] static Rotation hadamard(std::int64_t dim, RandomStream& random);

  [[nodiscard]] std::int64_t dim() const { return dim_; }
  /// y = P x. Both of dim() elements, not the same memory.
  void apply(std::span<const double> x, std::span<double> y) const;
  /// x = P^T y, the inverse.
  void apply_transposed(std::span<const double> y, std::span<double> x) const;

 private:
  std::int64_t dim_ = 0;
  std::vector<double> matrix_;  ///< rows of P; empty for a Hadamard rotation
  std::vector<double> signs_;   ///< the diagonal before the Hadamard transform
};

}  // namespace tandem::formats
