// Sources of the rules. Softmax over all, top k, renormalised: huggingface/transformers
// modeling_qwen3_moe.py. Top k, then softmax: mistralai Mixtral (arXiv 2401.04088, section 2.1) and
// openai/gpt-oss@7b58334 gpt_oss/torch/model.py. Sigmoid with a correction bias and groups:
// deepseek-ai/DeepSeek-V3@9b4e978 inference/model.py, Gate (masks with -infinity), and
// huggingface/transformers modeling_deepseek_v3.py (masks with 0, adds 1e-20). Softmax with groups,
// not renormalised: huggingface/transformers modeling_deepseek_v2.py.
#include "sim/numerics/ops/router.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/activation.hpp"
#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/softmax.hpp"

namespace tandem::ops {
namespace {

void check(const Router& router, std::span<const float> bias) {
  if (router.experts < 1 || router.top_k < 1 || router.groups < 1 || router.top_groups < 1) {
    throw ModelError("router: experts, top_k, groups and top_groups are at least 1");
  }
  if (router.experts % router.groups != 0 || router.top_groups > router.groups) {
    throw ModelError("router: groups divide the experts, and top_groups is at most groups");
  }
  const std::int64_t per_group = router.experts / router.groups;
  const bool masked_may_win = router.group_mask == GroupMask::Zero;
  if (router.top_k > (masked_may_win ? router.experts : per_group * router.top_groups)) {
    throw ModelError("router: top_k is more than the experts that may be chosen");
  }
  if (router.groups > 1 && router.group_score == GroupScore::SumOfTop2 && per_group < 2) {
    throw ModelError("router: the sum of a group's best two needs groups of two experts");
  }
  if (bias.size() != (router.bias ? static_cast<std::size_t>(router.experts) : 0)) {
    throw ModelError("router: a bias per expert where the router has one, else none");
  }
}

float score_of_group(GroupScore rule, std::span<const float> scores) {
  const auto order = largest(scores, rule == GroupScore::SumOfTop2 ? 2 : 1);
  float sum = scores[static_cast<std::size_t>(order[0])];
  for (std::size_t i = 1; i < order.size(); ++i) {
    sum += scores[static_cast<std::size_t>(order[i])];
  }
  return sum;
}

/// Which experts stand in groups that may be chosen from.
std::vector<bool> open_experts(const Router& router, std::span<const float> choice) {
  const auto groups = static_cast<std::size_t>(router.groups);
  const std::size_t per_group = choice.size() / groups;
  std::vector<float> scores(groups);
  for (std::size_t g = 0; g < groups; ++g) {
    scores[g] = score_of_group(router.group_score, choice.subspan(g * per_group, per_group));
  }
  std::vector<bool> open(choice.size(), false);
  for (const std::int32_t g : largest(scores, router.top_groups)) {
    std::fill_n(open.begin() + g * static_cast<std::ptrdiff_t>(per_group), per_group, true);
  }
  return open;
}

/// What weights come from (`score`) and what is chosen by (`choice`).
struct Scores {
  std::vector<float> score, choice;
};

Scores scores_of(const Router& router, std::span<const float> logits, std::span<const float> bias) {
  Scores scores;
  scores.score.assign(logits.begin(), logits.end());
  const auto add_bias = [bias](std::vector<float>& values) {
    for (std::size_t i = 0; i < bias.size(); ++i) {
      values[i] += bias[i];
    }
  };
  if (router.rule == RouterRule::SigmoidBias) {
    std::transform(logits.begin(), logits.end(), scores.score.begin(), sigmoid);
    scores.choice = scores.score;
    add_bias(scores.choice);
  } else {
    add_bias(scores.score);
    if (router.rule == RouterRule::SoftmaxTopk) {
      softmax(scores.score);
    }
    scores.choice = scores.score;
  }
  for (const float score : scores.choice) {
    if (std::isnan(score)) {
      throw ModelError("router: a score is not a number");
    }
  }
  return scores;
}

/// Closes the groups that are not among the best and returns the experts that may still win, in
/// ascending order.
std::vector<std::size_t> candidates_of(const Router& router, Scores& scores) {
  std::vector<std::size_t> candidates;
  const std::vector<bool> open = router.groups == 1 ? std::vector<bool>(scores.choice.size(), true)
                                                    : open_experts(router, scores.choice);
  for (std::size_t e = 0; e < open.size(); ++e) {
    if (!open[e] && router.group_mask == GroupMask::MinusInfinity) {
      continue;
    }
    candidates.push_back(e);
    if (!open[e]) {
      scores.choice[e] = 0.0F;
      if (router.rule == RouterRule::SoftmaxTopk) {
        scores.score[e] = 0.0F;  // the source takes weights from the masked probabilities
      }
    }
  }
  return candidates;
}

void finish_weights(const Router& router, std::span<Route> routes) {
  if (router.rule == RouterRule::TopkSoftmax) {
    std::vector<float> weights;
    for (const Route& r : routes) weights.push_back(r.weight);
    softmax(weights);
    for (std::size_t i = 0; i < routes.size(); ++i) routes[i].weight = weights[i];
  } else if (router.renormalise) {
    float sum = 0.0F;
    for (const Route& r : routes) sum += r.weight;
    if (router.rule == RouterRule::SigmoidBias) sum += 1e-20F;
    for (Route& r : routes) r.weight /= sum;
  }
  for (Route& r : routes) {
    r.weight *= static_cast<float>(router.scale);
  }
}

}  // namespace

std::vector<Route> route(const Router& router, std::span<const float> logits,
                         std::span<const float> bias) {
  check(router, bias);
  assert(logits.size() == static_cast<std::size_t>(router.experts));
  Scores scores = scores_of(router, logits, bias);
  std::vector<float> choice;
  const auto candidates = candidates_of(router, scores);
  for (const std::size_t expert : candidates) {
    choice.push_back(scores.choice[expert]);
  }
  std::vector<Route> routes;
  for (const std::int32_t best : largest(choice, router.top_k)) {
    const std::size_t expert = candidates[static_cast<std::size_t>(best)];
    routes.push_back({static_cast<std::int32_t>(expert), scores.score[expert]});
  }
  finish_weights(router, routes);
  return routes;
}

}  // namespace tandem::ops
