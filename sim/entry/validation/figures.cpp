#include "sim/entry/validation/figures.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/statistics.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::entry {
namespace {

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

/// Key of the chip's dense peak for this pipe.
std::string_view peak_key(MatrixPipe pipe) {
  switch (pipe) {
    case MatrixPipe::Float32:
      return "peak_float32";
    case MatrixPipe::Float16:
      return "peak_float16";
    case MatrixPipe::Bfloat16:
      return "peak_bfloat16";
    case MatrixPipe::Fp8:
      return "peak_fp8";
    case MatrixPipe::Int8:
      return "peak_int8";
    case MatrixPipe::Fp4:
      return "peak_fp4";
  }
  return "";
}

/// The pipe that a kernel's products take: that of the wider of weights and activations.
MatrixPipe pipe_of_kernel(const Kernel& kernel) {
  return std::visit(
      [&](const auto& shape) {
        if constexpr (requires { product_format(shape); }) {
          return product_format(shape).pipe;
        } else {
          return pipe_of(kernel.activations);
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
  std::vector<double> absolute, signed_errors, baseline, ratios, skipped;
  for (const ScoredRow* row : rows) {
    if (!row->predicted) continue;
    signed_errors.push_back(100 * (*row->predicted - row->measured) / row->measured);
    absolute.push_back(std::abs(signed_errors.back()));
    skipped.push_back(row->skipped);
    if (row->baseline) {
      baseline.push_back(100 * std::abs(*row->baseline - row->measured) / row->measured);
    }
    if (row->floor && *row->floor > 0) ratios.push_back(*row->predicted / *row->floor);
  }
  figures.predicted_rows = static_cast<std::int64_t>(absolute.size());
  if (absolute.empty()) return figures;
  figures.bias = mean_of(signed_errors);
  figures.skipped = mean_of(skipped);
  const Summary summary = summarise(absolute);
  figures.mape = summary.mean;
  figures.median = summary.p50;
  figures.p90 = summary.p90;
  if (!baseline.empty()) figures.baseline_mape = mean_of(baseline);
  if (!ratios.empty()) figures.floor_ratio = summarise(ratios).p50;
  return figures;
}

std::optional<double> naive_roofline_ms(const KernelRun& run, const Chip& chip) {
  constexpr double share_of_peak = 0.80, share_of_bandwidth = 0.85, launch_ms = 0.003;
  const double bandwidth = rate(chip, "hbm_bandwidth");
  if (bandwidth <= 0) return std::nullopt;
  double product_seconds = 0;
  std::vector<KernelWork> works;
  for (const Kernel& kernel : run.kernels) {
    if (std::holds_alternative<QuantiseKernel>(kernel.shape)) continue;
    works.push_back(work_of(kernel));
    if (works.back().matrix.count() == 0) continue;
    const double peak = rate(chip, peak_key(pipe_of_kernel(kernel)));
    if (peak <= 0) return std::nullopt;
    product_seconds += static_cast<double>(works.back().matrix.count()) / (share_of_peak * peak);
  }
  Bytes bytes;
  for (std::size_t i = 0; i < works.size(); ++i) {
    const Bytes handed = i > 0 ? std::min(works[i - 1].write_bytes, works[i].read_bytes) : Bytes(0);
    bytes += works[i].bytes() - handed * 2;
  }
  const double seconds = std::max(
      static_cast<double>(bytes.count()) / (share_of_bandwidth * bandwidth), product_seconds);
  return seconds * 1e3 + launch_ms;
}

}  // namespace tandem::entry
