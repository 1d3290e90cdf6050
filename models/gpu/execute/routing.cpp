#include "models/gpu/execute/routing.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/gpu/functional_ops.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::gpu {
namespace {

constexpr float unreachable = -std::numeric_limits<float>::infinity();
/// Added to the sum of sigmoid scores (huggingface/transformers modeling_deepseek_v3.py).
constexpr float score_sum_epsilon = 1e-20F;

void normalise_exponentials(std::span<float> values) {
  const float largest = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) {
    value = special::exp(value - largest);
    sum += value;
  }
  for (float& value : values) value /= sum;
}

/// Indices of the `count` largest of these, largest first; of equals the lower index.
std::vector<std::int64_t> largest_of(std::span<const float> values, std::int64_t count) {
  std::vector<std::int64_t> order;
  for (std::int64_t taken = 0; taken < count; ++taken) {
    std::int64_t best = -1;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto index = static_cast<std::int64_t>(i);
      if (std::find(order.begin(), order.end(), index) != order.end()) continue;
      if (best < 0 || values[i] > values[index_of(best)]) best = index;
    }
    if (best < 0) break;
    order.push_back(best);
  }
  return order;
}

/// One token on its way through the router.
class TokenRouting {
 public:
  TokenRouting(const ops::Router& router, std::span<const float> logits,
               std::span<const float> bias)
      : router_(router), weights_(logits.begin(), logits.end()) {
    if (router.rule == ops::RouterRule::SigmoidBias) {
      std::transform(logits.begin(), logits.end(), weights_.begin(), sigmoid_of);
      scores_ = weights_;
      add(bias, scores_);
    } else {
      add(bias, weights_);
      if (router.rule == ops::RouterRule::SoftmaxTopk) normalise_exponentials(weights_);
      scores_ = weights_;
    }
    if (std::any_of(scores_.begin(), scores_.end(), [](float s) { return std::isnan(s); })) {
      throw ModelError("gpu: a router's score is not a number");
    }
  }

  std::vector<Choice> run() {
    if (router_.groups > 1) close_groups();
    std::vector<Choice> choices;
    for (const std::int64_t expert : largest_of(scores_, router_.top_k)) {
      if (scores_[index_of(expert)] == unreachable) break;
      choices.push_back({expert, weights_[index_of(expert)]});
    }
    if (static_cast<std::int64_t>(choices.size()) < router_.top_k) {
      throw ModelError("gpu: a router cannot choose as many experts as it must");
    }
    finish(choices);
    return choices;
  }

 private:
  static void add(std::span<const float> bias, std::vector<float>& values) {
    for (std::size_t i = 0; i < bias.size(); ++i) values[i] += bias[i];
  }

  [[nodiscard]] float group_score(std::span<const float> group) const {
    const bool pair = router_.group_score == ops::GroupScore::SumOfTop2;
    float sum = 0;
    for (const std::int64_t best : largest_of(group, pair ? 2 : 1)) sum += group[index_of(best)];
    return sum;
  }

  /// Experts outside the best groups cannot win, or win with a score of zero.
  void close_groups() {
    const std::size_t size = scores_.size() / index_of(router_.groups);
    std::vector<float> totals;
    for (std::size_t group = 0; group < index_of(router_.groups); ++group) {
      totals.push_back(group_score(std::span(scores_).subspan(group * size, size)));
    }
    const std::vector<std::int64_t> open = largest_of(totals, router_.top_groups);
    const bool may_win = router_.group_mask == ops::GroupMask::Zero;
    for (std::size_t expert = 0; expert < scores_.size(); ++expert) {
      const auto group = static_cast<std::int64_t>(expert / size);
      if (std::find(open.begin(), open.end(), group) != open.end()) continue;
      scores_[expert] = may_win ? 0 : unreachable;
      // Where probabilities are masked, weights are taken from what is left of them.
      if (may_win && router_.rule == ops::RouterRule::SoftmaxTopk) weights_[expert] = 0;
    }
  }

  void finish(std::vector<Choice>& choices) const {
    std::vector<float> weights;
    for (const Choice& choice : choices) weights.push_back(choice.weight);
    if (router_.rule == ops::RouterRule::TopkSoftmax) {
      normalise_exponentials(weights);
    } else if (router_.renormalise) {
      float sum = 0;
      for (const float weight : weights) sum += weight;
      if (router_.rule == ops::RouterRule::SigmoidBias) sum += score_sum_epsilon;
      for (float& weight : weights) weight /= sum;
    }
    for (std::size_t i = 0; i < choices.size(); ++i) {
      choices[i].weight = weights[i] * static_cast<float>(router_.scale);
    }
  }

  const ops::Router& router_;
  std::vector<float> weights_;  ///< what the weights of choices are made of
  std::vector<float> scores_;   ///< what is chosen by
};

}  // namespace

std::vector<Choice> choose_experts(const ops::Router& router, std::span<const float> logits,
                                   std::span<const float> bias) {
  return TokenRouting(router, logits, bias).run();
}

}  // namespace tandem::gpu
