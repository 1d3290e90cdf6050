// Reads comma-separated tables with places for error messages (RFC 4180 quoting).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {

/// A table with a header. Cells are text; line and column of each are known.
class CsvTable {
 public:
  /// Parses `text`. Throws ConfigError with every broken row: missing header, duplicate column
  /// names, rows of the wrong width, unterminated quotes.
  CsvTable(std::string file, std::string_view text);

  [[nodiscard]] const std::vector<std::string>& header() const { return header_; }
  [[nodiscard]] std::size_t rows() const { return rows_.size(); }
  [[nodiscard]] bool has(std::string_view column) const;
  /// Index of a column; none when the table lacks it.
  [[nodiscard]] std::optional<std::size_t> find(std::string_view column) const;
  [[nodiscard]] const std::string& cell(std::size_t row, std::size_t column) const {
    return rows_[row].cells[column];
  }
  [[nodiscard]] SourcePlace place(std::size_t row, std::size_t column) const;
  [[nodiscard]] SourcePlace header_place() const { return {file_, 1, 1}; }

 private:
  struct Row {
    int line = 0;
    std::vector<std::string> cells;
    std::vector<int> columns;
  };
  std::string file_;
  std::vector<std::string> header_;
  std::vector<Row> rows_;
};

/// A whole number from 1 to `most`, nothing beside it; none for other text.
[[nodiscard]] std::optional<std::int64_t> whole_number(std::string_view text, std::int64_t most);

/// Runs `use` of a cell. What it throws becomes complaints about the cell, except where a
/// ConfigError names a file of its own.
void blame_cell(const SourcePlace& cell, std::vector<Diagnostic>& problems,
                const std::function<void()>& use);

/// A cell quoted for output when it needs to be.
[[nodiscard]] std::string csv_quoted(const std::string& cell);

}  // namespace tandem
