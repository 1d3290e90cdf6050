// Bands beside the figures of a result, for the JSON result.
#pragma once

#include "sim/report/traffic_json.hpp"

namespace tandem {

/// The shape of `summary` and `economics` (under that key) with [low, high] in the place of
/// numbers; null where a figure has no band.
[[nodiscard]] Json bands_json(const ReportInput& input, const Json& summary, const Json& economics);

}  // namespace tandem
