#include "sim/config/power_cap.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem::config {
namespace {

double value_or_nothing(const ParameterSet& parameters, const std::string& name) {
  return parameters.has(name) ? parameters.value(name) : 0;
}

/// Watts of the hosts with all of the system's chips, and how many chips there are.
struct Drawn {
  double hosts = 0;
  double chips = 0;
};
Drawn drawn_by(const System& system) {
  Drawn drawn{value_or_nothing(system.parameters, "host_power"), 0};
  for (const ChipGroup& group : system.groups) {
    const auto count = static_cast<double>(group.count);
    drawn.chips += count;
    drawn.hosts += count * value_or_nothing(system.parameters, "host_power_per_chip." + group.pool);
  }
  return drawn;
}

}  // namespace

void share_power_cap(const Tree& tree, System& system, ReadContext& context) {
  const Tree* written = tree.find("power_cap");
  const double cap = value_or_nothing(system.parameters, "power_cap");
  const Drawn drawn = drawn_by(system);
  if (written == nullptr || cap <= 0 || drawn.chips <= 0) return;
  const double share = (cap - drawn.hosts) / drawn.chips;
  for (auto& [name, chip] : system.chips) {
    if (!chip.parameters.has("tdp")) {
      context.problems.report(written->place,
                              fmt::format("chip '{}' of the system has no power limit to lower; "
                                          "power_cap is for systems of GPUs, write 0 W for none",
                                          name));
      continue;
    }
    const double rest = value_or_nothing(chip.parameters, "idle_power");
    if (share <= rest) {
      context.problems.report(
          written->place,
          fmt::format("power_cap leaves {:.0f} W for each of {:.0f} chips after {:.0f} W of the "
                      "hosts, and {} draws {:.0f} W at rest; write more than {:.0f} W",
                      std::max(0.0, share), drawn.chips, drawn.hosts, name, rest,
                      drawn.hosts + drawn.chips * rest));
      continue;
    }
    Parameter limit = chip.parameters.at("tdp");
    if (limit.value <= share) continue;
    limit.value = share;
    limit.source = system.parameters.at("power_cap").source;
    limit.basis = system.parameters.at("power_cap").basis;
    limit.low.reset();
    limit.high.reset();
    chip.parameters.set("tdp", limit);
  }
}

}  // namespace tandem::config
