// What the board's power meter reads while a kernel is measured. NVML averages over one second, as
// long as a whole measured run, so a reading remembers what the GPU did before.
#pragma once

#include <string>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"

namespace tandem::entry {

/// Does the collector of this framework leave the GPU at rest before it measures a row: while it
/// builds experts and modules, fills caches, or quantises weights on the host and compiles kernels?
/// Software keys meter_rests_experts, meter_rests_caches, meter_rests_blocks. Elsewhere rows follow
/// each other at once and a similar run fills the meter's memory.
[[nodiscard]] bool rests_before(const std::string& op, const std::string& dtype,
                                const Software& software);

/// Mean reading over a measured run of kernels that take `kernel` each and draw `running`, after a
/// second at `rest`. The collector repeats kernels for 1 s, those below 0.1 ms for 0.3 s and at
/// most 3000 times (aiconfigurator collector/helper.py); a sample t seconds into the run holds t
/// seconds of it (NVML: nvmlDeviceGetPowerUsage is a one-second average), so the mean holds half
/// the run.
[[nodiscard]] Watts reading_after_rest(Watts running, Watts rest, Picoseconds kernel);

}  // namespace tandem::entry
