// One CSV row per measured row: its inputs, what was measured and what was predicted.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/validation/measured_rows.hpp"
#include "sim/entry/validation/validation.hpp"

namespace tandem::entry {

/// Collects rows of many tables under one header: table, metric, chip, op, line, the union of all
/// canonical inputs, then measured, predicted, floor, baseline (ms or W), bound, error_percent
/// (signed), reason.
class RowsCsv {
 public:
  explicit RowsCsv(const std::vector<const ManifestTable*>& tables);
  void add(const ValidationEntry& entry, const std::vector<MeasuredRow>& rows,
           const std::vector<ScoredRow>& scored);
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::vector<std::string> inputs_;
  std::string text_;
};

}  // namespace tandem::entry
