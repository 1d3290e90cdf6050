#include "sim/entry/lpu_products.hpp"

#include <fmt/format.h>

#include <optional>

#include "models/lpu/chip_params.hpp"
#include "sim/config/csv.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/entry/lpu_tools.hpp"

namespace tandem::entry {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Operations stay far from the end of 53 bits.
constexpr std::int64_t most_times = 1'000'000;
constexpr std::int64_t longest_side = 65'536;

std::optional<lpu::Type> product_type(std::string_view name) {
  for (const lpu::Type type :
       {lpu::Type::Int8, lpu::Type::Fp8E4m3, lpu::Type::Float16, lpu::Type::Bfloat16}) {
    if (name == lpu::name_of(type)) return type;
  }
  return std::nullopt;
}

std::optional<PublishedProducts::Part> part_of(std::string_view text, lpu::Type type) {
  const auto cells = split(text, ':');
  if (cells.size() != 4) return std::nullopt;
  const auto side = [&](std::size_t i) { return whole_number(cells[i], longest_side); };
  const auto times = whole_number(cells[0], most_times);
  const auto m = side(1), k = side(2), n = side(3);
  if (!times || !m || !k || !n) return std::nullopt;
  return PublishedProducts::Part{*times, {*m, *k, *n, type}};
}

double operations(const PublishedProducts& products) {
  double sum = 0;
  for (const auto& [times, shape] : products.parts) {
    sum += 2.0 * static_cast<double>(times * shape.m * shape.k * shape.n);
  }
  return sum;
}

// Shares below which operands need more rows than all banks have: a row of the product takes its
// inputs on both sides and its outputs in fp32.
std::int64_t fewest_shares(const lpu::GemmShape& shape, const lpu::Geometry& geometry) {
  const std::int64_t width = lpu::streams_of(shape.type), lanes = geometry.lanes();
  const std::int64_t k_tiles = ceil_div(shape.k, lanes), n_tiles = ceil_div(shape.n, lanes);
  const std::int64_t rows =
      std::int64_t{geometry.mem_slices()} * geometry.banks * geometry.rows_per_bank;
  const std::int64_t free = rows - k_tiles * n_tiles * lanes * width;
  const std::int64_t needed = 2 * width * k_tiles + 4 * n_tiles;
  if (free < needed) {
    throw ModelError("the weights of a product do not fit the SRAM");
  }
  return ceil_div(shape.m, free / needed);
}

// Rows in as few equal shares as fit the SRAM, one share after the other.
std::int64_t cycles_in_shares(const lpu::GemmShape& shape, const Chip& chip) {
  const lpu::Geometry geometry = lpu::geometry_of(chip);
  const lpu::LatencyTable latencies = lpu::latencies_of(chip);
  for (std::int64_t shares = fewest_shares(shape, geometry);; ++shares) {
    lpu::GemmShape share = shape;
    share.m = (shape.m + shares - 1) / shares;
    try {
      const auto gemm = lpu::compile_gemm(geometry, latencies, chip.name, share);
      return shares * (gemm.cycles - latencies.barrier);
    } catch (const ModelError&) {
      if (share.m == 1) throw;
    }
  }
}

// Columns of tiles that would leave half of the planes idle are held by both hemispheres, each for
// half of the rows: a product of half as many rows and twice as many columns.
std::int64_t cycles_of(const lpu::GemmShape& shape, const Chip& chip) {
  const lpu::Geometry geometry = lpu::geometry_of(chip);
  const std::int64_t lanes = geometry.lanes();
  const std::int64_t units = geometry.planes / lpu::streams_of(shape.type);
  const std::int64_t tiles = (shape.n + lanes - 1) / lanes;
  const std::int64_t over = tiles % units;
  if (over == 0 || 2 * over > units || shape.m < 2) return cycles_in_shares(shape, chip);
  lpu::GemmShape full = shape, rest = shape;
  full.n = (tiles - over) * lanes;
  rest.m = (shape.m + 1) / 2;
  rest.n = 2 * over * lanes;
  return (full.n > 0 ? cycles_in_shares(full, chip) : 0) + cycles_in_shares(rest, chip);
}

// A pair of planes multiplies half a tile per cycle in two-byte types.
double operations_per_cycle(const lpu::Geometry& geometry, lpu::Type type) {
  const double one_byte = 2.0 * geometry.planes * geometry.plane_rows * geometry.plane_columns;
  return lpu::streams_of(type) == 2 ? one_byte / 4 : one_byte;
}

}  // namespace

