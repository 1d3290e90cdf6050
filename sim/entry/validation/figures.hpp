// How far predictions are from measurements: rows with both, and the figures over many of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::entry {

/// One measured row with what was predicted for it. Milliseconds for latency, watts for power.
/// Ends of the 90 % band of a predicted figure, and those without the errors of services, beside
/// which those errors are measured; in the figure's unit.
struct RowBand {
  double low = 0;
  double high = 0;
  double kernels_low = 0;
  double kernels_high = 0;
  double kernels_middle = 0;  ///< the prediction without the biases of kernels
};

struct ScoredRow {
  double measured = 0;
  std::optional<double> predicted;  ///< none: `reason` says why
  std::optional<double> floor;      ///< analytical lower bound
  std::optional<double> baseline;   ///< naive roofline
  double skipped = 0;               ///< share of the simulated time that was not simulated again
  std::string bound;                ///< what limits the kernel
  std::string reason;
  std::optional<RowBand> band = std::nullopt;  ///< of figures of services, where asked for
};

/// Figures over the predicted rows; none where they do not apply. With m measured and p predicted:
/// absolute error |p - m| / m, signed error (p - m) / m.
struct ErrorFigures {
  std::int64_t rows = 0;
  std::int64_t predicted_rows = 0;
  std::optional<double> mape;    ///< mean absolute error, percent
  std::optional<double> median;  ///< median absolute error, percent
  std::optional<double> p90;     ///< 90th percentile of the absolute error, percent
  std::optional<double> bias;    ///< mean signed error, percent
  std::optional<double>
      baseline_mape;                  ///< of the naive roofline, over predicted rows that have one
  std::optional<double> floor_ratio;  ///< median of predicted / floor
  std::optional<double> skipped;      ///< mean of the rows' shares
};
[[nodiscard]] ErrorFigures figures_of(std::span<const ScoredRow* const> rows);

/// The naive roofline that predictions must beat, in milliseconds: the longer of the products at
/// 0.80 of the dense peak of their operands' type and all distinct bytes at 0.85 of the memory
/// bandwidth, plus 3 us. Quantisation counts nothing, and rows that one kernel hands to the next
/// are neither written nor read. None for a chip whose description lacks a peak for the type or the
/// bandwidth of an HBM.
[[nodiscard]] std::optional<double> naive_roofline_ms(const KernelRun& run, const Chip& chip);

}  // namespace tandem::entry
