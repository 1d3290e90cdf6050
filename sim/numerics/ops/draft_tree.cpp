#include "sim/numerics/ops/draft_tree.hpp"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/numerics/ops/speculation.hpp"

namespace tandem::ops {
namespace {

std::int32_t draw_from(std::span<const float> weights, RandomStream& random) {
  return index_at(weights, random.uniform(), argmax(weights));
}

std::span<const float> row_of(std::span<const float> rows, std::int64_t row,
                              std::size_t vocabulary) {
  return rows.subspan(index_of(row) * vocabulary, vocabulary);
}

/// Drafts that follow `parent`, in their order.
std::vector<std::int64_t> children_of(std::span<const std::int64_t> parents, std::int64_t parent) {
  std::vector<std::int64_t> children;
  for (std::size_t i = 0; i < parents.size(); ++i) {
    if (parents[i] == parent) children.push_back(static_cast<std::int64_t>(i));
  }
  return children;
}

void require_token(std::int32_t token, std::size_t vocabulary) {
  if (token >= 0 && static_cast<std::size_t>(token) < vocabulary) return;
  throw ModelError("speculation: no token " + std::to_string(token) + " in a vocabulary of " +
                   std::to_string(vocabulary));
}

/// The candidate that is kept, or -1; `p` becomes what is left of it.
std::int64_t try_candidates(std::span<const std::int32_t> drafts,
                            const std::vector<std::int64_t>& candidates,
                            std::span<const float> draft, std::vector<float>& p,
                            RandomStream& random) {
  if (candidates.empty()) return -1;
  const auto first = row_of(draft, candidates.front(), p.size());
  std::vector<float> q(first.begin(), first.end());
  for (const std::int64_t candidate : candidates) {
    const std::int32_t token = drafts[index_of(candidate)];
    require_token(token, p.size());
    const auto at = static_cast<std::size_t>(token);
    if (random.uniform() * static_cast<double>(q[at]) < static_cast<double>(p[at])) {
      return candidate;
    }
    p = rest_of_target(p, q);
    q = without(q, token);
    if (q.empty()) break;
  }
  return -1;
}

}  // namespace

std::vector<float> without(std::span<const float> q, std::int32_t token) {
  std::vector<float> rest(q.begin(), q.end());
  rest[static_cast<std::size_t>(token)] = 0.0F;
  const double sum = std::accumulate(rest.begin(), rest.end(), 0.0);
  if (sum <= 0) return {};
  for (float& value : rest) value = static_cast<float>(static_cast<double>(value) / sum);
  return rest;
}

std::vector<std::int32_t> draw_candidates(std::span<const float> q, std::int64_t count,
                                          RandomStream& random) {
  std::vector<std::int32_t> tokens;
  std::vector<float> rest(q.begin(), q.end());
  while (static_cast<std::int64_t>(tokens.size()) < count && !rest.empty()) {
    tokens.push_back(draw_from(rest, random));
    rest = without(rest, tokens.back());
  }
  return tokens;
}

std::vector<std::int32_t> best_candidates(std::span<const float> logits, std::int64_t count) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + std::min<std::ptrdiff_t>(count, std::ssize(order));
  std::partial_sort(order.begin(), end, order.end(), [&](std::int32_t a, std::int32_t b) {
    const float left = logits[static_cast<std::size_t>(a)];
    const float right = logits[static_cast<std::size_t>(b)];
    return left != right ? left > right : a < b;
  });
  order.erase(end, order.end());
  return order;
}

TreeOutcome accept_tree(std::span<const std::int32_t> drafts, std::span<const std::int64_t> parents,
                        std::span<const float> draft, std::span<const float> target,
                        RandomStream& random) {
  assert(drafts.size() == parents.size());
  const std::size_t vocabulary = target.size() / (drafts.size() + 1);
  assert(draft.size() == drafts.size() * vocabulary);
  TreeOutcome outcome;
  std::int64_t at = -1;  // the newest token
  while (true) {
    const auto row = row_of(target, at + 1, vocabulary);
    std::vector<float> p(row.begin(), row.end());
    at = try_candidates(drafts, children_of(parents, at), draft, p, random);
    if (at < 0) {
      outcome.tokens.push_back(draw_from(p, random));
      return outcome;
    }
    outcome.tokens.push_back(drafts[index_of(at)]);
    outcome.accepted.push_back(at);
  }
}

TreeOutcome accept_tree_greedy(std::span<const std::int32_t> drafts,
                               std::span<const std::int64_t> parents,
                               std::span<const float> target_logits) {
  const std::size_t vocabulary = target_logits.size() / (drafts.size() + 1);
  TreeOutcome outcome;
  std::int64_t at = -1;
  while (true) {
    const std::int32_t best = argmax(row_of(target_logits, at + 1, vocabulary));
    outcome.tokens.push_back(best);
    const std::vector<std::int64_t> children = children_of(parents, at);
    const auto right = std::ranges::find_if(
        children, [&](std::int64_t child) { return drafts[index_of(child)] == best; });
    if (right == children.end()) return outcome;
    at = *right;
    outcome.accepted.push_back(at);
  }
}

}  // namespace tandem::ops
