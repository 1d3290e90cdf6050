#include "sim/entry/validation/validation.hpp"

#include <fmt/format.h>

#include <memory>
#include <optional>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"
#include "sim/entry/validation/rows_csv.hpp"

namespace tandem::entry {
namespace {

constexpr const char* system_op = "system";

/// One run over the tables of a manifest.
class Validation {
 public:
  Validation(const Context& context, const ValidationRequest& request)
      : request_(request),
        manifest_(load_manifest(request.folder)),
        predictor_(context, request.predictor),
        progress_("validate") {
    answer_.notes = manifest_.unknown_keys;
    for (const ManifestTable& table : manifest_.tables) {
      if (is_wanted(table.file, table.op, table.chip)) tables_.push_back(&table);
    }
    rows_csv_ = std::make_unique<RowsCsv>(tables_);
  }

  ValidationAnswer run() {
    for (const ManifestTable* table : tables_) add_table(*table);
    for (const ManifestSystemTable& table : manifest_.system_tables) add_system_table(table);
    summarise_families();
    if (request_.with_rows) answer_.rows_csv = rows_csv_->take();
    return std::move(answer_);
  }

 private:
  bool is_wanted(const std::string& file, const std::string& op, const std::string& chip) const {
    const auto has = [&](const std::string& text) {
      return text.find(request_.only) != std::string::npos;
    };
    return request_.only.empty() || has(file) || has(op) || has(chip);
  }

  const CsvTable& csv_of(const std::string& file, const SourcePlace& place) {
    if (csv_ && csv_file_ == file) return *csv_;
    const std::string path = manifest_.folder + "/" + file;
    std::string text;
    try {
      text = read_file(path);
    } catch (const ConfigError&) {
      throw ConfigError(place, fmt::format("cannot read '{}'", path));
    }
    csv_ = std::make_unique<CsvTable>(path, text);
    csv_file_ = file;
    return *csv_;
  }

  void add_table(const ManifestTable& table) {
    const auto groups =
        measured_groups(table, csv_of(table.file, table.file_place), request_.sample);
    std::int64_t rows = 0;
    for (const MeasuredGroup& group : groups) {
      rows += group.table_rows;
      add_group(table, group);
    }
    if (table.rows > 0 && rows != table.rows) {
      answer_.notes.push_back(
          {table.place,
           fmt::format("table '{}' has {} rows after its filters, the manifest says {}", table.id,
                       rows, table.rows)});
    }
  }

  void add_group(const ManifestTable& table, const MeasuredGroup& group) {
    ValidationEntry entry;
    entry.table = table.id;
    entry.file = table.file;
    entry.op = table.op;
    entry.chip = table.chip;
    entry.dtype = group.dtype;
    entry.software = table.software;
    entry.layer = predictor_.software_for(table.software);
    entry.metric = table.target == ManifestTarget::Power ? "power" : "latency";
    entry.table_rows = group.table_rows;
    const auto tick = [&](std::size_t done, std::size_t all) {
      if (done % 16 == 0) {
        progress_.update(fmt::format("{} {}, {} of {} kernels", table.id, group.dtype, done, all));
      }
    };
    const std::vector<ScoredRow> scored = predictor_.predict(table, group.rows, tick);
    std::vector<const ScoredRow*> pointers;
    for (const ScoredRow& row : scored) {
      pointers.push_back(&row);
      if (!row.predicted) ++entry.not_predicted[row.reason];
    }
    entry.figures = figures_of(pointers);
    if (request_.with_rows) rows_csv_->add(entry, group.rows, scored);
    answer_.entries.push_back(std::move(entry));
    if (table.target == ManifestTarget::Power) return;
    auto& family = families_[{table.op, table.chip}];
    family.insert(family.end(), scored.begin(), scored.end());
  }

  void add_system_table(const ManifestSystemTable& table) {
    if (table.system_column.empty()) {
      if (!is_wanted(table.file, system_op, table.system)) return;
      for (const auto& metric : table.metrics) add_system(table, table.system, metric, table.rows);
      return;
    }
    if (!may_be_wanted(table)) return;
    const CsvTable& csv = csv_of(table.file, table.file_place);
    const auto system = csv.find(table.system_column);
    if (!system) {
      throw ConfigError(table.place, fmt::format("'{}' has no column '{}'", csv.header_place().file,
                                                 table.system_column));
    }
    std::map<std::string, std::vector<std::size_t>> by_system;
    for (std::size_t i = 0; i < csv.rows(); ++i) by_system[csv.cell(i, *system)].push_back(i);
    for (const auto& [name, rows] : by_system) {
      if (!is_wanted(table.file, system_op, name)) continue;
      for (const ManifestSystemMetric& metric : table.metrics) {
        add_system(table, name, metric, filled_cells(csv, rows, metric.column));
      }
    }
  }

  /// Whether any system of the table can be wanted; reading the file tells which.
  bool may_be_wanted(const ManifestSystemTable& table) const {
    return table.file.ends_with(".csv") || is_wanted(table.file, system_op, "");
  }

  static std::int64_t filled_cells(const CsvTable& csv, const std::vector<std::size_t>& rows,
                                   const std::string& column) {
    const auto index = csv.find(column);
    if (!index) return static_cast<std::int64_t>(rows.size());  // a formula over columns
    std::int64_t count = 0;
    for (const std::size_t row : rows) count += csv.cell(row, *index).empty() ? 0 : 1;
    return count;
  }

  void add_system(const ManifestSystemTable& table, const std::string& system,
                  const ManifestSystemMetric& metric, std::int64_t rows) {
    ValidationEntry entry;
    entry.file = table.file;
    entry.op = system_op;
    entry.chip = system;
    entry.software = table.software;
    entry.metric = metric.name;
    entry.table_rows = entry.figures.rows = rows;
    if (rows > 0) entry.not_predicted["system tables are not predicted yet"] = rows;
    answer_.entries.push_back(std::move(entry));
  }

  void summarise_families() {
    for (const auto& [family, rows] : families_) {
      std::vector<const ScoredRow*> pointers;
      for (const ScoredRow& row : rows) pointers.push_back(&row);
      answer_.summaries.push_back({family.first, family.second, figures_of(pointers)});
    }
  }

  const ValidationRequest& request_;
  Manifest manifest_;
  Predictor predictor_;
  Progress progress_;
  std::vector<const ManifestTable*> tables_;
  std::unique_ptr<RowsCsv> rows_csv_;
  std::unique_ptr<CsvTable> csv_;  ///< the last one: entries of one file stand together
  std::string csv_file_;
  std::map<std::pair<std::string, std::string>, std::vector<ScoredRow>> families_;
  ValidationAnswer answer_;
};

}  // namespace

ValidationAnswer validate(const Context& context, const ValidationRequest& request) {
  return Validation(context, request).run();
}

}  // namespace tandem::entry
