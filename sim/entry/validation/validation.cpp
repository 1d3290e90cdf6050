#include "sim/entry/validation/validation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "sim/config/csv.hpp"
#include "sim/config/manifest.hpp"
#include "sim/entry/systems/system_tables.hpp"
#include "sim/entry/validation/rows_csv.hpp"

namespace tandem::entry {
namespace {

constexpr const char* system_op = "system";

/// One run over the tables of a manifest.
class Validation {
 public:
  Validation(const Context& context, const ValidationRequest& request)
      : context_(context),
        request_(request),
        manifest_(load_manifest(request.folder)),
        predictor_(context, request.predictor),
        progress_("validate") {
    answer_.notes = manifest_.unknown_keys;
    for (const ManifestTable& table : manifest_.tables) {
      if (is_wanted(table.file, table.op, table.chip)) tables_.push_back(&table);
    }
    std::vector<const ManifestSystemTable*> systems;
    for (const ManifestSystemTable& table : manifest_.system_tables) {
      if (!request.only.empty() && is_wanted(table.file, system_op, table.system)) {
        systems.push_back(&table);
      }
    }
    rows_csv_ = std::make_unique<RowsCsv>(tables_, systems);
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

  bool is_line_wanted(const CsvTable& csv, std::size_t row) const {
    const auto& lines = request_.lines;
    return lines.empty() || std::ranges::find(lines, csv.place(row, 0).line) != lines.end();
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
    if (!table.file.ends_with(".csv")) {
      add_unread(table, "logs of requests are not replayed here");
      return;
    }
    const CsvTable& csv = csv_of(table.file, table.file_place);
    std::map<std::string, std::vector<std::size_t>> by_system;
    const auto column = table.system_column.empty() ? std::nullopt : csv.find(table.system_column);
    if (!table.system_column.empty() && !column) {
      throw ConfigError(table.place, fmt::format("'{}' has no column '{}'", csv.header_place().file,
                                                 table.system_column));
    }
    for (std::size_t i = 0; i < csv.rows(); ++i) {
      if (!is_line_wanted(csv, i)) continue;
      by_system[column ? csv.cell(i, *column) : table.system].push_back(i);
    }
    for (const auto& [name, rows] : by_system) {
      if (is_wanted(table.file, system_op, name)) add_system(table, csv, name, rows);
    }
  }

  void add_system(const ManifestSystemTable& table, const CsvTable& csv, const std::string& system,
                  const std::vector<std::size_t>& rows) {
    if (request_.only.empty()) {
      for (const ManifestSystemMetric& metric : table.metrics) {
        add_unread(system_entry(table, system, metric.name), measured_rows(csv, rows, metric),
                   "services take seconds per row: ask for them with --only system");
      }
      return;
    }
    const auto drawn = request_.sample.rows
                           ? sampled_rows(rows, *request_.sample.rows, request_.sample.seed,
                                          table.file + "/" + system)
                           : rows;
    const auto tick = [&](std::size_t done, std::size_t all) {
      progress_.update(fmt::format("{} {}, {} of {} rows", table.file, system, done, all));
    };
    auto scored = system_tables().predict(table, csv, drawn, tick);
    for (const ManifestSystemMetric& metric : table.metrics) {
      ValidationEntry entry = system_entry(table, system, metric.name);
      entry.table_rows = static_cast<std::int64_t>(rows.size());
      std::vector<const ScoredRow*> pointers;
      const ScoredServices& services = scored[metric.name];
      for (const ScoredRow& row : services.scored) {
        pointers.push_back(&row);
        if (!row.predicted) ++entry.not_predicted[row.reason];
      }
      entry.figures = figures_of(pointers);
      if (request_.with_rows) rows_csv_->add(entry, services.rows, services.scored);
      answer_.entries.push_back(std::move(entry));
    }
  }

  void add_unread(const ManifestSystemTable& table, const std::string& reason) {
    if (!is_wanted(table.file, system_op, table.system)) return;
    for (const ManifestSystemMetric& metric : table.metrics) {
      add_unread(system_entry(table, table.system, metric.name), table.rows, reason);
    }
  }
  void add_unread(ValidationEntry entry, std::int64_t rows, const std::string& reason) {
    entry.table_rows = entry.figures.rows = rows;
    if (rows > 0) entry.not_predicted[reason] = rows;
    answer_.entries.push_back(std::move(entry));
  }

  /// Rows whose cell is not empty; all where the metric is a formula over columns.
  static std::int64_t measured_rows(const CsvTable& csv, const std::vector<std::size_t>& rows,
                                    const ManifestSystemMetric& metric) {
    const auto column = csv.find(metric.column);
    return std::ranges::count_if(
        rows, [&](std::size_t row) { return !column || !csv.cell(row, *column).empty(); });
  }

  static ValidationEntry system_entry(const ManifestSystemTable& table, const std::string& system,
                                      const std::string& metric) {
    ValidationEntry entry;
    entry.file = table.file;
    entry.op = system_op;
    entry.chip = system;
    entry.software = table.software;
    entry.metric = metric;
    return entry;
  }

  SystemTables& system_tables() {
    if (!system_tables_) {
      ServedOptions options;
      options.is_cycle = request_.predictor.is_cycle;
      options.maps_only = request_.maps_only;
      options.store = request_.store;
      options.overrides = request_.predictor.overrides;
      options.with_bands = request_.with_rows && options.is_cycle;
      system_tables_ = std::make_unique<SystemTables>(context_, predictor_, std::move(options));
    }
    return *system_tables_;
  }

  void summarise_families() {
    for (const auto& [family, rows] : families_) {
      std::vector<const ScoredRow*> pointers;
      for (const ScoredRow& row : rows) pointers.push_back(&row);
      answer_.summaries.push_back({family.first, family.second, figures_of(pointers)});
    }
  }

  const Context& context_;
  const ValidationRequest& request_;
  Manifest manifest_;
  Predictor predictor_;
  Progress progress_;
  std::vector<const ManifestTable*> tables_;
  std::unique_ptr<SystemTables> system_tables_;
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
