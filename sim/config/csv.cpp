#include "sim/config/csv.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace tandem {
namespace {

/// Walks the text cell by cell, keeping line and column.
class Scanner {
 public:
  Scanner(std::string_view text, const std::string& file, DiagnosticSink& sink)
      : text_(text), file_(file), sink_(sink) {}

  [[nodiscard]] bool at_end() const { return next_ >= text_.size(); }
  [[nodiscard]] int line() const { return line_; }
  [[nodiscard]] int column() const { return column_; }

  /// Reads one cell; `ends_row` tells whether a line break or the end followed it.
  std::string cell(bool& ends_row) {
    std::string value;
    if (!at_end() && text_[next_] == '"') {
      value = quoted();
    } else {
      while (!at_end() && text_[next_] != ',' && text_[next_] != '\n') value += take();
      if (!value.empty() && value.back() == '\r') value.pop_back();
    }
    if (!at_end() && text_[next_] == '\r') take();
    ends_row = at_end() || text_[next_] == '\n';
    if (!at_end()) take();
    return value;
  }

 private:
  char take() {
    const char c = text_[next_++];
    if (c == '\n') {
      ++line_;
      column_ = 1;
    } else {
      ++column_;
    }
    return c;
  }

  std::string quoted() {
    const SourcePlace start{file_, line_, column_};
    std::string value;
    take();
    while (!at_end()) {
      const char c = take();
      if (c != '"') {
        value += c;
      } else if (!at_end() && text_[next_] == '"') {
        value += take();
      } else {
        return value;
      }
    }
    sink_.report(start, "quoted cell is never closed; add the closing '\"'");
    return value;
  }

  std::string_view text_;
  const std::string& file_;
  DiagnosticSink& sink_;
  std::size_t next_ = 0;
  int line_ = 1;
  int column_ = 1;
};

}  // namespace

CsvTable::CsvTable(std::string file, std::string_view text) : file_(std::move(file)) {
  DiagnosticSink sink;
  Scanner scanner(text, file_, sink);
  while (!scanner.at_end()) {
    Row row;
    row.line = scanner.line();
    bool ends_row = false;
    while (!ends_row) {
      row.columns.push_back(scanner.column());
      row.cells.push_back(scanner.cell(ends_row));
    }
    if (row.cells.size() == 1 && row.cells[0].empty()) continue;
    if (header_.empty()) {
      header_ = row.cells;
      continue;
    }
    if (row.cells.size() != header_.size()) {
      sink.report({file_, row.line, 1}, fmt::format("row has {} cells, the header has {}",
                                                    row.cells.size(), header_.size()));
    }
    rows_.push_back(std::move(row));
  }
  if (header_.empty()) sink.report({file_, 1, 1}, "empty table; write a header with column names");
  std::set<std::string> seen;
  for (const std::string& name : header_) {
    if (!seen.insert(name).second) {
      sink.report({file_, 1, 1}, fmt::format("column '{}' appears twice", name));
    }
  }
  sink.throw_if_any();
}

bool CsvTable::has(std::string_view column) const {
  return find(column).has_value();
}

std::optional<std::size_t> CsvTable::find(std::string_view column) const {
  const auto it = std::find(header_.begin(), header_.end(), column);
  if (it == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(it - header_.begin());
}

SourcePlace CsvTable::place(std::size_t row, std::size_t column) const {
  return {file_, rows_[row].line, rows_[row].columns[column]};
}

std::optional<std::int64_t> whole_number(std::string_view text, std::int64_t most) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  if (!is_whole || value < 1 || value > most) return std::nullopt;
  return value;
}

void blame_cell(const SourcePlace& cell, std::vector<Diagnostic>& problems,
                const std::function<void()>& use) {
  try {
    use();
  } catch (const ConfigError& error) {
    for (Diagnostic problem : error.diagnostics()) {
      if (problem.place.file.empty()) problem.place = cell;
      problems.push_back(std::move(problem));
    }
  } catch (const ModelError& error) {
    problems.push_back({cell, error.what()});
  }
}

std::string csv_quoted(const std::string& cell) {
  if (cell.find_first_of(",\"\n\r") == std::string::npos) return cell;
  std::string out = "\"";
  for (const char c : cell) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

}  // namespace tandem
