// Rows of measured services for tests.
#pragma once

#include <map>
#include <string>

#include "sim/entry/api.hpp"
#include "sim/entry/systems/served_case.hpp"

namespace tandem::entry {

inline const Context& context() {
  static const Context made = make_context();
  return made;
}

inline const ServedNames& names() {
  static const ServedNames made(context());
  return made;
}

/// A row with these cells, all of them canonical names.
inline ServedRow served_row(const std::map<std::string, std::string>& cells,
                            const std::string& file = "rows.csv") {
  ManifestSystemTable table;
  table.file = file;
  std::string header, values;
  for (const auto& [name, value] : cells) {
    table.columns[name] = name;
    header += (header.empty() ? "" : ",") + name;
    values += (values.empty() ? "" : ",") + value;
  }
  return {table, CsvTable("rows.csv", header + "\n" + values + "\n"), 0};
}

inline std::map<std::string, std::string> changes_of(const ServedCase& served) {
  std::map<std::string, std::string> changes;
  for (const Override& change : served.changes) changes[change.path] = change.value;
  return changes;
}

}  // namespace tandem::entry
