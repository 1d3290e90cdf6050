#include "sim/numerics/ops/embedding.hpp"

#include <algorithm>
#include <string>

#include "sim/core/diagnostics.hpp"

namespace tandem::ops {

void embedding(std::span<const float> table, std::int32_t token, std::span<float> out) {
  const std::size_t rows = out.empty() ? 0 : table.size() / out.size();
  if (token < 0 || static_cast<std::size_t>(token) >= rows) {
    throw ModelError("embedding: no token " + std::to_string(token) + " in a vocabulary of " +
                     std::to_string(rows));
  }
  const auto row = table.subspan(static_cast<std::size_t>(token) * out.size(), out.size());
  std::copy(row.begin(), row.end(), out.begin());
}

}  // namespace tandem::ops
