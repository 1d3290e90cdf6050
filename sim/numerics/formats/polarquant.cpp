#include "sim/numerics/formats/polarquant.hpp"

#include <cassert>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/formats/packing.hpp"

namespace tandem::formats {
namespace {

/// Bits of the 15 angles of a block.
constexpr std::size_t block_bits() {
  std::size_t bits = 0;
  std::size_t angles = PolarQuant::block / 2;
  for (const int width : PolarQuant::angle_bits) {
    bits += angles * static_cast<std::size_t>(width);
    angles /= 2;
  }
  return bits;
}

/// 2^bits even sectors of the full circle, read back at their middles.
ScalarQuantiser even_sectors(int bits) {
  const int count = 1 << bits;
  const double width = 2 * std::numbers::pi / count;
  ScalarQuantiser sectors;
  for (int i = 0; i < count; ++i) {
    sectors.centroids.push_back((i + 0.5) * width);
    if (i > 0) {
      sectors.edges.push_back(i * width);
    }
  }
  sectors.mse = width * width / 12;
  return sectors;
}

double angle_of(double a, double b) {
  const double angle = std::atan2(b, a);
  return angle < 0 ? angle + 2 * std::numbers::pi : angle;
}

}  // namespace

PolarQuant::PolarQuant(Rotation rotation) : rotation_(std::move(rotation)) {
  if (rotation_.dim() % block != 0) {
    throw ModelError("PolarQuant: " + std::to_string(rotation_.dim()) +
                     " coordinates are no multiple of 16");
  }
  angles_[0] = even_sectors(angle_bits[0]);
  for (std::size_t level = 1; level < angles_.size(); ++level) {
    angles_[level] = lloyd_max_polar_angle(static_cast<int>(level) + 1, angle_bits[level]);
  }
}

std::size_t PolarQuant::angle_bytes(std::int64_t dim) {
  return (static_cast<std::size_t>(dim / block) * block_bits() + 7) / 8;
}

std::size_t PolarQuant::bytes_for(std::int64_t dim) {
  return angle_bytes(dim) + 2 * static_cast<std::size_t>(dim / block);
}

void PolarQuant::encode(std::span<const float> x, std::span<std::uint8_t> out) const {
  assert(x.size() == static_cast<std::size_t>(dim()) && out.size() == bytes());
  const std::vector<double> wide(x.begin(), x.end());
  std::vector<double> rotated(wide.size());
  rotation_.apply(wide, rotated);
  std::size_t position = 0;
  std::size_t radius_at = angle_bytes(dim());
  for (std::size_t first = 0; first < rotated.size(); first += block) {
    std::span<double> radii = std::span(rotated).subspan(first, block);
    for (std::size_t level = 0; level < angles_.size(); ++level) {
      for (std::size_t j = 0; j < radii.size() / 2; ++j) {
        const double a = radii[2 * j];
        const double b = radii[2 * j + 1];
        write_bits(out, position, angle_bits[level],
                   static_cast<std::uint32_t>(angles_[level].nearest(angle_of(a, b))));
        position += static_cast<std::size_t>(angle_bits[level]);
        radii[j] = std::hypot(a, b);
      }
      radii = radii.first(radii.size() / 2);
    }
    store_float16(out, radius_at, static_cast<float>(radii[0]));
    if (!std::isfinite(load_float16(out, radius_at))) {
      throw ModelError("PolarQuant: a block of radius " + std::to_string(radii[0]) +
                       "; radii are stored in fp16");
    }
    radius_at += 2;
  }
}

void PolarQuant::decode(std::span<const std::uint8_t> bytes, std::span<float> out) const {
  assert(out.size() == static_cast<std::size_t>(dim()) && bytes.size() == this->bytes());
  std::vector<double> rotated(out.size());
  for (std::size_t b = 0; b < rotated.size() / block; ++b) {
    const std::span<double> radii = std::span(rotated).subspan(b * block, block);
    radii[0] = load_float16(bytes, angle_bytes(dim()) + 2 * b);
    std::size_t end = (b + 1) * block_bits();  // levels are read from the last to the first
    for (std::size_t level = angles_.size(); level-- > 0;) {
      const std::size_t pairs = static_cast<std::size_t>(block) >> (level + 1);
      end -= pairs * static_cast<std::size_t>(angle_bits[level]);
      for (std::size_t j = pairs; j-- > 0;) {
        const std::size_t at = end + j * static_cast<std::size_t>(angle_bits[level]);
        const double angle = angles_[level].centroids[read_bits(bytes, at, angle_bits[level])];
        const double radius = radii[j];
        radii[2 * j] = radius * std::cos(angle);
        radii[2 * j + 1] = radius * std::sin(angle);
      }
    }
  }
  std::vector<double> back(out.size());
  rotation_.apply_transposed(rotated, back);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(back[i]);
  }
}

}  // namespace tandem::formats
