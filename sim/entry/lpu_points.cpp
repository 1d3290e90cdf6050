#include "sim/entry/lpu_points.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "models/lpu/chip_params.hpp"
#include "sim/config/csv.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/lpu_tools.hpp"

namespace tandem::entry {
namespace {

// Far from the end of 64 bits when multiplied with bytes.
constexpr std::int64_t most_point_chips = 1'000'000;
constexpr std::int64_t most_point_tokens = 10'000'000;

/// Cells of one row; collects what is wrong with them.
class PointReader {
 public:
  PointReader(const CsvTable& table, std::vector<Diagnostic>& problems)
      : table_(table), problems_(problems) {}

  [[nodiscard]] std::string text(std::size_t row, const char* column) const {
    const auto index = table_.find(column);
    return index ? table_.cell(row, *index) : std::string();
  }
  [[nodiscard]] std::int64_t whole(std::size_t row, const char* column, std::int64_t most) {
    const std::string cell = text(row, column);
    const auto value = whole_number(cell, most);
    if (!value)
      problem(row, column, fmt::format("'{}' is no whole number from 1 to {}", cell, most));
    return value.value_or(1);
  }
  [[nodiscard]] SourcePlace place(std::size_t row, const char* column) const {
    return table_.place(row, *table_.find(column));
  }
  void problem(std::size_t row, const char* column, const std::string& message) {
    const auto index = table_.find(column);
    problems_.push_back({index ? table_.place(row, *index) : table_.header_place(),
                         fmt::format("{}: {}", column, message)});
  }

