#include "sim/entry/systems/served_row.hpp"

#include <cmath>
#include <cstdlib>

namespace tandem::entry {

ServedRow::ServedRow(const ManifestSystemTable& table, const CsvTable& csv, std::size_t row)
    : table_(table.file) {
  for (std::size_t i = 0; i < csv.header().size(); ++i) texts_[csv.header()[i]] = csv.cell(row, i);
  // Names of the manifest may be those of other columns.
  std::map<std::string, std::string> named = table.fixed;
  for (const auto& [name, column] : table.columns) {
    if (const auto index = csv.find(column)) named[name] = csv.cell(row, *index);
  }
  for (auto& [name, value] : named) texts_[name] = std::move(value);
}

std::string ServedRow::text(const std::string& name) const {
  const auto found = texts_.find(name);
  return found == texts_.end() ? std::string{} : found->second;
}

std::optional<double> ServedRow::number(const std::string& name) const {
  const std::string value = text(name);
  char* end = nullptr;
  const double number = std::strtod(value.c_str(), &end);
  if (value.empty() || *end != '\0' || !std::isfinite(number) || number <= 0) return std::nullopt;
  return number;
}

std::int64_t ServedRow::count(const std::string& name, std::int64_t otherwise) const {
  const auto value = number(name);
  return value ? std::llround(*value) : otherwise;
}

}  // namespace tandem::entry
