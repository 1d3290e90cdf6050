// One row of activations on its way through a product of weights: as it is, or quantised.
#pragma once

#include <span>
#include <vector>

#include "models/gpu/execute/pass_state.hpp"

namespace tandem::gpu {

/// A row as a matrix's products take it. Keeps references to both.
///
/// Where the matrix holds codes, the row is quantised first, and for every run of columns over
/// which neither scale changes `sum += (dot * scale of the row) * scale of the weights` in float,
/// from left to right; dots of codes are exact in double and rounded once (docs/formats.md).
class ProductRow {
 public:
  ProductRow(const StageOnChip& on, std::span<const float> row, const WeightMatrix& matrix);
  /// The dot product with a row of the matrix. `part`: elements of k that the plan sums at once,
  /// where sums follow the plan and nothing is quantised; 0: all.
  [[nodiscard]] float dot(std::int64_t column, std::int64_t part = 0) const;

 private:
  struct Run {
    std::size_t first = 0, count = 0;
    float scale = 0;      ///< of the row
    std::size_t own = 0;  ///< which of the matrix row's scales
  };
  void quantise();
  [[nodiscard]] float dot_of_codes(std::int64_t column) const;

  const WeightMatrix& matrix_;
  std::span<const float> row_;
  ElementType math_;
  std::vector<float> codes_;
  std::vector<Run> runs_;
};

}  // namespace tandem::gpu