 private:
  const CsvTable& table_;
  std::vector<Diagnostic>& problems_;
};

double step_seconds(const lpu::PartitionChoice& choice, const Chip& chip) {
  return static_cast<double>(choice.cycles) / chip.parameters.value("clock");
}

/// A point with everything it names.
struct Case {
  PublishedPoint point;
  NeuralNetwork network;
  Fabric fabric;
  Chip chip;
  lpu::PartitionChoice choice;
  double step = 0;
};

std::vector<Case> cases_of(const Context& context, const std::string& file) {
  std::vector<Case> cases;
  std::vector<Diagnostic> problems;
  for (const PublishedPoint& point : read_points(file, read_file(file))) {
    Case c;
    c.point = point;
    const std::size_t before = problems.size();
    blame_cell(point.model_place, problems,
               [&] { c.network = context.loader.network(point.model); });
    blame_cell(point.fabric_place, problems, [&] {
      c.fabric = context.loader.fabric(point.fabric);
      c.chip = lpu_named(context, c.fabric.chip);
    });
    if (problems.size() > before) continue;
    blame_cell(point.tensor_place, problems,
               [&] { c.choice = predict(point, c.network, c.fabric, c.chip); });
    c.step = step_seconds(c.choice, c.chip);
    cases.push_back(std::move(c));
  }
  if (!problems.empty()) throw ConfigError(problems);
  return cases;
}

// Whatever the published system does beside the schedule, spread evenly over layers.
double software_per_layer(const std::vector<Case>& cases) {
  const auto first =
      std::find_if(cases.begin(), cases.end(), [](const Case& c) { return !is_estimate(c.chip); });
  if (first == cases.end()) return 0;
  return (1 / first->point.tokens_per_s - first->step) /
         static_cast<double>(first->network.layers());
}

std::string point_row(const Case& c, double software) {
  const double bound = 1 / c.step;
  const double with = 1 / (c.step + software * static_cast<double>(c.network.layers()));
  const double stated = c.point.tokens_per_s;
  const std::string soft =
      is_estimate(c.chip) ? "- | -" : fmt::format("{:.0f} | {:.2f}", with, with / stated);
  const StepRange range = step_range(c.point, c.network, c.fabric, c.chip);
  const std::string rate = range.low < range.high ? fmt::format("{:.0f} ({:.0f} to {:.0f})", bound,
                                                                1 / range.high, 1 / range.low)
                                                  : fmt::format("{:.0f}", bound);
  return fmt::format("| {} | {} | {} x {} = {} | {} | {}/{} | {:.0f} | {} | {} | {:.2f} | {} |\n",
                     c.point.id, c.chip.name, c.choice.tensor, c.choice.stages, c.choice.chips,
                     c.point.fit.context, c.point.fit.weight_bytes, c.point.fit.kv_bytes, stated,
                     c.point.mark, rate, bound / stated, soft);
}

/// One number at both ends of its range, all others as they are.
struct Swing {
  std::string name;
  Parameter number;
  std::optional<double> low, high;  ///< seconds; none: the partition becomes impossible
  /// Largest change relative to the estimate.
  [[nodiscard]] double size(double step) const {
    double most = low && high ? 0 : 1;
    for (const auto& end : {low, high}) most = std::max(most, end ? std::abs(step / *end - 1) : 0);
    return most;
  }
};

Swing swing_of(const Case& c, const std::string& name, const Parameter& number,
               const std::function<void(Case&, double)>& apply) {
  const auto step = [&](double value) -> std::optional<double> {
    Case changed = c;
    apply(changed, value);
    try {
      changed.choice = predict(changed.point, changed.network, changed.fabric, changed.chip);
    } catch (const ModelError&) {
      return std::nullopt;
    }
    return step_seconds(changed.choice, changed.chip);
  };
  return {name, number, step(*number.low), step(*number.high)};
}

bool is_swept(const Parameter& number) {
  return number.low && number.high && *number.low < *number.high;
}

std::vector<Swing> swings_of(const Case& c) {
  std::vector<Swing> swings;
  for (const auto& [name, number] : c.chip.parameters.all()) {
    if (!is_swept(number)) continue;
    swings.push_back(swing_of(c, name, number, [&name = name](Case& changed, double value) {
      Parameter other = changed.chip.parameters.at(name);
      other.value = value;
      changed.chip.parameters.set(name, other);
    }));
  }
  for (std::size_t level = 0; level < c.fabric.levels.size(); ++level) {
    const FabricLevel& here = c.fabric.levels[level];
    for (const auto& [name, number] : here.parameters.all()) {
      if (!is_swept(number)) continue;
      swings.push_back(swing_of(c, here.name + "." + name, number,
                                [&name = name, level](Case& changed, double value) {
                                  ParameterSet& set = changed.fabric.levels[level].parameters;
                                  Parameter other = set.at(name);
                                  other.value = value;
                                  set.set(name, other);
                                }));
    }
  }
  std::stable_sort(swings.begin(), swings.end(),
                   [&](const Swing& a, const Swing& b) { return a.size(c.step) > b.size(c.step); });
  return swings;
}

std::string tokens_of(const std::optional<double>& step) {
  return step ? fmt::format("{:.0f}", 1 / *step) : "not possible";
}

// Numbers without influence are named, not tabled.
std::string sweep_section(const Case& c) {
  std::string page = fmt::format(
      "\n## {}: assumptions swept one by one\n\nEstimate {:.0f} tokens/s, stated {:.0f}.\n\n"
      "| number of {} or {} | value | range | tokens/s at its ends |\n|---|---:|---|---|\n",
      c.point.id, 1 / c.step, c.point.tokens_per_s, c.chip.name, c.fabric.name);
  std::string silent;
  for (const Swing& swing : swings_of(c)) {
    if (swing.size(c.step) < 0.0005) {
      silent += (silent.empty() ? "" : ", ") + swing.name;
      continue;
    }
    page += fmt::format("| {} | {:g} | {:g} to {:g} | {} to {} |\n", swing.name, swing.number.value,
                        *swing.number.low, *swing.number.high, tokens_of(swing.low),
                        tokens_of(swing.high));
  }
  if (!silent.empty()) page += fmt::format("\nWithout influence on this step: {}.\n", silent);
  return page;
}

}  // namespace

std::vector<PublishedPoint> read_points(const std::string& file, std::string_view text) {
  const CsvTable table(file, text);
  std::vector<Diagnostic> problems;
  for (const char* column : {"id", "model", "fabric", "tensor", "chips", "context", "weight_bytes",
                             "kv_bytes", "tokens_per_s", "mark", "source", "note"}) {
    if (!table.has(column)) {
      problems.push_back({table.header_place(), fmt::format("no column '{}'", column)});
    }
  }
  if (!problems.empty()) throw ConfigError(problems);
  PointReader reader(table, problems);
  std::vector<PublishedPoint> points;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    PublishedPoint point;
    point.id = reader.text(row, "id");
    point.model = reader.text(row, "model");
    point.fabric = reader.text(row, "fabric");
    point.model_place = reader.place(row, "model");
    point.fabric_place = reader.place(row, "fabric");
    point.tensor_place = reader.place(row, "tensor");
    point.tensor = static_cast<int>(reader.whole(row, "tensor", most_point_chips));
    if (!reader.text(row, "chips").empty()) {
      point.chips = reader.whole(row, "chips", most_point_chips);
      if (*point.chips % point.tensor != 0) {
        reader.problem(row, "chips", "no multiple of the tensor group");
      }
    }
    point.fit.context = reader.whole(row, "context", most_point_tokens);
    point.fit.weight_bytes = reader.whole(row, "weight_bytes", 2);
    point.fit.kv_bytes = reader.whole(row, "kv_bytes", 2);
    point.tokens_per_s = static_cast<double>(reader.whole(row, "tokens_per_s", most_point_tokens));
    point.mark = reader.text(row, "mark");
    point.source = reader.text(row, "source");
    point.note = reader.text(row, "note");
    points.push_back(std::move(point));
  }
  if (!problems.empty()) throw ConfigError(problems);
  return points;
}

