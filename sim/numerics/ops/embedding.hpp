// Reference operator: table look-up.
#pragma once

#include <cstdint>
#include <span>

namespace tandem::ops {

/// out = row `token` of `table`, whose rows have out.size() elements. Throws ModelError when the
/// table has no such row.
void embedding(std::span<const float> table, std::int32_t token, std::span<float> out);

}  // namespace tandem::ops
