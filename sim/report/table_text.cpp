#include "sim/report/table_text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace tandem {

std::string number(double value) {
  const double size = value < 0 ? -value : value;
  if (size >= 1000) return fmt::format("{:.0f}", value);
  if (size >= 100) return fmt::format("{:.1f}", value);
  if (size >= 1) return fmt::format("{:.2f}", value);
  return fmt::format("{:.4f}", value);
}

std::string number(const std::optional<double>& value) {
  return value ? number(*value) : std::string("-");
}

std::string ends_text(double low, double high) {
  return fmt::format("  [{}, {}]", number(low), number(high));
}

std::string band_text(const Sensitivity& sensitivity, const std::string& key,
                      const std::optional<double>& value) {
  const auto found = sensitivity.bands.all.find(key);
  if (!value || found == sensitivity.bands.all.end()) return "";
  return ends_text(*value * found->second.low, *value * found->second.high);
}

std::string table(const std::vector<TableRow>& rows) {
  std::vector<std::size_t> widths;
  for (const TableRow& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const TableRow& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += i == 0 ? fmt::format("{:<{}}", row[i], widths[i])
                     : fmt::format("  {:>{}}", row[i], widths[i]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace tandem
