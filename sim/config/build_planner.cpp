// Autoscaling: its keys, and what they need of the rest.
#include <fmt/format.h>

#include "sim/config/build.hpp"
#include "sim/config/check_scenario.hpp"
#include "sim/config/key_makers.hpp"

namespace tandem::config {

Section planner_section() {
  using namespace make;
  return {
      "planner",
      "Replicas of both pools turned on and off by the load (mode disaggregated), as NVIDIA "
      "Dynamo's SLA planner does; placements say how many there are at most.",
      {
          required(number("interval", Dimension::Time, "", 1e-6, 1e9,
                          "Time between decisions (adjustment_interval).")),
          required(number("ttft", Dimension::Time, "", 1e-9, 1e6,
                          "Time to the first token that is aimed at: prompts share a pass of a "
                          "replica as long as it takes no longer.")),
          required(number("itl", Dimension::Time, "", 1e-9, 1e6,
                          "Mean time between tokens that is aimed at.")),
          number("start_time", Dimension::Time, "0 s", 0, 1e9,
                 "From a decision until a further replica takes requests: weights to load, graphs "
                 "to capture."),
          number("least_replicas", Dimension::Count, "1", 1, 1e6,
                 "Of each pool (min_endpoint); the run begins with them."),
          number("chip_budget", Dimension::Count, "0", 0, 1e9,
                 "Most chips of both pools (max_gpu_budget); 0: all that are placed."),
          flag("correct", "true",
               "Correct what a replica is expected to do by what was measured in the interval."),
          number("power_cap", Dimension::Power, "0 W", 0, 1e12,
                 "Most power of both pools, chips at the two figures below; 0: none."),
          number("prefill_chip_power", Dimension::Power, "0 W", 0, 1e9,
                 "What a chip of a replica for prompts counts, its own cap."),
          number("decode_chip_power", Dimension::Power, "0 W", 0, 1e9,
                 "The same of a replica for tokens."),
      },
      {}};
}

Planner build_planner(const Tree& tree, ReadContext& context) {
  const MapReader reader(tree, planner_section(), "planner", context);
  Planner planner;
  if (!tree.is_map()) return planner;
  planner.interval = from_seconds(reader.number("interval"));
  planner.ttft = from_seconds(reader.number("ttft"));
  planner.itl = from_seconds(reader.number("itl"));
  planner.start_time = from_seconds(reader.number("start_time"));
  planner.least_replicas = reader.count("least_replicas");
  planner.chip_budget = reader.count("chip_budget");
  planner.corrects = reader.flag("correct");
  planner.power_cap_w = reader.number("power_cap");
  planner.prefill_chip_w = reader.number("prefill_chip_power");
  planner.decode_chip_w = reader.number("decode_chip_power");
  for (const char* key : {"prefill_chip_power", "decode_chip_power"}) {
    if ((planner.power_cap_w > 0) == reader.has(key)) continue;
    reader.report(planner.power_cap_w > 0 ? "power_cap" : key,
                  fmt::format("'power_cap' and '{}' go together; write both, e.g. 'power_cap: 20 "
                              "kW, {}: 700 W', or leave both out",
                              key, key));
  }
  return planner;
}

namespace {

std::int64_t chips_of(const PoolPlacement& pool) {
  return pool.gang() * pool.pipeline;
}

/// The least of both pools has to be within a limit.
void check_budget(const char* key, double least, double limit, const std::string& text,
                  const Tree& planner, Problems& problems) {
  if (limit <= 0 || least <= limit) return;
  problems.report(planner.find(key)->place,
                  fmt::format("'{}' is less than the {} that 'least_replicas' of both pools take; "
                              "write at least that",
                              key, text));
}

}  // namespace

void check_planner(const Scenario& scenario, const Tree& tree, Problems& problems) {
  const Tree* serving = tree.find("serving");
  const Tree* planner = serving == nullptr ? nullptr : serving->find("planner");
  if (planner == nullptr || !scenario.serving.planner) return;
  const Placement& placement = scenario.placement;
  if (placement.mode != PlacementMode::Disaggregated) {
    problems.report(planner->place,
                    "'planner' is for mode disaggregated, whose pools it scales; leave it out");
    return;
  }
  const Planner& rules = *scenario.serving.planner;
  const std::int64_t fewest = std::min(placement.prefill.replicas, placement.decode.replicas);
  if (rules.least_replicas > fewest) {
    const Tree* least = planner->find("least_replicas");
    problems.report(
        least->place,
        fmt::format("'least_replicas' is {}, more than the {} replicas of a pool of the "
                    "placement",
                    rules.least_replicas, fewest));
  }
  const auto least = static_cast<double>(rules.least_replicas);
  const auto prefill = least * static_cast<double>(chips_of(placement.prefill));
  const auto decode = least * static_cast<double>(chips_of(placement.decode));
  check_budget("chip_budget", prefill + decode, static_cast<double>(rules.chip_budget),
               fmt::format("{:.0f} chips", prefill + decode), *planner, problems);
  const double watts = prefill * rules.prefill_chip_w + decode * rules.decode_chip_w;
  check_budget("power_cap", watts, rules.power_cap_w, fmt::format("{:.0f} W", watts), *planner,
               problems);
}

}  // namespace tandem::config
