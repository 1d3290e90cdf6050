#include "sim/service/host_clock.hpp"

namespace tandem {

Picoseconds software_time(const Software& software, const char* name) {
  return software.parameters.has(name) ? from_seconds(software.parameters.value(name))
                                       : Picoseconds(0);
}

HostTime host_time(const Software& software) {
  const ParameterSet& parameters = software.parameters;
  const bool beside =
      parameters.has("host_beside_chips") && parameters.count("host_beside_chips") == 1;
  return {software_time(software, "step_overhead"), software_time(software, "sequence_overhead"),
          beside};
}

}  // namespace tandem
