// Reference operator: seeded sampling.
#pragma once

#include <cstdint>
#include <span>

#include "sim/core/random.hpp"

namespace tandem::ops {

/// Draws index i with probability softmax(logits / temperature)[i], by walking the cumulative sum
/// until it passes one uniform draw (llama2.c run.c sample_mult()). Temperature 0 is argmax and
/// draws nothing from the stream. Throws ModelError for empty logits or a temperature that is
/// negative or not finite.
[[nodiscard]] std::int32_t sample(std::span<const float> logits, double temperature,
                                  RandomStream& random);

}  // namespace tandem::ops
