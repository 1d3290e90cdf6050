// The object of a result, for texts that hold several of them.
#pragma once

#include <nlohmann/json.hpp>

#include "sim/report/result_json.hpp"

namespace tandem {

/// result_json() as a value; comparable_json() without `run`.
[[nodiscard]] nlohmann::ordered_json result_object(const ReportInput& input, bool with_run);

}  // namespace tandem
