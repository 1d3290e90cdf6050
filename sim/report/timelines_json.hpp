// Series over the time of a run, and how JSON with series is written.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "sim/service/run_result.hpp"

namespace tandem {

/// {start_s, bin_s, output_tokens_per_s, pools: {NAME: {kv_unit, kv_capacity, waiting,
/// waiting_peak, running, running_peak, kv, kv_peak}}}: 50 equal parts of the time from the first
/// arrival to the last completion. Means over each part, and its highest values.
[[nodiscard]] nlohmann::ordered_json timelines_json(const RunResult& result);

/// JSON with lists of numbers on one line each, and a newline at its end.
[[nodiscard]] std::string text_of(const nlohmann::ordered_json& json);

}  // namespace tandem
