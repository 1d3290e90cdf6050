#include "sim/step/verification.hpp"

#include <numeric>

#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/speculation.hpp"

namespace tandem {
namespace {

/// Of a chain the accepted drafts are the first ones.
ops::TreeOutcome along_chain(ops::SpeculationOutcome outcome) {
  ops::TreeOutcome result{std::move(outcome.tokens), {}};
  result.accepted.resize(static_cast<std::size_t>(outcome.accepted));
  std::iota(result.accepted.begin(), result.accepted.end(), std::int64_t{0});
  return result;
}

}  // namespace

void DraftChoice::choose(std::span<const float> logits, Drafts& drafts) {
  if (sampling_.temperature == 0) {
    drafts.tokens.push_back(ops::argmax(logits));
    return;
  }
  const std::vector<float> q = ops::sampling_probabilities(logits, sampling_, {});
  drafts.tokens.push_back(ops::index_at(q, random_.uniform(), ops::argmax(q)));
  drafts.probabilities.insert(drafts.probabilities.end(), q.begin(), q.end());
}

void DraftChoice::choose(std::span<const float> logits, std::int64_t count, std::int64_t parent,
                         Drafts& drafts) {
  const bool is_greedy = sampling_.temperature == 0;
  const std::vector<float> q =
      is_greedy ? std::vector<float>() : ops::sampling_probabilities(logits, sampling_, {});
  for (const std::int32_t token :
       is_greedy ? ops::best_candidates(logits, count) : ops::draw_candidates(q, count, random_)) {
    drafts.tokens.push_back(token);
    drafts.parents.push_back(parent);
    drafts.probabilities.insert(drafts.probabilities.end(), q.begin(), q.end());
  }
}

ops::TreeOutcome Verification::accept(const Drafts& drafts,
                                      const std::vector<std::vector<float>>& logits) {
  const bool is_greedy = sampling_.temperature == 0;
  std::vector<float> rows;
  for (const std::vector<float>& row : logits) {
    const std::vector<float> values =
        is_greedy ? row : ops::sampling_probabilities(row, sampling_, {});
    rows.insert(rows.end(), values.begin(), values.end());
  }
  if (drafts.is_tree()) {
    return is_greedy ? ops::accept_tree_greedy(drafts.tokens, drafts.parents, rows)
                     : ops::accept_tree(drafts.tokens, drafts.parents, drafts.probabilities, rows,
                                        random_);
  }
  if (is_greedy) return along_chain(ops::accept_drafts_greedy(drafts.tokens, rows));
  return along_chain(ops::accept_drafts(drafts.tokens, drafts.probabilities, rows, random_));
}

}  // namespace tandem
