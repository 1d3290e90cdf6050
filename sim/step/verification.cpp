#include "sim/step/verification.hpp"

#include "sim/numerics/ops/argmax.hpp"

namespace tandem {

void DraftChoice::choose(std::span<const float> logits, Drafts& drafts) {
  if (sampling_.temperature == 0) {
    drafts.tokens.push_back(ops::argmax(logits));
    return;
  }
  const std::vector<float> q = ops::sampling_probabilities(logits, sampling_, {});
  drafts.tokens.push_back(ops::index_at(q, random_.uniform(), ops::argmax(q)));
  drafts.probabilities.insert(drafts.probabilities.end(), q.begin(), q.end());
}

ops::SpeculationOutcome Verification::accept(const Drafts& drafts,
                                             const std::vector<std::vector<float>>& logits) {
  const bool is_greedy = sampling_.temperature == 0;
  std::vector<float> rows;
  for (const std::vector<float>& row : logits) {
    const std::vector<float> values =
        is_greedy ? row : ops::sampling_probabilities(row, sampling_, {});
    rows.insert(rows.end(), values.begin(), values.end());
  }
  if (is_greedy) return ops::accept_drafts_greedy(drafts.tokens, rows);
  return ops::accept_drafts(drafts.tokens, drafts.probabilities, rows, random_);
}

}  // namespace tandem
