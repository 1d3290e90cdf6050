#include "sim/entry/rows/operators.hpp"

namespace tandem::entry {

std::vector<RowOperator> latent_operators() {
  return {};
}

}  // namespace tandem::entry
