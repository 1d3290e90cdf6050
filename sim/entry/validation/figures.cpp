#include "sim/entry/validation/figures.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/statistics.hpp"

namespace tandem::entry {
namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Key of the chip's dense peak for operands of this type; empty: chips have no such unit.
std::string_view peak_key(ElementType type) {
  switch (type) {
    case ElementType::Float32:
      return "peak_float32";
    case ElementType::Float16:
      return "peak_float16";
    case ElementType::Bfloat16:
      return "peak_bfloat16";
    case ElementType::Fp8E4m3:
    case ElementType::Fp8E5m2:
      return "peak_fp8";
    case ElementType::Int8:
      return "peak_int8";
    default:
      return "";
  }
}

/// The type of the operands of a kernel's products: the wider of weights and activations.
ElementType operand_type(const Kernel& kernel) {
  return std::visit(
      [&](const auto& shape) {
        if constexpr (requires {
                        shape.weights;
                        shape.activations;
                      }) {
          return bytes_of(shape.weights) > bytes_of(shape.activations) ? shape.weights
                                                                       : shape.activations;
        } else {
          return kernel.activations;
        }
      },
      kernel.shape);
}

/// A positive parameter of the chip; 0 where it has none.
double rate(const Chip& chip, std::string_view key) {
  return !key.empty() && chip.parameters.has(key) ? chip.parameters.value(key) : 0;
}

}  // namespace

ErrorFigures figures_of(std::span<const ScoredRow* const> rows) {
  ErrorFigures figures;
  figures.rows = static_cast<std::int64_t>(rows.size());
  std::vector<double> absolute, signed_errors, baseline, ratios;
  for (const ScoredRow* row : rows) {
    if (!row->predicted) continue;
    signed_errors.push_back(100 * (*row->predicted - row->measured) / row->measured);
    absolute.push_back(std::abs(signed_errors.back()));
    if (row->baseline) {
      baseline.push_back(100 * std::abs(*row->baseline - row->measured) / row->measured);
    }
    if (row->floor && *row->floor > 0) ratios.push_back(*row->predicted / *row->floor);
  }
  figures.predicted_rows = static_cast<std::int64_t>(absolute.size());
  if (absolute.empty()) return figures;
  figures.bias = mean_of(signed_errors);
  const Summary summary = summarise(absolute);
  figures.mape = summary.mean;
  figures.median = summary.p50;
  figures.p90 = summary.p90;
  if (!baseline.empty()) figures.baseline_mape = mean_of(baseline);
  if (!ratios.empty()) figures.floor_ratio = summarise(ratios).p50;
  return figures;
}

std::optional<double> naive_roofline_ms(const Kernel& kernel, const Chip& chip) {
  constexpr double share_of_peak = 0.80, share_of_bandwidth = 0.85, launch_ms = 0.003;
  const KernelWork work = work_of(kernel);
  const double bandwidth = rate(chip, "hbm_bandwidth");
  if (bandwidth <= 0) return std::nullopt;
  double seconds = static_cast<double>(work.bytes().count()) / (share_of_bandwidth * bandwidth);
  if (work.matrix.count() > 0) {
    const double peak = rate(chip, peak_key(operand_type(kernel)));
    if (peak <= 0) return std::nullopt;
    seconds = std::max(seconds, static_cast<double>(work.matrix.count()) / (share_of_peak * peak));
  }
  return seconds * 1e3 + launch_ms;
}

}  // namespace tandem::entry
