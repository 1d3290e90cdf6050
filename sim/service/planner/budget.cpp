#include "sim/service/planner/budget.hpp"

#include <algorithm>
#include <cmath>

namespace tandem {

ReplicaCounts within_budget(const ReplicaCounts& proposed, const ReplicaCost& cost, double budget,
                            std::int64_t least) {
  const auto whole = [](double replicas) {
    return static_cast<std::int64_t>(std::floor(replicas));
  };
  const double total = static_cast<double>(proposed.prefill) * cost.prefill +
                       static_cast<double>(proposed.decode) * cost.decode;
  if (total <= budget) return proposed;
  const std::int64_t most_prefill =
      whole((budget - static_cast<double>(least) * cost.decode) / cost.prefill);
  const std::int64_t scaled = whole(static_cast<double>(proposed.prefill) * budget / total);
  ReplicaCounts fitted;
  fitted.prefill = std::max(least, std::min(most_prefill, scaled));
  const double left = budget - static_cast<double>(fitted.prefill) * cost.prefill;
  fitted.decode = std::max(least, whole(left / cost.decode));
  fitted.decode = std::min(fitted.decode, std::max(least, proposed.decode));
  return fitted;
}

}  // namespace tandem
