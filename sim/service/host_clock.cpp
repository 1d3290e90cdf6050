#include "sim/service/host_clock.hpp"

#include "sim/step/host_launches.hpp"

namespace tandem {

Picoseconds software_time(const Software& software, const char* name) {
  return software.parameters.has(name) ? from_seconds(software.parameters.value(name))
                                       : Picoseconds(0);
}

HostTime host_time(const Scenario& scenario, std::int64_t ranks) {
  const Software& software = scenario.software;
  const ParameterSet& parameters = software.parameters;
  const bool beside =
      parameters.has("host_beside_chips") && parameters.count("host_beside_chips") == 1;
  const Picoseconds step = software_time(software, "step_overhead") +
                           software_time(software, "rank_overhead") * (ranks - 1);
  const double speed = host_speed(scenario.system);
  return {from_seconds(to_seconds(step) / speed),
          from_seconds(to_seconds(software_time(software, "sequence_overhead")) / speed), beside};
}

}  // namespace tandem
