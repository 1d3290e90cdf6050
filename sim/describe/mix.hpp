// Mixes: several models on one system, and who answers which request.
#pragma once

#include <cstddef>
#include <vector>

#include "sim/describe/scenario.hpp"

namespace tandem {

/// A deployment of a mix as a scenario of one model: on the same system, under all of its traffic.
[[nodiscard]] Scenario deployment_side(const Scenario& mix, std::size_t deployment);

/// The deployment whose answer stands, for a number drawn uniformly from [0, 1).
[[nodiscard]] std::size_t answering_deployment(const Scenario& mix, double drawn);

/// Mean number of times that each deployment computes a request. Of two models with a share f of
/// the requests on the strong one: 1 - f and f; of a cascade 1 and f.
[[nodiscard]] std::vector<double> expected_loads(const Scenario& mix);

}  // namespace tandem
