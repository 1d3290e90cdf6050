#include "sim/lower/role_totals.hpp"

#include <algorithm>

namespace tandem {

double RoleTotal::intensity() const {
  const std::int64_t bytes = work.bytes().count();
  const std::int64_t operations = work.matrix.count() + work.vector.count() + work.special.count();
  return bytes > 0 ? static_cast<double>(operations) / static_cast<double>(bytes) : 0;
}

std::vector<RoleTotal> totals_by_role(const KernelGraph& graph) {
  std::vector<RoleTotal> totals;
  for (const Kernel& kernel : graph.kernels) {
    auto total = std::find_if(totals.begin(), totals.end(),
                              [&](const RoleTotal& t) { return t.role == kernel.role; });
    if (total == totals.end()) {
      totals.push_back({kernel.role, 0, {}});
      total = totals.end() - 1;
    }
    ++total->kernels;
    total->work += work_of(kernel);
  }
  return totals;
}

RoleTotal total_of(const std::vector<RoleTotal>& roles) {
  RoleTotal all;
  all.role = "total";
  for (const RoleTotal& role : roles) {
    all.kernels += role.kernels;
    all.work += role.work;
  }
  return all;
}

}  // namespace tandem
