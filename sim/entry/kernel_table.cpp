#include "sim/entry/kernel_table.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <optional>

namespace tandem::entry {
namespace {

const std::map<std::string, ElementType>& element_names() {
  static const std::map<std::string, ElementType> names = {{"bfloat16", ElementType::Bfloat16},
                                                           {"float16", ElementType::Float16},
                                                           {"float32", ElementType::Float32},
                                                           {"fp8", ElementType::Fp8E4m3},
                                                           {"int8", ElementType::Int8}};
  return names;
}

/// The other name under which a column is accepted; empty: none.
std::string_view other_name(std::string_view column) {
  return column == "width" ? "inter" : "";
}

const NamedCell* find_cell(const NamedRow& row, std::string_view column) {
  auto found = row.find(column);
  if (found == row.end()) found = row.find(other_name(column));
  return found == row.end() ? nullptr : &found->second;
}

/// Typed access to the cells of one row, collecting complaints.
class RowReader {
 public:
  RowReader(const NamedRow& row, DiagnosticSink& sink) : row_(row), sink_(sink) {}

  /// A whole number of at least `minimum`; `fallback` where the cell is absent.
  std::int64_t integer(std::string_view column, std::int64_t minimum,
                       std::optional<std::int64_t> fallback = std::nullopt) {
    const NamedCell* cell = find(column);
    if (cell == nullptr) return fallback.value_or(minimum);
    const std::string& text = cell->text;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    constexpr std::int64_t limit = std::int64_t{1} << 40;
    if (error != std::errc{} || end != text.data() + text.size() || value < minimum ||
        value > limit) {
      sink_.report(cell->place, fmt::format("'{}' is '{}'; write a whole number of at least {}",
                                            column, text, minimum));
      return minimum;
    }
    return value;
  }

  ElementType element(std::string_view column, ElementType fallback) {
    const NamedCell* cell = find(column);
    if (cell == nullptr) return fallback;
    const auto found = element_names().find(cell->text);
    if (found != element_names().end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [name, type] : element_names()) known.push_back(name);
    sink_.report(cell->place, fmt::format("'{}' is '{}'; supported types are {}", column,
                                          cell->text, fmt::join(known, ", ")));
    return fallback;
  }

  /// Complains where the cell is there and holds another text than the one supported.
  void refuse_unless(std::string_view column, std::string_view supported, std::string_view what) {
    const NamedCell* cell = find(column);
    if (cell == nullptr || cell->text == supported) return;
    sink_.report(cell->place, fmt::format("'{}' is '{}'; {} is not supported yet, write '{}'",
                                          column, cell->text, what, supported));
  }

  bool is_warm() {
    const NamedCell* cell = find("l2");
    if (cell == nullptr) return false;
    if (cell->text != "warm" && cell->text != "cold") {
      sink_.report(cell->place, fmt::format("'l2' is '{}'; write 'warm' or 'cold'", cell->text));
    }
    return cell->text == "warm";
  }

 private:
  const NamedCell* find(std::string_view column) const { return find_cell(row_, column); }

