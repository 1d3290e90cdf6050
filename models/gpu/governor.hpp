// The power governor: what a stretch of work draws, and the clock at which that is the board limit.
//
// Power = idle + (memory energy) / time + (core energy) / time x v^2 + active x share of the SMs
// that run x (f / f0) x v^2, with v = V(f) / V(f0). Core is everything in the SM and L2 clock
// domain; the memory clock stays. The voltage falls in proportion to the clock, with a slope, down
// to a lowest voltage that the chip keeps for all lower clocks (shape: Guerreiro et al., HPCA
// 2018).
#pragma once

#include <functional>
#include <vector>

#include "models/gpu/activity.hpp"
#include "models/gpu/params.hpp"

namespace tandem::gpu {

/// Dynamic energy of a stretch of work at the nominal voltage, and how long the work took.
struct RunEnergy {
  Picoseconds time;
  Joules core;        ///< tensor, vector and special pipes, L2 and crossbar
  Joules memory;      ///< HBM devices and their interface, launches
  double active = 1;  ///< share of the SMs that run, mean over the time
};

/// Energy of `counts` at the nominal voltage.
[[nodiscard]] RunEnergy energy_of(const GpuParams& params, const SwitchingCounts& counts,
                                  Picoseconds time);

/// V(f) / V(nominal clock).
[[nodiscard]] double relative_voltage(const EnergyParams& energy, double relative_clock);

/// Mean board power of `run`, which took run.time at `clock`.
[[nodiscard]] Watts mean_power(const GpuParams& params, const RunEnergy& run, Hertz clock);

/// Clocks that a governor can choose: multiples of 15 MHz below the nominal clock (NVML lists the
/// supported clocks of data-centre GPUs in such steps), then the nominal clock itself. Ascending.
[[nodiscard]] std::vector<Hertz> clock_steps(Hertz nominal);

/// The highest clock step at which work drawn over and over stays at or below the limit; the lowest
/// step when none does. `run_at` simulates the work at a clock and is called at most twice.
[[nodiscard]] Hertz governed_clock(const GpuParams& params,
                                   const std::function<RunEnergy(Hertz)>& run_at);

}  // namespace tandem::gpu
