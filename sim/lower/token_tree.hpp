// Drafts that branch: several candidates for the same place of a text in one pass.
#pragma once

#include <cstdint>
#include <vector>

namespace tandem {

/// Tokens of a request that stand behind the first `root` ones of its text as a tree. Node i has
/// place root + i of the cache, and its depth says which token of the text it would be. A node
/// attends to the text before the tree, to the nodes it follows and to itself (SpecInfer, arXiv
/// 2305.09781, section 4.2).
struct TokenTree {
  std::int64_t root = 0;
  /// The node that each follows, an earlier one; -1: the text before the tree. Empty: no tree,
  /// tokens follow one another.
  std::vector<std::int64_t> parents;

  [[nodiscard]] bool exists() const { return !parents.empty(); }
  /// From the first node that follows the text to `node` itself. Throws ModelError for a node that
  /// does not exist, and for one that follows a later one.
  [[nodiscard]] std::vector<std::int64_t> path(std::int64_t node) const;
};

}  // namespace tandem
