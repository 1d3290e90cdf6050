// Energy and money of a run: activity times energy per count, static power times time, capital or
// rent, electricity and hosting.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/describe/scenario.hpp"
#include "sim/service/service.hpp"

namespace tandem {

/// Joules by where they went; chips and links of the placement, and the host's share.
struct EnergyParts {
  double chips_dynamic = 0;
  std::map<std::string, double> chips_by_group;  ///< dynamic and static, by pool of the system
  double chips_static = 0;
  double links = 0;
  double host = 0;
  /// All of it, by what draws it: idle (at rest, always), active (clocks while kernels run),
  /// compute, sram (L2 or the LPU's memory), hbm, links, hosts. What a lower voltage saves is taken
  /// from compute.
  std::map<std::string, double> by_component;
  [[nodiscard]] double total() const { return chips_dynamic + chips_static + links + host; }
};

/// Absent: it does not apply (no activity was counted, no price is known).
struct Accounting {
  std::optional<EnergyParts> energy_j;
  std::optional<double> average_power_w;
  std::optional<double> energy_j_per_output_token;
  std::optional<double> tokens_per_s_per_mw;  ///< output tokens
  std::optional<double> usd_per_hour;         ///< the whole system named
  std::optional<double> usd_per_hour_used;    ///< the chips placed, with their share of the host
  /// usd_per_hour_used by what it pays: capital, rent, electricity of each component of the energy
  /// and of cooling, hosting, hours in which models are loaded; empty where no activity was
  /// counted.
  std::map<std::string, double> usd_per_hour_by_component;
  std::optional<double> usd_per_m_input_tokens;
  std::optional<double> usd_per_m_output_tokens;
  std::optional<double> usd_per_m_total_tokens;
};

/// Hosts' watts per chip of a pool: its own hosts, and its share of what serves all chips.
[[nodiscard]] double host_watts_per_chip(const System& system, const std::string& pool);

/// Static power and energy per activity count of a pool's chip.
struct EnergyCoefficients {
  double static_power_w = 0;
  std::map<std::string, double> energy_per_count_j;
};

/// Accounts for a run. Host power and the prices of the whole system fall on placed chips by their
/// share of all chips. Electricity and hosting are charged on the power drawn where chips are
/// owned; rent includes them. Hours are those of service, which pay for hours in which models are
/// loaded. Costs per token use usd_per_hour_used, split between prompt and
/// generated tokens by their analytical time in the passes; idle time follows the same shares.
/// Throws ModelError for an activity without an energy per count.
[[nodiscard]] Accounting account(const Scenario& scenario, const RunResult& result);

/// As account(), with other coefficients (by pool name) and the run's time scaled: for bands.
[[nodiscard]] Accounting account_with(const Scenario& scenario, const RunResult& result,
                                      const std::map<std::string, EnergyCoefficients>& coefficients,
                                      double time_scale);

}  // namespace tandem
