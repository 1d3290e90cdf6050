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
  SwitchingCounts& operator+=(const SwitchingCounts& other) {
    for (std::size_t i = 0; i < matrix_pipes; ++i) tensor[i] += other.tensor[i];
    vector += other.vector;
    special += other.special;
    l2 += other.l2;
    hbm += other.hbm;
    launches += other.launches;
    sm_active += other.sm_active;
    return *this;
  }
};

}  // namespace tandem::gpu