  const NamedRow& row_;
  DiagnosticSink& sink_;
};

Kernel gemm(RowReader& row) {
  GemmKernel shape;
  shape.m = row.integer("m", 1);
  shape.n = row.integer("n", 1);
  shape.k = row.integer("k", 1);
  shape.weights = shape.activations = row.element("dtype", ElementType::Bfloat16);
  Kernel kernel;
  kernel.role = "gemm";
  kernel.activations = shape.activations;
  kernel.shape = shape;
  return kernel;
}

Kernel attention(RowReader& row, bool is_decode) {
  AttentionKernel shape;
  const std::int64_t batch = row.integer("batch", 1);
  AttentionKernel::Span span;
  span.kv_len = row.integer("kv_len", 1);
  span.q_len = is_decode ? row.integer("q_len", 1, 1) : row.integer("q_len", 1);
  shape.spans.assign(static_cast<std::size_t>(std::min<std::int64_t>(batch, 1 << 20)), span);
  shape.heads = row.integer("heads", 1);
  shape.kv_heads = row.integer("kv_heads", 1);
  shape.head_dim = row.integer("head_dim", 1, 128);
  shape.window = row.integer("window", 0, 0);
  shape.causal = row.integer("causal", 0, 1) != 0;
  shape.activations = row.element("dtype", ElementType::Bfloat16);
  shape.kv = row.element("kv_dtype", shape.activations);
  Kernel kernel;
  kernel.role = is_decode ? "attention_decode" : "attention_prefill";
  kernel.activations = shape.activations;
  kernel.shape = shape;
  return kernel;
}

Kernel rows_by_width(RowReader& row, const std::string& op) {
  Kernel kernel;
  kernel.activations = row.element("dtype", ElementType::Bfloat16);
  const std::int64_t tokens = row.integer("tokens", 1);
  if (op == "rmsnorm") {
    kernel.role = "rmsnorm";
    kernel.shape = NormKernel{tokens, row.integer("hidden", 1)};
    row.refuse_unless("residual", "0", "the fused residual addition");
  } else {
    kernel.role = "silu_mul";
    kernel.shape = ActivationKernel{tokens, row.integer("width", 1)};
  }
  return kernel;
}

Kernel rope(RowReader& row) {
  RopeKernel shape;
  shape.tokens = row.integer("tokens", 1);
  shape.heads = row.integer("heads", 1);
  shape.kv_heads = row.integer("kv_heads", 1);
  shape.head_dim = row.integer("head_dim", 2, 128);
  Kernel kernel;
  kernel.role = "rope";
  kernel.activations = shape.kv = row.element("dtype", ElementType::Bfloat16);
  kernel.shape = shape;
  return kernel;
}

const std::map<std::string, std::vector<std::string>>& required_columns() {
  static const std::map<std::string, std::vector<std::string>> columns = {
      {"gemm", {"m", "n", "k", "dtype"}},
      {"attention_prefill", {"batch", "q_len", "kv_len", "heads", "kv_heads"}},
      {"attention_decode", {"batch", "kv_len", "heads", "kv_heads"}},
      {"rmsnorm", {"tokens", "hidden"}},
      {"silu_mul", {"tokens", "width"}},
      {"rope", {"tokens", "heads", "kv_heads"}}};
  return columns;
}

}  // namespace

std::vector<std::string> kernel_operators() {
  std::vector<std::string> names;
  for (const auto& [name, columns] : required_columns()) names.push_back(name);
  return names;
}

KernelRow kernel_row(const std::string& op, const NamedRow& row, DiagnosticSink& sink) {
  bool is_whole = true;
  for (const std::string& column : required_columns().at(op)) {
    if (find_cell(row, column) != nullptr) continue;
    sink.report({}, fmt::format("operator '{}' needs '{}'", op, column));
    is_whole = false;
  }
  if (!is_whole) return {};
  RowReader reader(row, sink);
  KernelRow result;
  if (op == "gemm") {
    result.kernel = gemm(reader);
  } else if (op == "rope") {
    result.kernel = rope(reader);
  } else if (op == "attention_prefill" || op == "attention_decode") {
    result.kernel = attention(reader, op == "attention_decode");
  } else {
    result.kernel = rows_by_width(reader, op);
  }
  result.warm = reader.is_warm();
  return result;
}

std::vector<KernelRow> kernel_rows(const CsvTable& table, const std::string& op) {
  const auto required = required_columns().find(op);
  if (required == required_columns().end()) {
    throw ConfigError(fmt::format("--op '{}' is not supported; supported are {}", op,
                                  fmt::join(kernel_operators(), ", ")));
  }
  DiagnosticSink sink;
  for (const std::string& column : required->second) {
    if (table.has(column) || table.has(other_name(column))) continue;
    const std::string near = closest_match(column, table.header());
    sink.report(table.header_place(),
                fmt::format("operator '{}' needs a column '{}'{}", op, column,
                            near.empty() ? "" : fmt::format("; is it '{}'?", near)));
  }
  sink.throw_if_any();
  std::vector<KernelRow> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    NamedRow row;
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      row[table.header()[c]] = {table.cell(i, c), table.place(i, c)};
    }
    rows.push_back(kernel_row(op, row, sink));
  }
  sink.throw_if_any();
  return rows;
}

}  // namespace tandem::entry
