#include "sim/numerics/ops/mtp.hpp"

#include <cassert>
#include <vector>

#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"

namespace tandem::ops {

void mtp_combine(const MtpWeights& weights, std::span<const float> embedding,
                 std::span<const float> hidden, float epsilon, const Arithmetic& arithmetic,
                 std::span<float> out) {
  const std::size_t width = hidden.size();
  assert(embedding.size() == width && out.size() == width);
  assert(weights.projection.size() == 2 * width * width);
  std::vector<float> both(2 * width);
  rmsnorm(embedding, weights.embedding_norm, epsilon, std::span(both).first(width));
  rmsnorm(hidden, weights.hidden_norm, epsilon, std::span(both).last(width));
  arithmetic.round(both);
  linear(weights.projection, both, {}, arithmetic, out);
}

}  // namespace tandem::ops
