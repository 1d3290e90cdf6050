#include "sim/step/host_launches.hpp"

#include <algorithm>

namespace tandem {

double host_speed(const System& system) {
  return system.parameters.has("host_speed") ? system.parameters.value("host_speed") : 1;
}

Picoseconds HostLaunches::of(const Batch& batch) const {
  const bool has_prompts = std::ranges::any_of(
      batch.slices, [](const SequenceSlice& slice) { return !slice.is_decode(); });
  return has_prompts ? std::max(each, prompts) : each;
}

HostLaunches host_launches(const Scenario& scenario) {
  const ParameterSet& software = scenario.software.parameters;
  const auto time = [&](const char* name) {
    return software.has(name) ? from_seconds(software.value(name) / host_speed(scenario.system))
                              : Picoseconds(0);
  };
  return {time("eager_launch"), time("eager_prompt_launch")};
}

void wait_for_host(Picoseconds launching, Picoseconds& time, TimeParts& parts) {
  if (launching <= time) return;
  parts[waiting] += launching - time;
  time = launching;
}

}  // namespace tandem
