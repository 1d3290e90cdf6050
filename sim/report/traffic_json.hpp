// Parts of the JSON result that say what became of groups, sessions, prompts and their KV. Null
// where a run has none.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "sim/core/statistics.hpp"
#include "sim/report/result_json.hpp"

namespace tandem {

using Json = nlohmann::ordered_json;

/// Null without a value.
[[nodiscard]] Json optional_number(const std::optional<double>& value);
/// Mean and percentiles; null for an empty sample.
[[nodiscard]] Json distribution(const Summary& s);

[[nodiscard]] Json groups_json(const ReportInput& input);
/// Tokens that were found per tier, bytes each way, and shares of the run in which ways are in use:
/// those of hosts are summed over the replicas.
[[nodiscard]] Json kv_tiers_json(const RunResult& result);
/// Prompts between pools: where they were computed, and what of them crossed.
[[nodiscard]] Json prompts_json(const RunResult& result);
[[nodiscard]] Json sessions_json(const RunResult& result);
/// Replicas that were on, means over the run, and every decision: what it went by, and what cut it.
[[nodiscard]] Json planner_json(const RunResult& result);

}  // namespace tandem
