#include "sim/describe/scenario.hpp"

#include <fmt/format.h>

namespace tandem {

const ChipGroup& System::group(const std::string& pool) const {
  for (const ChipGroup& candidate : groups) {
    if (candidate.pool == pool) return candidate;
  }
  throw ModelError(fmt::format("system '{}' has no pool '{}'", name, pool));
}

}  // namespace tandem
