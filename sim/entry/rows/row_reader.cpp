#include "sim/entry/rows/row_reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace tandem::entry {
namespace {

const std::map<std::string, ElementType, std::less<>>& element_names() {
  static const std::map<std::string, ElementType, std::less<>> names = {
      {"bfloat16", ElementType::Bfloat16},
      {"float16", ElementType::Float16},
      {"float32", ElementType::Float32},
      {"fp8", ElementType::Fp8E4m3},
      {"int8", ElementType::Int8}};
  return names;
}

}  // namespace

std::string_view other_name(std::string_view column) {
  return column == "width" ? "inter" : "";
}

const NamedCell* find_cell(const NamedRow& row, std::string_view column) {
  auto found = row.find(column);
  if (found == row.end()) found = row.find(other_name(column));
  return found == row.end() ? nullptr : &found->second;
}

void RowReader::complain(const NamedCell* cell, std::string message) {
  if (std::find(bad_.begin(), bad_.end(), cell) != bad_.end()) return;
  bad_.push_back(cell);
  sink_.report(cell->place, std::move(message));
}

std::int64_t RowReader::integer(std::string_view column, std::int64_t minimum,
                                std::optional<std::int64_t> fallback, std::int64_t maximum) {
  const NamedCell* cell = find(column);
  if (cell == nullptr) return fallback.value_or(minimum);
  const std::string& text = cell->text;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_too_large = error == std::errc::result_out_of_range && text.front() != '-';
  const bool is_whole = error == std::errc{} && value >= minimum;
  if (end != text.data() + text.size() || (!is_whole && !is_too_large)) {
    complain(cell, fmt::format("'{}' is '{}'; write a whole number of at least {}", column, text,
                               minimum));
    return minimum;
  }
  if (is_too_large || value > maximum) {
    complain(cell, fmt::format("'{}' is '{}'; at most {} is supported", column, text, maximum));
    return maximum;
  }
  return value;
}

std::int64_t RowReader::batch() {
  return integer("batch", 1, std::nullopt, std::int64_t{1} << 20);
}

ElementType RowReader::element(std::string_view column, ElementType fallback) {
  const NamedCell* cell = find(column);
  if (cell == nullptr) return fallback;
  const auto found = element_names().find(cell->text);
  if (found != element_names().end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, type] : element_names()) known.push_back(name);
  complain(cell, fmt::format("'{}' is '{}'; supported types are {}", column, cell->text,
                             fmt::join(known, ", ")));
  return fallback;
}

const formats::Precision* RowReader::precision(std::string_view column) {
  const NamedCell* cell = find(column);
  if (cell == nullptr) return nullptr;
  std::vector<std::string> known;
  for (const formats::Precision& precision : formats::precisions()) {
    known.emplace_back(precision.name);
    if (precision.name != cell->text) continue;
    const bool is_plain = !precision.weight && !precision.activation;
    return is_plain ? nullptr : &precision;
  }
  complain(cell, fmt::format("'{}' is '{}'; known precisions are {}", column, cell->text,
                             fmt::join(known, ", ")));
  return nullptr;
}

std::string RowReader::text(std::string_view column, std::string_view fallback) {
  const NamedCell* cell = find(column);
  return cell == nullptr ? std::string(fallback) : cell->text;
}

void RowReader::refuse(std::string_view column, std::string_view what) {
  const NamedCell* cell = find(column);
  sink_.report(cell == nullptr ? SourcePlace{} : cell->place, std::string(what));
}

bool RowReader::is_warm(bool fallback) {
  const NamedCell* cell = find("l2");
  if (cell == nullptr) return fallback;
  if (cell->text != "warm" && cell->text != "cold") {
    complain(cell, fmt::format("'l2' is '{}'; write 'warm' or 'cold'", cell->text));
  }
  return cell->text == "warm";
}

}  // namespace tandem::entry
