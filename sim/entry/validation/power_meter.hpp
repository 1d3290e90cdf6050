// What the board's power meter reads while a kernel is measured. NVML averages over one second, as
// long as a whole measured run, so a reading remembers what the GPU did before.
#pragma once

#include <optional>
#include <string>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {

/// What the meter holds when a row's run begins.
enum class MeterMemory : std::uint8_t {
  Run,      ///< another run
  Filling,  ///< caches are filled: kernels run and switch little
  Rest,     ///< the host works: a module is built, weights are quantised, kernels are compiled
};

/// By operator, where the software says that its collector prepares each row (meter_fills_caches,
/// meter_rests_modules, meter_rests_blocks). Lists of products go from the most tokens down on
/// eight GPUs at once (meter_descends): the first rows of a new pair of widths follow rest.
[[nodiscard]] MeterMemory memory_before(const std::string& op, const NamedRow& row,
                                        const Software& software);

/// What the GPU ran before a row where that is in the meter's memory: in a list that descends, the
/// product eight entries up, of about twice the tokens, or the last rows of the list before it.
/// None: something similar to the row itself.
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
