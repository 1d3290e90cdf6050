#include "models/gpu/execute/product_row.hpp"

#include <algorithm>

#include "models/gpu/functional_ops.hpp"
#include "models/gpu/params.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/dot.hpp"

namespace tandem::gpu {

ProductRow::ProductRow(const StageOnChip& on, std::span<const float> row,
                       const WeightMatrix& matrix)
    : matrix_(matrix), row_(row), math_(math_type(matrix.element, on.type())) {
  if (matrix.input != nullptr) quantise();
}

void ProductRow::quantise() {
  const auto width = static_cast<std::int64_t>(row_.size());
  const formats::QuantisedTensor token = formats::quantise(row_, 1, width, *matrix_.input);
  codes_.resize(row_.size());
  token.unscaled(0, 0, codes_);
  std::int64_t first = 0;
  for (std::size_t own = 0; first < width;) {
    const std::int64_t end =
        std::min(matrix_.run_ends[own], (first / token.scale_cols() + 1) * token.scale_cols());
    runs_.push_back({index_of(first), index_of(end - first), token.scale(0, first), own});
    if (end == matrix_.run_ends[own]) ++own;
    first = end;
  }
}

float ProductRow::dot_of_codes(std::int64_t column) const {
  const std::span<const float> weights = matrix_.row(column);
  const std::size_t scales = index_of(column) * matrix_.run_ends.size();
  float sum = 0;
  for (const Run& run : runs_) {
    const float dot = dot_wide(weights.subspan(run.first, run.count),
                               std::span(codes_).subspan(run.first, run.count));
    sum += (dot * run.scale) * matrix_.scales[scales + run.own];
  }
  return sum;
}

float ProductRow::dot(std::int64_t column, std::int64_t part) const {
  if (matrix_.input != nullptr) return dot_of_codes(column);
  if (matrix_.has_format) return dot_wide(matrix_.row(column), row_);
  if (part == 0) return matrix_dot(math_, row_, matrix_.row(column));
  return matrix_dot_in_parts(math_, row_, matrix_.row(column), part);
}

}  // namespace tandem::gpu
