// Reference operator: residual addition.
#pragma once

#include <span>

namespace tandem::ops {

/// x[i] += delta[i].
void residual(std::span<float> x, std::span<const float> delta);

}  // namespace tandem::ops
