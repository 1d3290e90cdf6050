#include "sim/entry/kernel_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

const RowOperator* find_operator(const std::string& name) {
  const auto& all = row_operators();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const RowOperator& entry) { return entry.name == name; });
  return found == all.end() ? nullptr : &*found;
}

/// Copies of a layer part's weights that stand for all that a model loads before it comes again.
constexpr std::int64_t layers_between = 1 << 20;

}  // namespace

std::vector<std::string> kernel_operators() {
  std::vector<std::string> names;
  for (const RowOperator& entry : row_operators()) names.push_back(entry.name);
  return names;
}

KernelRun kernel_row(const std::string& op, const NamedRow& row, const Software& software,
                     DiagnosticSink& sink) {
  const RowOperator* entry = find_operator(op);
  if (entry == nullptr) {
    sink.report({}, fmt::format("operator '{}' is not supported", op));
    return {};
  }
  bool is_whole = true;
  for (const std::string& column : entry->columns) {
    if (find_cell(row, column) != nullptr) continue;
    sink.report({}, fmt::format("operator '{}' needs '{}'", op, column));
    is_whole = false;
  }
  if (!is_whole) return {};
  RowReader reader(row, sink);
  KernelRun run;
  run.kernels = entry->make(reader, software);
  run.warm = reader.is_warm(entry->follows_producer);
  run.sustained = reader.integer("sustained", 0, 0, 1) != 0;
  run.weight_copies =
      entry->follows_producer ? layers_between : replayed_weight_copies(run.kernels, software);
  run.overhead = product_overhead(run.kernels, software);
  if (entry->is_composed) {
    const bool is_attention = op.rfind("attention_", 0) == 0;
    const char* key = is_attention ? "attention_overhead" : "operator_overhead";
    run.overhead += from_seconds(software_value(software, key, 0));
  }
  if (entry->is_replayed_alone) {
    run.overhead += from_seconds(software_value(software, "replay_overhead", 0));
  }
  return run;
}

std::vector<KernelRun> kernel_rows(const CsvTable& table, const std::string& op,
                                   const Software& software, DiagnosticSink& bad_cells) {
  const RowOperator* entry = find_operator(op);
  if (entry == nullptr) {
    throw ConfigError(fmt::format("--op '{}' is not supported; supported are {}", op,
                                  fmt::join(kernel_operators(), ", ")));
  }
  DiagnosticSink sink;
  for (const std::string& column : entry->columns) {
    if (table.has(column) || table.has(other_name(column))) continue;
    const std::string near = closest_match(column, table.header());
    sink.report(table.header_place(),
                fmt::format("operator '{}' needs a column '{}'{}", op, column,
                            near.empty() ? "" : fmt::format("; is it '{}'?", near)));
  }
  sink.throw_if_any();
  std::vector<KernelRun> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    NamedRow row;
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      row[table.header()[c]] = {table.cell(i, c), table.place(i, c)};
    }
    const std::size_t before = bad_cells.size();
    KernelRun run = kernel_row(op, row, software, bad_cells);
    rows.push_back(bad_cells.size() == before ? std::move(run) : KernelRun{});
  }
  return rows;
}

std::vector<KernelRun> kernel_rows(const CsvTable& table, const std::string& op,
                                   const Software& software) {
  DiagnosticSink sink;
  std::vector<KernelRun> rows = kernel_rows(table, op, software, sink);
  sink.throw_if_any();
  return rows;
}

}  // namespace tandem::entry