bool is_estimate(const Chip& chip) {
  const auto is_assumed = [&](const char* name) {
    return chip.parameters.at(name).basis == Basis::Assumed;
  };
  return is_assumed("planes") || is_assumed("weight_streams_per_plane") ||
         is_assumed("mem_slices_per_hemisphere");
}

lpu::PartitionChoice predict(const PublishedPoint& point, const NeuralNetwork& network,
                             const Fabric& fabric, const Chip& chip) {
  // Tensor groups do not leave the innermost unit, so one of it is enough.
  const std::vector<int> one(fabric.levels.size() - 1, 1);
  const lpu::Topology topology(fabric, one);
  const std::int64_t stages = point.chips ? *point.chips / point.tensor : 1;
  return lpu::partition_of(network, topology, topology.with_links(lpu::geometry_of(chip)),
                           lpu::latencies_of(chip), point.fit, point.tensor, stages);
}

StepRange step_range(const PublishedPoint& point, const NeuralNetwork& network,
                     const Fabric& fabric, const Chip& chip) {
  Case c{point, network, fabric, chip, predict(point, network, fabric, chip), 0};
  c.step = step_seconds(c.choice, chip);
  StepRange range{c.step, c.step};
  for (const Swing& swing : swings_of(c)) {
    for (const auto& end : {swing.low, swing.high}) {
      if (!end) continue;
      range.low = std::min(range.low, *end);
      range.high = std::max(range.high, *end);
    }
  }
  return range;
}

std::string points_page(const Context& context, const std::string& file) {
  const std::vector<Case> cases = cases_of(context, file);
  const double software = software_per_layer(cases);
  std::string page = fmt::format(
      "# Published speeds of LPUs\n\n"
      "Made by `tandem lpu published`; do not edit. One user, batch 1, no speculation assumed.\n\n"
      "- **bound**: closed form over padded tiles (`tandem lpu fit`) on the partition assumed. It "
      "contains no software and no schedule: compiled programs are 8 to 15 % slower. In brackets, "
      "every number with a range moved to its ends, one at a time.\n"
      "- **with software**: {:.1f} us more for every layer, the one constant, fitted on the first "
      "row alone. It stands for all that separates the published service from its silicon. None "
      "is assumed for chips whose shape is an estimate.\n"
      "- **ratio**: prediction over stated.\n\n"
      "| point | chip | tensor x stages | context | weight/KV B | stated tokens/s | by | bound | "
      "ratio | with software | ratio |\n|---|---|---|---:|---|---:|---|---:|---:|---:|---:|\n",
      software * 1e6);
  for (const Case& c : cases) page += point_row(c, software);
  page += '\n';
  for (const Case& c : cases) {
    page += fmt::format("- {}: {} ({})\n", c.point.id, c.point.note, c.point.source);
  }
  for (const Case& c : cases) {
    if (is_estimate(c.chip)) page += sweep_section(c);
  }
  return page;
}

}  // namespace tandem::entry
