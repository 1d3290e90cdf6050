// Results for people: one page per run, one table per comparison.
#pragma once

#include <string>
#include <vector>

#include "sim/report/result_json.hpp"

namespace tandem {

/// One page: the figures with their bands and floors, pools, links, steps, inputs that matter most.
[[nodiscard]] std::string run_page(const ReportInput& input);

/// Systems side by side, each at the highest load that meets its SLO, and what limits it; with
/// curves, throughput against interactivity below.
[[nodiscard]] std::string capacity_page(const std::vector<CapacityReport>& reports);

}  // namespace tandem
