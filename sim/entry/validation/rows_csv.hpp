// One CSV row per measured row: its inputs, what was measured and what was predicted.
#pragma once

#include <string>
#include <vector>

#include "sim/entry/validation/measured_rows.hpp"
#include "sim/entry/validation/validation.hpp"

namespace tandem::entry {

/// Collects rows of many tables under one header: table, metric, chip, op, line, the union of all
/// canonical inputs, then measured, predicted, floor, baseline (ms, W or tokens/s), bound,
/// error_percent (signed), reason. `table` of services is the file.
class RowsCsv {
 public:
  /// `systems` are tables of whole services, whose rows have what was run among their inputs.
  RowsCsv(const std::vector<const ManifestTable*>& tables,
          const std::vector<const ManifestSystemTable*>& systems);
  void add(const ValidationEntry& entry, const std::vector<MeasuredRow>& rows,
           const std::vector<ScoredRow>& scored);
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::vector<std::string> inputs_;
  std::string text_;
};

}  // namespace tandem::entry