std::vector<PublishedProducts> read_products(const std::string& file, std::string_view text) {
  const CsvTable table(file, text);
  std::vector<Diagnostic> problems;
  for (const char* column :
       {"id", "chip", "type", "products", "stated", "unit", "mark", "source", "note"}) {
    if (!table.has(column)) {
      problems.push_back({table.header_place(), fmt::format("no column '{}'", column)});
    }
  }
  if (!problems.empty()) throw ConfigError(problems);
  std::vector<PublishedProducts> rows;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto cell = [&](const char* column) { return table.cell(row, *table.find(column)); };
    const auto problem = [&](const char* column, const std::string& message) {
      problems.push_back({table.place(row, *table.find(column)), message});
    };
    PublishedProducts products{cell("id"),
                               cell("chip"),
                               {},
                               0,
                               cell("unit") != "us",
                               cell("mark"),
                               cell("source"),
                               cell("note"),
                               table.place(row, *table.find("chip")),
                               table.place(row, *table.find("products"))};
    const auto type = product_type(cell("type"));
    if (!type) problem("type", fmt::format("'{}' is no type that planes multiply", cell("type")));
    const std::string parts = cell("products");
    for (const std::string_view part : split(parts, ';')) {
      const auto found = part_of(part, type.value_or(lpu::Type::Int8));
      if (!found) problem("products", fmt::format("'{}' is not times:m:k:n", part));
      if (found) products.parts.push_back(*found);
    }
    const auto stated = whole_number(cell("stated"), most_times);
    if (!stated)
      problem("stated",
              fmt::format("'{}' is no whole number from 1 to {}", cell("stated"), most_times));
    products.stated = static_cast<double>(stated.value_or(1));
    if (cell("unit") != "us" && cell("unit") != "percent of peak") {
      problem("unit", fmt::format("'{}' where us or percent of peak is needed", cell("unit")));
    }
    rows.push_back(std::move(products));
  }
  if (!problems.empty()) throw ConfigError(problems);
  return rows;
}

std::int64_t cycles_of(const PublishedProducts& products, const Chip& chip) {
  std::int64_t cycles = 0;
  for (const auto& [times, shape] : products.parts) cycles += times * cycles_of(shape, chip);
  return cycles;
}

namespace {

std::string products_row(const PublishedProducts& row, const Chip& chip) {
  const lpu::Type type = row.parts.front().shape.type;
  const auto cycles = static_cast<double>(cycles_of(row, chip));
  const double peak = operations_per_cycle(lpu::geometry_of(chip), type);
  const double figure = row.is_share ? 100 * operations(row) / cycles / peak
                                     : 1e6 * cycles / chip.parameters.value("clock");
  const char* unit = row.is_share ? "% of peak" : "us";
  return fmt::format("| {} | {} | {} | {:.0f} {} | {:.1f} {} | {:.2f} | {} ({}) |\n", row.id,
                     row.chip, lpu::name_of(type), row.stated, unit, figure, unit,
                     figure / row.stated, row.note, row.source);
}

}  // namespace

std::string products_section(const Context& context, const std::string& file) {
  std::string page =
      "\n## Products\n\nCompiled products, from SRAM to SRAM, one after the other; nothing fitted. "
      "Of BERT only the products of the encoders are there: a lower bound of its time.\n\n"
      "| figure | chip | type | stated | compiled | compiled over stated | what |\n"
      "|---|---|---|---:|---:|---:|---|\n";
  std::vector<Diagnostic> problems;
  for (const PublishedProducts& row : read_products(file, read_file(file))) {
    std::optional<Chip> chip;
    blame_cell(row.chip_place, problems, [&] { chip = lpu_named(context, row.chip); });
    if (!chip) continue;
    blame_cell(row.products_place, problems, [&] { page += products_row(row, *chip); });
  }
  if (!problems.empty()) throw ConfigError(problems);
  return page;
}

}  // namespace tandem::entry
