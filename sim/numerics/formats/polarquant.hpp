// PolarQuant (arXiv 2502.02617): a rotated vector in recursive polar coordinates.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/formats/lloyd_max.hpp"
#include "sim/numerics/formats/rotation.hpp"

namespace tandem::formats {

/// Blocks of 16 coordinates of P x become one fp16 radius and 15 angles in four levels. Level 1
/// pairs neighbours (x_2j, x_2j+1) into radius and angle in [0, 2 pi); levels 2 to 4 pair the radii
/// of the level below, angle in [0, pi / 2]. Bits per angle 4, 2, 2, 2: level 1 in even sectors,
/// the others at the Lloyd-Max centroids of their density (see lloyd_max_polar_angle).
/// (8 * 4 + 4 * 2 + 2 * 2 + 1 * 2 + 16) / 16 = 3.875 bits per coordinate.
///
/// Bytes: the angles of all blocks as one bit string (46 bits a block, level 1 first), padded to a
/// byte, then the radii. Reconstruction keeps every block's radius; its angles are the centroids.
class PolarQuant {
 public:
  static constexpr std::int64_t block = 16;
  static constexpr int levels = 4;
  static constexpr std::array<int, levels> angle_bits{4, 2, 2, 2};

  /// Throws ModelError unless the rotation's size is a multiple of 16.
  explicit PolarQuant(Rotation rotation);
  [[nodiscard]] std::int64_t dim() const { return rotation_.dim(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_for(dim()); }
  /// Bytes of a vector of `dim` coordinates, a multiple of 16.
  [[nodiscard]] static std::size_t bytes_for(std::int64_t dim);
  /// x.size() == dim(), out.size() == bytes(). Throws ModelError for NaN, infinity, or a radius
  /// beyond fp16.
  void encode(std::span<const float> x, std::span<std::uint8_t> out) const;
  void decode(std::span<const std::uint8_t> bytes, std::span<float> out) const;

 private:
  [[nodiscard]] static std::size_t angle_bytes(std::int64_t dim);

  Rotation rotation_;
  std::array<ScalarQuantiser, levels> angles_;
};

}  // namespace tandem::formats
