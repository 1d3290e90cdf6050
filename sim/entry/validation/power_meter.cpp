#include "sim/entry/validation/power_meter.hpp"

#include <algorithm>
#include <charconv>

namespace tandem::entry {
namespace {

constexpr double meter_window_s = 1.0;
constexpr double run_s = 1.0;
constexpr double brief_run_s = 0.3;
constexpr double brief_kernel_s = 1e-4;
constexpr double most_repeats = 3000;

double run_seconds(Picoseconds kernel) {
  const double seconds = to_seconds(kernel);
  return std::min(seconds < brief_kernel_s ? brief_run_s : run_s, most_repeats * seconds);
}

/// Rows of most tokens: with eight GPUs at work on one list, each of them begins with one of these.
constexpr double first_rows_tokens = 3840;

bool is_set(const Software& software, const char* key) {
  return software.parameters.has(key) && software.parameters.value(key) != 0;
}

std::string text_of(const NamedRow& row, const char* column) {
  const auto cell = row.find(column);
  return cell == row.end() ? std::string{} : cell->second.text;
}

double number_of(const NamedRow& row, const char* column) {
  const std::string text = text_of(row, column);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

bool rests_before(const std::string& op, const NamedRow& row, const Software& software) {
  const bool builds_module = op == "moe" || op.find("module") != std::string::npos;
  if (builds_module) return is_set(software, "meter_rests_experts");
  if (op.ends_with("_decode")) return is_set(software, "meter_rests_caches");
  if (op != "gemm") return false;
  const std::string dtype = text_of(row, "dtype");
  const bool is_block = dtype == "fp8_block" || dtype == "nvfp4";
  if (is_block && is_set(software, "meter_rests_blocks")) return true;
  return is_set(software, "meter_descends") && number_of(row, "m") >= first_rows_tokens;
}

Watts reading_after_rest(Watts running, Watts rest, Picoseconds kernel) {
  const double own = run_seconds(kernel) / 2 / meter_window_s;
  return running * own + rest * (1 - own);
}

}  // namespace tandem::entry
