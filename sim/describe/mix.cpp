#include "sim/describe/mix.hpp"

#include <algorithm>

namespace tandem {
namespace {

/// Numbers below which each deployment's answer stands.
std::vector<double> upper_bounds(const Scenario& mix) {
  std::vector<double> bounds;
  if (mix.routing.policy == RoutingPolicy::Share) {
    double sum = 0;
    for (const Deployment& deployment : mix.deployments) bounds.push_back(sum += deployment.share);
  } else {
    bounds = mix.routing.thresholds;
    bounds.push_back(1);
  }
  bounds.back() = 1;  // shares that add up to nearly one
  return bounds;
}

}  // namespace

Scenario deployment_side(const Scenario& mix, std::size_t deployment) {
  const Deployment& own = mix.deployments.at(deployment);
  Scenario side = mix;
  side.model = own.model;
  side.draft_model = own.draft_model;
  side.placement = own.placement;
  side.serving = own.serving;
  side.deployments.clear();
  return side;
}

std::size_t answering_deployment(const Scenario& mix, double drawn) {
  const std::vector<double> bounds = upper_bounds(mix);
  const auto above = std::upper_bound(bounds.begin(), bounds.end() - 1, drawn);
  return static_cast<std::size_t>(above - bounds.begin());
}

std::vector<double> expected_loads(const Scenario& mix) {
  std::vector<double> loads;
  double before = 0;
  for (const double bound : upper_bounds(mix)) {
    loads.push_back(mix.routing.policy == RoutingPolicy::Cascade ? 1 - before : bound - before);
    before = bound;
  }
  return loads;
}

}  // namespace tandem
