// Reference operators: the largest value, and the k largest.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::ops {

/// Index of the largest value; the lowest index wins ties; NaN never wins against a number.
/// Throws ModelError for an empty span.
[[nodiscard]] std::int32_t argmax(std::span<const float> values);

/// Indices of the min(k, values) largest values, largest first; equal values by lower index, NaN
/// below every number. None where k is at most 0.
[[nodiscard]] std::vector<std::int32_t> largest(std::span<const float> values, std::int64_t k);

}  // namespace tandem::ops
