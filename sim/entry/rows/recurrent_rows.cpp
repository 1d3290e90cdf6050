#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {

std::vector<RowOperator> recurrent_operators() {
  return {};
}

}  // namespace tandem::entry
