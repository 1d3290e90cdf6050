// Results for people: one page per run.
#pragma once

#include <string>

#include "sim/report/result_json.hpp"

namespace tandem {

/// One page: the figures with their bands and floors, pools, links, steps, inputs that matter most.
[[nodiscard]] std::string run_page(const ReportInput& input);

}  // namespace tandem
