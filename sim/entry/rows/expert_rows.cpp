#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {

std::vector<RowOperator> expert_operators() {
  return {};
}

}  // namespace tandem::entry
