// What the board's power meter reads while a kernel is measured. NVML averages over one second, as
// long as a whole measured run, so a reading remembers what the GPU did before.
#pragma once

#include <string>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {

/// Does the meter still hold a second of rest when a row's run begins? It does where the collector
/// builds experts and modules, fills caches, or quantises weights on the host and compiles kernels
/// before each row (software keys meter_rests_experts, meter_rests_caches, meter_rests_blocks), and
/// where a row of a product is the first of its list on its GPU: lists go from the most tokens down
/// on eight GPUs at once (meter_descends). Elsewhere a similar run fills the meter's memory.
[[nodiscard]] bool rests_before(const std::string& op, const NamedRow& row,
                                const Software& software);

/// Mean reading over a measured run of kernels that take `kernel` each and draw `running`, after a
/// second at `rest`. The collector repeats kernels for 1 s, those below 0.1 ms for 0.3 s and at
/// most 3000 times (aiconfigurator collector/helper.py); a sample t seconds into the run holds t
/// seconds of it (NVML: nvmlDeviceGetPowerUsage is a one-second average), so the mean holds half
/// the run.
[[nodiscard]] Watts reading_after_rest(Watts running, Watts rest, Picoseconds kernel);

}  // namespace tandem::entry
