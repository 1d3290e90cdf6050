#include "sim/numerics/ops/sampling.hpp"

#include <cmath>
#include <vector>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/softmax.hpp"

namespace tandem::ops {

std::int32_t sample(std::span<const float> logits, double temperature, RandomStream& random) {
  if (!std::isfinite(temperature) || temperature < 0) {
    throw ModelError("sampling: the temperature must be a finite number of at least 0");
  }
  if (temperature == 0 || logits.empty()) {
    return argmax(logits);
  }
  std::vector<float> probabilities(logits.begin(), logits.end());
  for (float& value : probabilities) {
    value = static_cast<float>(static_cast<double>(value) / temperature);
  }
  softmax(probabilities);
  const double coin = random.uniform();
  double cumulative = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    cumulative += static_cast<double>(probabilities[i]);
    if (coin < cumulative) {
      return static_cast<std::int32_t>(i);
    }
  }
  // Rounding left the sum just under the draw.
  return argmax(logits);
}

}  // namespace tandem::ops
