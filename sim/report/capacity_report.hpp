// Systems side by side, each at the highest load that meets its objectives.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/account/accounting.hpp"
#include "sim/account/sensitivity.hpp"
#include "sim/report/load_band.hpp"
#include "sim/service/capacity.hpp"

namespace tandem {

/// A system at its highest load.
struct CapacityReport {
  const Scenario& scenario;
  const CapacityResult& capacity;
  const Accounting& accounting;    ///< of the run at that load
  const Sensitivity& sensitivity;  ///< of the same
  const LoadBand& load_band;       ///< of that load
};

/// Output tokens per second over what they take; absent where that is not known.
struct CapacityShares {
  double per_chip = 0;                     ///< of the chips placed
  std::optional<double> per_usd_per_hour;  ///< of those chips and their hosts
  std::optional<double> per_w;             ///< average power
  std::optional<double> per_rack;  ///< of the racks that those chips fill, as parts of whole ones
};
[[nodiscard]] CapacityShares capacity_shares(const CapacityReport& report);

/// One table, what limits each system, and curves of throughput against interactivity below.
[[nodiscard]] std::string capacity_page(const std::vector<CapacityReport>& reports);

/// {"systems": [{scenario, load, load_band, load_band_note, load_unit, tolerance, limit, warnings,
/// bottleneck, per, next, curve, result}, ...]}.
[[nodiscard]] std::string capacity_json(const std::vector<CapacityReport>& reports);

/// The curves, one row per system and load: scenario, load, load_unit, output_tokens_per_s,
/// output_tokens_per_s_per_chip, output_tokens_per_s_per_user, ttft_p50_ms, ttft_p99_ms,
/// tpot_p50_ms, tpot_p99_ms, utilisation, meets_slo, saturated.
[[nodiscard]] std::string capacity_csv(const std::vector<CapacityReport>& reports);

}  // namespace tandem
