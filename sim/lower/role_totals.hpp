// What a pass does, by role of kernel.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/lower/kernel.hpp"

namespace tandem {

/// All kernels of one role in a graph together.
struct RoleTotal {
  std::string_view role;
  std::int64_t kernels = 0;
  KernelWork work;
  /// Operations per byte: matrix, vector and special over all bytes; 0 where none move.
  [[nodiscard]] double intensity() const;
};

/// Totals by role, in order of first appearance.
[[nodiscard]] std::vector<RoleTotal> totals_by_role(const KernelGraph& graph);

/// All roles together.
[[nodiscard]] RoleTotal total_of(const std::vector<RoleTotal>& roles);

}  // namespace tandem
