// What the board's power meter reads while a kernel is measured. NVML averages over one second, as
// long as a whole measured run, so a reading remembers what the GPU did before.
#pragma once

#include <optional>
#include <string>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {

/// Does the meter hold a second of rest when a row's run begins? It does where the collector builds
/// modules, fills caches, or quantises weights on the host and compiles kernels before each row
/// (software keys meter_rests_modules, meter_rests_caches, meter_rests_blocks), and where a row of
/// a product is the first of its list on its GPU: lists go from the most tokens down on eight GPUs
/// at once (meter_descends).
[[nodiscard]] bool rests_before(const std::string& op, const NamedRow& row,
                                const Software& software);

/// What the GPU ran before a row where it did not rest: in a list that descends, the product eight
/// entries up, of about twice the tokens. None: something similar to the row itself.
[[nodiscard]] std::optional<KernelRun> run_before(const std::string& op, const NamedRow& row,
                                                  const Software& software);

/// Seconds that the measured run lasts, given one replay of its graph. The collector counts repeats
/// by a few eager runs before it, too brief to be slowed down: for 1 s, or 0.3 s where they take
/// less than 0.1 ms, and at most 3000 (aiconfigurator collector/helper.py). The host launches
/// `launches` kernels one by one, each in meter_launch (meter_module within a module).
[[nodiscard]] double run_seconds(const std::string& op, std::int64_t launches,
                                 const Software& software, Picoseconds brief_replay,
                                 Picoseconds replay);

/// Mean reading over a run of `seconds`. A sample t seconds into the run holds t seconds of it and,
/// up to one second (NVML: nvmlDeviceGetPowerUsage is a one-second average), what was before.
[[nodiscard]] Watts mean_reading(Watts running, Watts before, double seconds);

}  // namespace tandem::entry
