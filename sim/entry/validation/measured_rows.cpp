#include "sim/entry/validation/measured_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "sim/core/random.hpp"

namespace tandem::entry {
namespace {

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool passes(const ManifestFilter& filter, const std::string& cell) {
  const bool listed =
      std::find(filter.values.begin(), filter.values.end(), cell) != filter.values.end();
  switch (filter.kind) {
    case ManifestFilter::Kind::Keep:
      return listed;
    case ManifestFilter::Kind::Drop:
      return !listed;
    case ManifestFilter::Kind::Minimum:
      break;
  }
  const auto value = number_of(cell);
  return value && *value >= filter.minimum;
}

/// Where the inputs of a table stand in its file.
struct Layout {
  std::vector<std::pair<std::string, std::size_t>> columns;
  std::size_t measured = 0;
};

std::size_t column_of(const CsvTable& csv, const std::string& column, const SourcePlace& place,
                      DiagnosticSink& sink) {
  const auto index = csv.find(column);
  if (index) return *index;
  const std::string near = closest_match(column, csv.header());
  sink.report(place, fmt::format("'{}' has no column '{}'{}", csv.header_place().file, column,
                                 near.empty() ? "" : fmt::format("; is it '{}'?", near)));
  return 0;
}

Layout layout_of(const ManifestTable& table, const CsvTable& csv) {
  DiagnosticSink sink;
  Layout layout;
  for (const auto& [name, column] : table.columns) {
    layout.columns.emplace_back(name, column_of(csv, column, table.place, sink));
  }
  layout.measured = column_of(csv, table.measured, table.place, sink);
  sink.throw_if_any();
  return layout;
}

MeasuredRow measured_row(const ManifestTable& table, const CsvTable& csv, const Layout& layout,
                         std::size_t index) {
  MeasuredRow row;
  row.place = csv.place(index, layout.measured);
  for (const auto& [name, value] : table.fixed) row.inputs[name] = {value, table.place};
  for (const auto& [name, column] : layout.columns) {
    row.inputs[name] = {csv.cell(index, column), csv.place(index, column)};
  }
  const auto value = number_of(csv.cell(index, layout.measured));
  row.measured = value.value_or(0) * table.scale;
  if (!(row.measured > 0)) {
    row.problem = fmt::format("'{}' is not a positive number", table.measured);
  }
  return row;
}

std::string dtype_of(const ManifestTable& table, const CsvTable& csv, const Layout& layout,
                     std::size_t index) {
  for (const auto& [name, column] : layout.columns) {
    if (name == "dtype") return csv.cell(index, column);
  }
  for (const auto& [name, value] : table.fixed) {
    if (name == "dtype") return value;
  }
  return {};
}

}  // namespace

std::vector<std::size_t> filtered_rows(const ManifestTable& table, const CsvTable& csv) {
  DiagnosticSink sink;
  std::vector<std::size_t> columns;
  for (const ManifestFilter& filter : table.filters) {
    columns.push_back(column_of(csv, filter.column, filter.place, sink));
  }
  sink.throw_if_any();
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < csv.rows(); ++i) {
    bool keep = true;
    for (std::size_t f = 0; keep && f < columns.size(); ++f) {
      keep = passes(table.filters[f], csv.cell(i, columns[f]));
    }
    if (keep) rows.push_back(i);
  }
  return rows;
}

std::vector<std::size_t> sampled_rows(std::vector<std::size_t> rows, std::int64_t count,
                                      std::uint64_t seed, const std::string& name) {
  const auto size = static_cast<std::int64_t>(rows.size());
  if (size <= count) return rows;
  RandomStream random(seed, name);
  for (std::int64_t i = 0; i < count; ++i) {  // the first `count` places of a Fisher-Yates shuffle
    std::swap(rows[static_cast<std::size_t>(i)],
              rows[static_cast<std::size_t>(random.integer(i, size - 1))]);
  }
  rows.resize(static_cast<std::size_t>(count));
  std::sort(rows.begin(), rows.end());
  return rows;
}

std::vector<MeasuredGroup> measured_groups(const ManifestTable& table, const CsvTable& csv,
                                           const RowSample& sample) {
  const Layout layout = layout_of(table, csv);
  std::map<std::string, std::vector<std::size_t>> by_dtype;
  for (const std::size_t row : filtered_rows(table, csv)) {
    by_dtype[dtype_of(table, csv, layout, row)].push_back(row);
  }
  std::vector<MeasuredGroup> groups;
  for (auto& [dtype, rows] : by_dtype) {
    MeasuredGroup group;
    group.dtype = dtype;
    group.table_rows = static_cast<std::int64_t>(rows.size());
    if (sample.rows) {
      rows = sampled_rows(std::move(rows), *sample.rows, sample.seed,
                          fmt::format("validate/{}/{}", table.id, dtype));
    }
    for (const std::size_t row : rows) {
      group.rows.push_back(measured_row(table, csv, layout, row));
    }
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace tandem::entry
