// TurboQuant (arXiv 2504.19874) and QJL (arXiv 2406.03482): vectors to a few bits per coordinate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/numerics/formats/lloyd_max.hpp"
#include "sim/numerics/formats/rotation.hpp"

namespace tandem::formats {

/// Algorithm 1, least mean squared error: store |x| in fp16 and, for each coordinate of
/// P x / |x|, the index of the nearest Lloyd-Max centroid of N(0, 1/d); x^ = |x| P^T c[index].
/// Inner products with x^ are biased towards 0 by the factor 1 - D_mse.
///
/// Bytes: indices (d * bits, packed as in packing.hpp), then the norm, low byte first.
class TurboQuantMse {
 public:
  /// `bits` 0..5 per coordinate. `renormalise`: decoding scales the centroid vector to unit length
  /// before rotating back, the norm correction ("nc") of vLLM's turboquant_*_nc presets.
  TurboQuantMse(Rotation rotation, int bits, bool renormalise = false);

  [[nodiscard]] std::int64_t dim() const { return rotation_.dim(); }
  [[nodiscard]] std::size_t bytes() const { return index_bytes() + 2; }
  /// Bytes of the indices alone.
  [[nodiscard]] std::size_t index_bytes() const;
  /// x.size() == dim(), out.size() == bytes(). Throws ModelError when x holds NaN or infinity or
  /// its norm is beyond fp16.
  void encode(std::span<const float> x, std::span<std::uint8_t> out) const;
  void decode(std::span<const std::uint8_t> bytes, std::span<float> out) const;

  /// The same for a direction (unit vector) alone, in double: indices only, no norm.
  void encode_direction(std::span<const double> unit, std::span<std::uint8_t> indices) const;
  void decode_direction(std::span<const std::uint8_t> indices, std::span<double> out) const;

 private:
  Rotation rotation_;
  int bits_;
  bool renormalise_;
  ScalarQuantiser quantiser_;  ///< of N(0, 1)
};

/// QJL: the signs of S r for a Gaussian d x d matrix S. An unbiased estimate of r over the draw of
/// S: sqrt(pi / 2) / d * |r| * S^T sign(S r); the sign of 0 is -1.
class QjlSketch {
 public:
  /// Draws dim^2 normals.
  QjlSketch(std::int64_t dim, RandomStream& random);
  [[nodiscard]] std::int64_t dim() const { return dim_; }
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(dim_ + 7) / 8; }
  /// One sign bit per row of S (1 is positive).
  void encode(std::span<const double> r, std::span<std::uint8_t> signs) const;
  /// The estimate of r from its signs and norm.
  void decode(std::span<const std::uint8_t> signs, double norm, std::span<double> out) const;

 private:
  std::int64_t dim_;
  std::vector<double> matrix_;
};

/// Algorithm 2, unbiased inner products at `bits` per coordinate: Algorithm 1 with bits - 1 and a
/// QJL sketch of what it leaves, r = x - x^. Both norms are fp16; that of r relative to |x|.
///
/// Bytes: indices (d * (bits - 1) bits), signs (d bits), |x|, |r| / |x|.
class TurboQuantProd {
 public:
  /// `bits` 1..6. Throws ModelError when rotation and sketch differ in size.
  TurboQuantProd(Rotation rotation, QjlSketch sketch, int bits);
  [[nodiscard]] std::int64_t dim() const { return base_.dim(); }
  [[nodiscard]] std::size_t bytes() const { return base_.index_bytes() + sketch_.bytes() + 4; }
  /// As TurboQuantMse.
  void encode(std::span<const float> x, std::span<std::uint8_t> out) const;
  void decode(std::span<const std::uint8_t> bytes, std::span<float> out) const;

 private:
  TurboQuantMse base_;
  QjlSketch sketch_;
};

/// Two independent instances of Algorithm 1: some outlier channels at more bits, the others at
/// fewer. The paper's "2.5 bits" at d = 128 are 32 channels of 3 bits and 96 of 2: 2.25 bits of
/// indices per channel, and 2.5 with the two fp16 norms.
///
/// Bytes: those of the outlier instance, then those of the other.
class TurboQuantSplit {
 public:
  /// `outliers`: distinct channel numbers below `dim`, neither none nor all (else ModelError).
  /// Gaussian rotations.
  TurboQuantSplit(std::int64_t dim, std::vector<std::int64_t> outliers, int outlier_bits, int bits,
                  RandomStream& random);
  [[nodiscard]] std::size_t bytes() const { return outlier_.bytes() + other_.bytes(); }
  /// As TurboQuantMse.
  void encode(std::span<const float> x, std::span<std::uint8_t> out) const;
  void decode(std::span<const std::uint8_t> bytes, std::span<float> out) const;

 private:
  std::vector<std::int64_t> channels_;  ///< the outliers, then the others, each ascending
  TurboQuantMse outlier_;
  TurboQuantMse other_;
};

/// The `count` channels of largest energy (sum of squares over the rows of a row-major matrix of
/// `dim` columns), ascending; of equals the lower number.
[[nodiscard]] std::vector<std::int64_t> outlier_channels(std::span<const float> rows,
                                                         std::int64_t dim, std::int64_t count);

}  // namespace tandem::formats
