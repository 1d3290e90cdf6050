// Two models on a system of fake chips, weak and strong, each on chips of its own.
#pragma once

#include <utility>
#include <vector>

#include "tests/step/fakes.hpp"

namespace tandem::fakes {

/// Of 4 and of 8 layers, one chip each. A request by itself (prompt of 32 tokens, answer of 4)
/// takes 5280 + 3 x 4040 = 17400 ns on the weak one and twice that on the strong one.
inline Scenario mix(RoutingPolicy policy, double share_of_weak) {
  Scenario s = scenario();
  Deployment weak{"weak", s.model, {}, s.placement, s.serving, share_of_weak, {}, {}};
  Deployment strong = weak;
  strong.name = "strong";
  strong.model = tiny(8);
  strong.share = 1 - share_of_weak;
  s.deployments = {std::move(weak), std::move(strong)};
  s.routing.policy = policy;
  s.routing.thresholds = {share_of_weak};
  s.model = {};
  s.traffic.requests = 200;
  return s;
}

/// The weak model in two precisions on one chip, called "weak" and "strong".
inline Scenario tiers(RoutingPolicy policy, double share_of_weak) {
  Scenario s = mix(policy, share_of_weak);
  Precision narrow;
  narrow.weights = ElementType::Fp8E4m3;
  Deployment& host = s.deployments[0];
  Deployment& tier = s.deployments[1];
  tier.model = host.model;
  tier.host = 0;
  for (PoolPlacement* pool : {&host.placement.prefill, &host.placement.decode}) {
    pool->tiers = {narrow};
  }
  for (PoolPlacement* pool : {&tier.placement.prefill, &tier.placement.decode}) {
    pool->precision = narrow;
    pool->tiers = {host.placement.prefill.precision};
  }
  return s;
}

/// One model of a mix by itself, serving so many requests one after the other.
inline Scenario alone(const Scenario& mix, std::size_t deployment, std::int64_t requests) {
  Scenario s = mix;
  const Deployment& own = mix.deployments[deployment];
  s.model = own.model;
  s.placement = own.placement;
  s.serving = own.serving;
  s.deployments.clear();
  s.traffic.requests = requests;
  return s;
}

}  // namespace tandem::fakes
