// `--set path=value`: changes to a tree before it is checked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/config/loader.hpp"
#include "sim/config/tree.hpp"

namespace tandem::config {

/// An override, split and parsed. All places in `value` name the override.
struct ParsedOverride {
  std::vector<std::string> path;
  Tree value;
  SourcePlace place;
};

[[nodiscard]] std::vector<ParsedOverride> parse_overrides(const std::vector<Override>& overrides,
                                                          Problems& problems);

/// Sets the value at path[skip...] below `root`, making maps on the way; null removes. Whether the
/// keys exist is seen when the tree is checked.
void apply_override(Tree& root, const ParsedOverride& change, std::size_t skip, Problems& problems);

}  // namespace tandem::config
