// Prints docs/conformance.md.
#include <cstdio>

#include "tests/conformance/table.hpp"

int main() {
  std::fputs(tandem::conformance::page().c_str(), stdout);
  return 0;
}
