#include "sim/entry/lpu_fit.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "models/lpu/chip_model.hpp"
#include "models/lpu/chip_params.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/describe_page.hpp"
#include "sim/entry/lpu_fit_compiled.hpp"
#include "sim/entry/lpu_points.hpp"
#include "sim/entry/lpu_tools.hpp"

namespace tandem::entry {
namespace {

// Bytes of KV stay far from the end of 64 bits: 1e7 tokens x 1e6 requests x 1e5 B.
constexpr std::int64_t largest_count = 10'000'000;
constexpr double largest_reserve = 0.99;

void check(const lpu::FitQuestion& fit) {
  const auto is_width = [](std::int64_t bytes) { return bytes == 1 || bytes == 2; };
  if (!is_width(fit.weight_bytes) || !is_width(fit.kv_bytes)) {
    throw ConfigError("--weight-bytes and --kv-bytes are 1 or 2");
  }
  const auto is_count = [](std::int64_t n) { return n >= 1 && n <= largest_count; };
  if (!is_count(fit.context) || !is_count(fit.requests)) {
    throw ConfigError(fmt::format("--context and --requests are 1 to {}", largest_count));
  }
  // Written so that "not a number" is refused too.
  if (!(fit.reserve >= 0 && fit.reserve <= largest_reserve)) {
    throw ConfigError(fmt::format("--reserve is a share from 0 to {}", largest_reserve));
  }
}

/// Networks out of checkpoints say no limit.
void check_context(const lpu::FitQuestion& fit, const NeuralNetwork& network) {
  if (network.max_context == 0 || fit.context <= network.max_context) return;
  throw ConfigError(fmt::format("--context is {}; {} takes 1 to {} tokens", fit.context,
                                network.name, network.max_context));
}

/// Empty where there is none.
std::string usual_fabric(const std::string& chip) {
  if (chip == "lp30") return "lp30_lpx";
  if (chip == "lpu_v1") return "lpu_v1_quadfour";
  return "";
}

/// The fabric that a question is about.
Fabric fabric_of(const Context& context, const RackQuestion& question) {
  if (!question.fabric.empty()) return context.loader.fabric(question.fabric);
  if (question.chip.empty()) return context.loader.fabric("lp30_lpx");
  const std::string chip = lpu_named(context, question.chip).name;
  const std::string usual = usual_fabric(chip);
  if (!usual.empty()) return context.loader.fabric(usual);
  throw ConfigError(fmt::format("no usual fabric for chip '{}'; name one with --fabric", chip));
}

/// Power of a chip with its share of the host: a fabric says it of its own chip only, so another
/// chip's is that of its usual fabric.
std::optional<Parameter> power_of(const Context& context, const Fabric& fabric, const Chip& chip) {
  if (chip.name == fabric.chip) return fabric.parameters.at("chip_power");
  const std::string usual = usual_fabric(chip.name);
  if (usual.empty()) return std::nullopt;
  return context.loader.fabric(usual).parameters.at("chip_power");
}

/// "12.3 (9.7 to 15.0)" of a number with a plausible range, times `factor`.
std::string banded(const Parameter& number, double factor) {
  const std::string value = fmt::format("{:.1f}", number.value * factor);
  if (!number.low || !number.high) return value;
  return fmt::format("{} ({:.1f} to {:.1f})", value, *number.low * factor, *number.high * factor);
}

/// Racks, kW and USD of so many chips; "unknown" where no file says.
class Bill {
 public:
  Bill(const Fabric& fabric, std::optional<Parameter> power, const Prices& prices,
       const std::string& chip)
      : fabric_(fabric),
        power_(std::move(power)),
        prices_(prices),
        price_("chips." + chip + ".capital") {}
  [[nodiscard]] std::int64_t racks(std::int64_t chips) const {
    const std::int64_t rack = fabric_.parameters.count("rack_chips");
    return (chips + rack - 1) / rack;
  }
  [[nodiscard]] std::string kilowatts(std::int64_t chips) const {
    if (!power_) return "unknown";
    return banded(*power_, static_cast<double>(chips) / 1e3);
  }
  [[nodiscard]] std::string millions(std::int64_t chips) const {
    if (!prices_.parameters.has(price_)) return "unknown";
    return banded(prices_.parameters.at(price_), static_cast<double>(chips) / 1e6);
  }

 private:
  const Fabric& fabric_;
  std::optional<Parameter> power_;
  const Prices& prices_;
  std::string price_;
};

class Table {
 public:
  Table(const Bill& bill, const Chip& chip) : bill_(bill), chip_(chip) {}

