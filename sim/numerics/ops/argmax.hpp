// Reference operator: greedy choice.
#pragma once

#include <cstdint>
#include <span>

namespace tandem::ops {

/// Index of the largest value; the lowest index wins ties; NaN never wins against a number.
/// Throws ModelError for an empty span.
[[nodiscard]] std::int32_t argmax(std::span<const float> values);

}  // namespace tandem::ops
