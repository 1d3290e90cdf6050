#include "sim/entry/validation/power_meter.hpp"

#include <algorithm>
#include <charconv>

#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {
namespace {

constexpr double run_s = 1.0;
constexpr double brief_run_s = 0.3;
constexpr double brief_eager_s = 1e-4;
constexpr double most_repeats = 3000;

/// Rows of most tokens: with eight GPUs at work on one list, each of them begins with one of these.
constexpr std::int64_t first_rows_tokens = 3840;
/// Of the lists of one pair of widths; other formats follow its last rows, of few tokens.
constexpr const char* first_format = "bfloat16";
constexpr std::int64_t last_rows_tokens = 8;

bool is_set(const Software& software, const char* key) {
  return software_value(software, key, 0) != 0;
}

bool is_module(const std::string& op) {
  return op.find("module") != std::string::npos;
}

std::string text_of(const NamedRow& row, const char* column) {
  const auto cell = row.find(column);
  return cell == row.end() ? std::string{} : cell->second.text;
}

std::int64_t number_of(const NamedRow& row, const char* column) {
  const std::string text = text_of(row, column);
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

bool is_first_of_list(const NamedRow& row) {
  return number_of(row, "m") >= first_rows_tokens;
}

}  // namespace

MeterMemory memory_before(const std::string& op, const NamedRow& row, const Software& software) {
  const auto if_set = [&](const char* key, MeterMemory memory) {
    return is_set(software, key) ? memory : MeterMemory::Run;
  };
  // Each row of experts builds a module of its own, as those of modules do.
  if (is_module(op) || op == "moe") return if_set("meter_rests_modules", MeterMemory::Rest);
  if (op.ends_with("_decode")) return if_set("meter_fills_caches", MeterMemory::Filling);
  if (op != "gemm") return MeterMemory::Run;
  const std::string dtype = text_of(row, "dtype");
  const bool is_block = dtype == "fp8_block" || dtype == "nvfp4";
  if (is_block && is_set(software, "meter_rests_blocks")) return MeterMemory::Rest;
  if (!is_first_of_list(row) || dtype != first_format) return MeterMemory::Run;
  return if_set("meter_descends", MeterMemory::Rest);
}

std::optional<KernelRun> run_before(const std::string& op, const NamedRow& row,
                                    const Software& software) {
  if (op != "gemm" || !is_set(software, "meter_descends")) return std::nullopt;
  NamedRow before = row;
  before["m"].text = std::to_string(2 * number_of(row, "m"));
  if (is_first_of_list(row)) {
    before["m"].text = std::to_string(last_rows_tokens);
    before["dtype"].text = first_format;
  }
  DiagnosticSink sink;
  return kernel_row(op, before, software, sink);
}

double run_seconds(const std::string& op, std::int64_t launches, const Software& software,
                   Picoseconds brief_replay, Picoseconds replay) {
  const char* key = is_module(op) ? "meter_module" : "meter_launch";
  const double launching = static_cast<double>(launches) * software_value(software, key, 0);
  const double eager = std::max(to_seconds(brief_replay), launching);
  if (eager <= 0) return run_s;
  const double target = eager < brief_eager_s ? brief_run_s : run_s;
  return std::min(most_repeats, target / eager) * to_seconds(replay);
}

Watts mean_reading(Watts running, Watts before, double seconds) {
  const double own = seconds < 1 ? seconds / 2 : 1 - 0.5 / seconds;
  return running * own + before * (1 - own);
}

}  // namespace tandem::entry
