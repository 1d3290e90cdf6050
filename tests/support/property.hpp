// How many random cases a property test tries.
#pragma once

#include <cstdlib>

namespace tandem::test {

/// `usual` in CI; TANDEM_PROPERTY_CASES where it is set (scripts/full.sh: 100,000).
inline int property_cases(int usual) {
  const char* wanted = std::getenv("TANDEM_PROPERTY_CASES");
  return wanted != nullptr ? std::atoi(wanted) : usual;
}

}  // namespace tandem::test
