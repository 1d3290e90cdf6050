#include "sim/numerics/formats/rotation.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <string>

#include "sim/core/diagnostics.hpp"

namespace tandem::formats {
namespace {

double inner(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

/// In place: the Walsh-Hadamard transform in natural order, times 1 / sqrt(size).
void hadamard_transform(std::span<double> x) {
  for (std::size_t half = 1; half < x.size(); half *= 2) {
    for (std::size_t start = 0; start < x.size(); start += 2 * half) {
      for (std::size_t i = start; i < start + half; ++i) {
        const double a = x[i];
        const double b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
  const double scale = 1.0 / std::sqrt(static_cast<double>(x.size()));
  for (double& value : x) {
    value *= scale;
  }
}

}  // namespace

Rotation Rotation::gaussian(std::int64_t dim, RandomStream& random) {
  if (dim < 1) {
    throw ModelError("rotation of " + std::to_string(dim) + " coordinates");
  }
  Rotation rotation;
  rotation.dim_ = dim;
  const auto size = static_cast<std::size_t>(dim);
  rotation.matrix_.resize(size * size);
  for (double& value : rotation.matrix_) {
    value = random.normal();
  }
  for (std::size_t r = 0; r < size; ++r) {
    const auto row = std::span(rotation.matrix_).subspan(r * size, size);
    for (std::size_t p = 0; p < r; ++p) {
      const auto earlier = std::span(rotation.matrix_).subspan(p * size, size);
      const double along = inner(row, earlier);
      for (std::size_t i = 0; i < size; ++i) {
        row[i] -= along * earlier[i];
      }
    }
    const double scale = 1.0 / std::sqrt(inner(row, row));
    for (double& value : row) {
      value *= scale;
    }
  }
  return rotation;
}

Rotation Rotation::hadamard(std::int64_t dim, RandomStream& random) {
  if (dim < 1 || !std::has_single_bit(static_cast<std::uint64_t>(dim))) {
    throw ModelError("Hadamard rotation of " + std::to_string(dim) +
                     " coordinates: needs a power of two");
  }
  Rotation rotation;
  rotation.dim_ = dim;
  for (std::int64_t i = 0; i < dim; ++i) {
    rotation.signs_.push_back((random.next() >> 63) != 0 ? -1.0 : 1.0);
  }
  return rotation;
}

void Rotation::apply(std::span<const double> x, std::span<double> y) const {
  assert(x.size() == static_cast<std::size_t>(dim_) && y.size() == x.size());
  if (matrix_.empty()) {
    std::transform(x.begin(), x.end(), signs_.begin(), y.begin(), std::multiplies<>());
    hadamard_transform(y);
    return;
  }
  for (std::size_t r = 0; r < y.size(); ++r) {
    y[r] = inner(std::span(matrix_).subspan(r * x.size(), x.size()), x);
  }
}

void Rotation::apply_transposed(std::span<const double> y, std::span<double> x) const {
  assert(x.size() == static_cast<std::size_t>(dim_) && y.size() == x.size());
  if (matrix_.empty()) {
    std::copy(y.begin(), y.end(), x.begin());
    hadamard_transform(x);
    std::transform(x.begin(), x.end(), signs_.begin(), x.begin(), std::multiplies<>());
    return;
  }
  std::fill(x.begin(), x.end(), 0.0);
  for (std::size_t r = 0; r < y.size(); ++r) {
    const auto row = std::span(matrix_).subspan(r * x.size(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] += y[r] * row[i];
    }
  }
}

}  // namespace tandem::formats
