// Money, carbon and energy of a result beside its summary, for the JSON result.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "sim/report/result_json.hpp"

namespace tandem {

/// `economics`: figures of economics_of(), null where the price book has no such price.
[[nodiscard]] nlohmann::ordered_json economics_json(const ReportInput& input);
/// Joules by component, cooling of the site with them; null where no activity was counted.
[[nodiscard]] nlohmann::ordered_json energy_breakdown_json(const ReportInput& input);
/// Numbers by name; null where there are none.
[[nodiscard]] nlohmann::ordered_json numbers_json(const std::map<std::string, double>& numbers);

}  // namespace tandem