  [[nodiscard]] std::string row(const lpu::PartitionChoice& choice, const StepRange& range,
                                const std::string& mark) const {
    const double step = static_cast<double>(choice.cycles) / chip_.parameters.value("clock");
    const std::string time = range.low < range.high
                                 ? fmt::format("{:.1f} ({:.1f} to {:.1f})", step * 1e6,
                                               range.low * 1e6, range.high * 1e6)
                                 : fmt::format("{:.1f}", step * 1e6);
    const std::string rate =
        range.low < range.high
            ? fmt::format("{:.0f} ({:.0f} to {:.0f})", 1 / step, 1 / range.high, 1 / range.low)
            : fmt::format("{:.0f}", 1 / step);
    return fmt::format("{:>6} {:>7} {:>7} {:>6} {:>9.1f}  {:<26} {:<22}  {:<24} {:<22} {}\n",
                       choice.tensor, choice.stages, choice.chips, bill_.racks(choice.chips),
                       static_cast<double>(choice.bytes) / 1e9, time, rate,
                       bill_.kilowatts(choice.chips), bill_.millions(choice.chips), mark);
  }

 private:
  const Bill& bill_;
  const Chip& chip_;
};

std::string compiled_row(const CompiledFit& fit, int tensor, const Bill& bill) {
  if (fit.stages == 0) return fmt::format("{:>6}  {}\n", tensor, fit.obstacle);
  return fmt::format("{:>6} {:>7} {:>7} {:>6} {:>12.1f} {:>10.0f}  {:<24} {}\n", tensor, fit.stages,
                     fit.chips, bill.racks(fit.chips), fit.step_s * 1e6, 1 / fit.step_s,
                     bill.kilowatts(fit.chips), bill.millions(fit.chips));
}

std::string compiled_table(const Chip& chip, const NeuralNetwork& network,
                           const lpu::FitQuestion& question,
                           const std::vector<lpu::PartitionChoice>& choices, const Bill& bill) {
  std::string page =
      "\nCompiled: whole layers, programs in SRAM, a link's latency per hop; no band.\n";
  page += fmt::format("{:>6} {:>7} {:>7} {:>6} {:>12} {:>10}  {:<24} {}\n", "tensor", "stages",
                      "chips", "racks", "us/token", "tokens/s", "kW", "million USD");
  const auto model = lpu::make_lpu_chip(chip, Software{});
  for (const lpu::PartitionChoice& choice : choices) {
    const CompiledFit fit =
        compiled_fit(*model, lpu::geometry_of(chip), network, question, choice.tensor);
    page += compiled_row(fit, choice.tensor, bill);
  }
  return page;
}

}  // namespace

std::string fit_page(const Context& context, const RackQuestion& question) {
  check(question.fit);
  const Fabric fabric = fabric_of(context, question);
  const Chip chip = lpu_named(context, question.chip.empty() ? fabric.chip : question.chip);
  const NeuralNetwork network = context.loader.network(question.model);
  check_context(question.fit, network);
  const Prices prices = context.loader.prices(question.prices);
  // One unit of the innermost level is enough: tensor groups do not leave it.
  const std::vector<int> one(fabric.levels.size() - 1, 1);
  const lpu::Topology topology(fabric, one);
  const auto choices =
      lpu::partitions_of(network, topology, topology.with_links(lpu::geometry_of(chip)),
                         lpu::latencies_of(chip), question.fit);
  std::string page =
      assumption_note(chip, "ranges move every one of them to its ends, one at a time");
  page += fmt::format("{} on {} ({}): weights {} B, KV {} B, {} tokens x {} requests\n",
                      network.name, chip.name, fabric.name, question.fit.weight_bytes,
                      question.fit.kv_bytes, question.fit.context, question.fit.requests);
  page +=
      "Closed form over padded tiles, no software, no schedule: fewest chips and shortest time; "
      "programs "
      "need more (docs/deviations.md 55).\n";
  page += fmt::format("{:>6} {:>7} {:>7} {:>6} {:>9}  {:<26} {:<22}  {:<24} {:<22}\n", "tensor",
                      "stages", "chips", "racks", "GB held", "us/token", "tokens/s", "kW",
                      "million USD");
  PublishedPoint point;
  point.fit = question.fit;
  const Bill bill(fabric, power_of(context, fabric, chip), prices, chip.name);
  const Table table(bill, chip);
  for (const lpu::PartitionChoice& choice : choices) {
    std::string mark;
    if (&choice == &lpu::fewest_chips(choices)) mark += "fewest chips ";
    if (&choice == &lpu::shortest_step(choices)) mark += "shortest step";
    point.tensor = choice.tensor;
    page += table.row(choice, step_range(point, network, fabric, chip), mark);
  }
  if (question.compiled) {
    page += compiled_table(chip, network, question.fit, choices, bill);
  }
  return page;
}

}  // namespace tandem::entry
