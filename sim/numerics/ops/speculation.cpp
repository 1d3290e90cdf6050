#include "sim/numerics/ops/speculation.hpp"

#include <algorithm>
#include <cassert>
#include <string>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/sampling.hpp"

namespace tandem::ops {
namespace {

std::int32_t drawn(std::span<const float> weights, RandomStream& random) {
  return index_at(weights, random.uniform(), argmax(weights));
}

}  // namespace

std::vector<float> rest_of_target(std::span<const float> p, std::span<const float> q) {
  std::vector<double> left(p.size());
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    left[i] = std::max(static_cast<double>(p[i]) - static_cast<double>(q[i]), 0.0);
    sum += left[i];
  }
  std::vector<float> result(p.begin(), p.end());
  if (sum > 0) {
    std::transform(left.begin(), left.end(), result.begin(),
                   [sum](double value) { return static_cast<float>(value / sum); });
  }
  return result;
}

SpeculationOutcome accept_drafts(std::span<const std::int32_t> drafts, std::span<const float> draft,
                                 std::span<const float> target, RandomStream& random) {
  const std::size_t vocabulary = target.size() / (drafts.size() + 1);
  assert(target.size() == (drafts.size() + 1) * vocabulary);
  assert(draft.empty() || draft.size() == drafts.size() * vocabulary);
  SpeculationOutcome outcome;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const auto token = static_cast<std::size_t>(drafts[i]);
    if (drafts[i] < 0 || token >= vocabulary) {
      throw ModelError("speculation: no token " + std::to_string(drafts[i]) +
                       " in a vocabulary of " + std::to_string(vocabulary));
    }
    const auto p = target.subspan(i * vocabulary, vocabulary);
    std::vector<float> q(vocabulary, 0.0F);
    if (draft.empty()) {
      q[token] = 1.0F;
    } else {
      const auto row = draft.subspan(i * vocabulary, vocabulary);
      std::copy(row.begin(), row.end(), q.begin());
    }
    // u < p / q as a product, so that a draft of q = 0 needs no case of its own: it is kept where p
    // allows it.
    if (random.uniform() * static_cast<double>(q[token]) >= static_cast<double>(p[token])) {
      outcome.tokens.push_back(drawn(rest_of_target(p, q), random));
      return outcome;
    }
    outcome.tokens.push_back(drafts[i]);
    ++outcome.accepted;
  }
  outcome.tokens.push_back(drawn(target.last(vocabulary), random));
  return outcome;
}

SpeculationOutcome accept_drafts_greedy(std::span<const std::int32_t> drafts,
                                        std::span<const float> target_logits) {
  const std::size_t vocabulary = target_logits.size() / (drafts.size() + 1);
  assert(target_logits.size() == (drafts.size() + 1) * vocabulary);
  SpeculationOutcome outcome;
  for (std::size_t i = 0; i <= drafts.size(); ++i) {
    const std::int32_t best = argmax(target_logits.subspan(i * vocabulary, vocabulary));
    outcome.tokens.push_back(best);
    if (i == drafts.size() || drafts[i] != best) {
      break;
    }
    ++outcome.accepted;
  }
  return outcome;
}

}  // namespace tandem::ops
