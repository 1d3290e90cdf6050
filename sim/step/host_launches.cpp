#include "sim/step/host_launches.hpp"

namespace tandem {

double host_speed(const System& system) {
  return system.parameters.has("host_speed") ? system.parameters.value("host_speed") : 1;
}

Picoseconds host_launch_time(const Scenario& scenario) {
  const ParameterSet& software = scenario.software.parameters;
  if (!software.has("eager_launch")) return Picoseconds(0);
  return from_seconds(software.value("eager_launch") / host_speed(scenario.system));
}

void wait_for_host(Picoseconds launching, Picoseconds& time, TimeParts& parts) {
  if (launching <= time) return;
  parts[waiting] += launching - time;
  time = launching;
}

}  // namespace tandem
