#include "sim/lower/token_tree.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem {

std::vector<std::int64_t> TokenTree::path(std::int64_t node) const {
  std::vector<std::int64_t> nodes;
  while (node >= 0) {
    if (node >= static_cast<std::int64_t>(parents.size())) {
      throw ModelError("a tree of drafts has no such node");
    }
    nodes.push_back(node);
    const std::int64_t parent = parents[index_of(node)];
    if (parent >= node) throw ModelError("a draft follows a later one");
    node = parent;
  }
  std::reverse(nodes.begin(), nodes.end());
  return nodes;
}

}  // namespace tandem
