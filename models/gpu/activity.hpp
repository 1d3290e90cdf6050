// What switches while kernels run: the integer counts that energy is made of.
#pragma once

#include <array>
#include <cstdint>

#include "sim/core/units.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::gpu {

inline constexpr std::size_t matrix_pipes = 6;

/// Counts of one kernel or of several. Tensor operations count padding: a masked or padded element
/// goes through the array like any other.
struct SwitchingCounts {
  std::array<Flops, matrix_pipes> tensor{};  ///< by MatrixPipe
  Flops vector;
  Flops special;
  Bytes l2;  ///< between L2 and SMs
  Bytes hbm;
  std::int64_t launches = 0;
  Picoseconds sm_active;  ///< sum over SMs of the time in which their part of a grid is running

  [[nodiscard]] Flops& tensor_of(MatrixPipe pipe) { return tensor[static_cast<std::size_t>(pipe)]; }
  /// Adds what `other` counts `times` times.
  void add(const SwitchingCounts& other, std::int64_t times) {
    for (std::size_t i = 0; i < matrix_pipes; ++i) tensor[i] += other.tensor[i] * times;
    vector += other.vector * times;
    special += other.special * times;
    l2 += other.l2 * times;
    hbm += other.hbm * times;
    launches += other.launches * times;
    sm_active += other.sm_active * times;
  }
};

}  // namespace tandem::gpu
