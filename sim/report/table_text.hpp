// Figures and tables as text for people.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/account/sensitivity.hpp"

namespace tandem {

/// Four digits or so; "-" for none.
[[nodiscard]] std::string number(double value);
[[nodiscard]] std::string number(const std::optional<double>& value);

/// "  [low, high]".
[[nodiscard]] std::string ends_text(double low, double high);
/// The same of a figure, or nothing where ranged inputs do not move the figure.
[[nodiscard]] std::string band_text(const Sensitivity& sensitivity, const std::string& key,
                                    const std::optional<double>& value);

using TableRow = std::vector<std::string>;

/// Columns as wide as their widest cell: the first to the left, the others to the right.
[[nodiscard]] std::string table(const std::vector<TableRow>& rows);

}  // namespace tandem
