#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "sim/core/diagnostics.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/kernel_table.hpp"

namespace tandem::entry {
namespace {

/// Overrides of the software layer ("software.KEY"), or of the chip (all others).
std::vector<Override> overrides_of(const KernelsRequest& request, bool of_software) {
  constexpr std::string_view prefix = "software.";
  std::vector<Override> own;
  for (Override change : request.overrides) {
    if (change.path.starts_with(prefix) != of_software) continue;
    if (of_software) change.path.erase(0, prefix.size());
    own.push_back(std::move(change));
  }
  return own;
}

std::unique_ptr<ChipModel> chip_model(const Context& context, const Chip& chip,
                                      const Software& software) {
  for (const ChipModelEntry& entry : context.catalogue) {
    if (entry.name == chip.model) return entry.make(chip, software);
  }
  throw ConfigError(fmt::format("no hardware model is called '{}'", chip.model));
}

/// The costs of all rows; those that no model covers go to the sink with their place.
std::vector<KernelCost> costs_of(const ChipModel& model, const std::vector<KernelRun>& rows,
                                 const CsvTable& table, DiagnosticSink& sink) {
  Progress progress("kernels");
  std::vector<KernelCost> costs(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    try {
      costs[i] = model.simulate_run(rows[i]);
    } catch (const ModelError& error) {
      sink.report(table.place(i, 0), error.what());
    }
    if (i % 64 == 0) progress.update(fmt::format("{} of {} rows", i, rows.size()));
  }
  return costs;
}

/// Says where powers stand above the board's limit: the governor would react, given time.
std::string note_on_power(const Chip& chip, const std::vector<KernelCost>& costs) {
  if (!chip.parameters.has("tdp")) return "";
  const double limit = chip.parameters.value("tdp");
  const auto above = std::count_if(costs.begin(), costs.end(), [&](const KernelCost& cost) {
    return cost.power.count() > limit;
  });
  if (above == 0) return "";
  return fmt::format(
      "note: {} of {} rows draw more than the board's {:.6g} W: figures of a run too short for the "
      "governor to react; --sustained gives those of a long one\n",
      above, costs.size(), limit);
}

/// Watts; empty where the chip does not say.
std::string power_cell(Watts power) {
  return power.count() > 0 ? fmt::format("{:.6g}", power.count()) : std::string{};
}

std::string table_text(const CsvTable& table, const std::vector<KernelCost>& costs, bool is_cycle) {
  std::string text;
  for (const std::string& name : table.header()) text += csv_quoted(name) + ",";
  text += "predicted_ms,bound_ms,predicted_w,skipped\n";
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const KernelCost& cost = costs[i];
    for (std::size_t c = 0; c < table.header().size(); ++c) {
      text += csv_quoted(table.cell(i, c)) + ",";
    }
    text += fmt::format(
        "{:.9g},{:.9g},{},{:.4g}\n", to_milliseconds(is_cycle ? cost.time : cost.floor),
        to_milliseconds(cost.floor), power_cell(cost.power), is_cycle ? cost.skipped_share() : 0);
  }
  return text;
}

}  // namespace

KernelsAnswer kernels_of(const Context& context, const KernelsRequest& request) {
  const CsvTable table(request.csv_name, request.csv);
  const Software software = context.loader.software(request.software, overrides_of(request, true));
  DiagnosticSink sink;
  std::vector<KernelRun> rows = kernel_rows(table, request.op, software, sink);
  if (request.is_sustained) {
    for (KernelRun& row : rows) row.sustained = true;
  }
  const Chip chip = context.loader.chip(request.chip, overrides_of(request, false));
  const auto model = chip_model(context, chip, software);
  const std::vector<KernelCost> costs = costs_of(*model, rows, table, sink);
  sink.throw_if_any();
  return {table_text(table, costs, request.fidelity == "cycle"), note_on_power(chip, costs)};
}

}  // namespace tandem::entry
