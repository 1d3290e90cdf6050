// The clocks at which kernels are simulated, and what they do at the clocks between.
//
// A power limit lets a governor choose any of a hundred clocks. Between two of them the time of a
// kernel is nearly linear in the period of the clock: a part in the core's clock domain, and a part
// in that of memory and launches.
#pragma once

#include "models/gpu/kernel_timing.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::gpu {

/// A clock between two at which kernels are simulated: sixths of the nominal one.
struct ClockBracket {
  Hertz low, high;
  double upper_weight = 1;  ///< share of `high`; 1 where the clock is `high`
};

/// `clock` is at least a sixth of the nominal one; one above that counts as it.
[[nodiscard]] ClockBracket bracket_clock(Hertz clock, Hertz nominal);

/// False for kernels whose time bends between two such clocks: attention, whose waves of CTAs go
/// over from memory to exponentials within a few per cent of the clock.
[[nodiscard]] bool is_straight(const Kernel& kernel);

/// True where one thing limits the kernel at the one clock and another at the other.
[[nodiscard]] bool bends_between(const KernelTiming& low, const KernelTiming& high);

/// Every number of the two, linearly.
[[nodiscard]] KernelTiming between(const KernelTiming& low, const KernelTiming& high,
                                   double upper_weight);

}  // namespace tandem::gpu
