// Reference operator: which experts a token goes to, and with what weight.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::ops {

/// How logits become expert weights. Sources in router.cpp.
enum class RouterRule : std::uint8_t {
  SoftmaxTopk,  ///< p = softmax(all logits); the k largest p; renormalised where `renormalise`
  TopkSoftmax,  ///< the k largest logits; softmax over them (Mixtral, gpt-oss)
  SigmoidBias,  ///< s = sigmoid(logit); the k largest s + bias; weight from s, renormalised
};

/// How a group of experts is scored where only some groups may be chosen from.
enum class GroupScore : std::uint8_t {
  Best,       ///< largest score in it (DeepSeek-V2)
  SumOfTop2,  ///< sum of its two largest biased scores (DeepSeek-V3)
};

/// What stands in place of the scores of groups that are not chosen.
enum class GroupMask : std::uint8_t {
  MinusInfinity,  ///< the reference code: experts of masked groups can not win
  Zero,           ///< the Hugging Face code: they win against negative biased scores
};

/// A router's rule.
struct Router {
  RouterRule rule = RouterRule::SoftmaxTopk;
  std::int64_t experts = 0;
  std::int64_t top_k = 0;
  bool renormalise = true;      ///< weights divided by their sum (+ 1e-20 for SigmoidBias);
                                ///< TopkSoftmax sums to 1 without it
  double scale = 1;             ///< weights are multiplied by this at the end
  bool bias = false;            ///< SigmoidBias: correction bias for the choice; others: on logits
  std::int64_t groups = 1;      ///< equal runs of experts
  std::int64_t top_groups = 1;  ///< groups that may be chosen from
  GroupScore group_score = GroupScore::Best;
  GroupMask group_mask = GroupMask::MinusInfinity;
  bool operator==(const Router&) const = default;
};

/// One chosen expert of a token.
struct Route {
  std::int32_t expert = 0;
  float weight = 0;
  bool operator==(const Route&) const = default;
};

/// The experts of one token, best first; equal scores go to the lower index, of groups as of
/// experts. `logits` has router.experts elements; `bias` as many where router.bias, else none.
/// Computed in float; sums of weights run best first. Where groups are masked with zero, a masked
/// expert that wins has the weight of its own score under SigmoidBias and 0 under SoftmaxTopk, as
/// the sources have it. Throws ModelError for more top_k than experts that may win, groups that do
/// not divide the experts, a bias too many or missing, and scores that are not numbers.
[[nodiscard]] std::vector<Route> route(const Router& router, std::span<const float> logits,
                                       std::span<const float> bias);

}  // namespace tandem::ops
