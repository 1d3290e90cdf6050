// Typed access to the cells of one row, collecting complaints.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/entry/kernel_table.hpp"
#include "sim/numerics/formats/quant_format.hpp"

namespace tandem::entry {

/// The other name under which a column is accepted; empty: none.
[[nodiscard]] std::string_view other_name(std::string_view column);
[[nodiscard]] const NamedCell* find_cell(const NamedRow& row, std::string_view column);

/// Contract: a bad cell is reported to the sink with its place and read as the fallback.
class RowReader {
 public:
  /// Of any cell: products of two cells stay below 2^63 with room to spare.
  static constexpr std::int64_t largest_integer = std::int64_t{1} << 30;

  RowReader(const NamedRow& row, DiagnosticSink& sink) : row_(row), sink_(sink) {}

  [[nodiscard]] bool has(std::string_view column) const { return find(column) != nullptr; }

  /// A whole number from `minimum` to `maximum`; `fallback` where the cell is absent.
  std::int64_t integer(std::string_view column, std::int64_t minimum,
                       std::optional<std::int64_t> fallback = std::nullopt,
                       std::int64_t maximum = largest_integer);

  /// Sequences of one launch.
  std::int64_t batch();

  /// An element type by its name.
  ElementType element(std::string_view column, ElementType fallback);

  /// A precision by its name; null for names of plain element types and for absent cells.
  const formats::Precision* precision(std::string_view column);

  /// The cell's text; `fallback` where it is absent.
  std::string text(std::string_view column, std::string_view fallback);

  /// Complains about the cell, where there is one.
  void refuse(std::string_view column, std::string_view what);

  /// True for 'warm', false for 'cold', `fallback` for no cell.
  bool is_warm(bool fallback);

 private:
  [[nodiscard]] const NamedCell* find(std::string_view column) const {
    return find_cell(row_, column);
  }
  /// Reports once per cell: one that is no precision is no element type either.
  void complain(const NamedCell* cell, std::string message);

  const NamedRow& row_;
  std::vector<const NamedCell*> bad_;
  DiagnosticSink& sink_;
};

}  // namespace tandem::entry
