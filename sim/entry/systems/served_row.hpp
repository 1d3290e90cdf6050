// One row of a table of whole services, under the manifest's names.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"

namespace tandem::entry {

/// Texts by name: the manifest's columns and fixed values; every other column under its own name.
class ServedRow {
 public:
  ServedRow(const ManifestSystemTable& table, const CsvTable& csv, std::size_t row);
  /// Empty where there is none.
  [[nodiscard]] std::string text(const std::string& name) const;
  /// None where there is none, or none that is a number above zero.
  [[nodiscard]] std::optional<double> number(const std::string& name) const;
  /// The nearest whole number; `otherwise` where there is none.
  [[nodiscard]] std::int64_t count(const std::string& name, std::int64_t otherwise) const;
  /// File of the table.
  [[nodiscard]] const std::string& table() const { return table_; }
  [[nodiscard]] bool has(const std::string& name) const { return !text(name).empty(); }
  void set(const std::string& name, std::string value) { texts_[name] = std::move(value); }

 private:
  std::string table_;
  std::map<std::string, std::string> texts_;
};

/// Whether `text` has `part` in it.
[[nodiscard]] inline bool mentions(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace tandem::entry
