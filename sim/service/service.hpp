// From a scenario to a run result: requests through models, replicas and links over time.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/service/deployment_model.hpp"
#include "sim/service/run_result.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// The chips of a scenario's models, ready to serve any load of the scenario's kind of request.
/// Passes that were simulated for one load are remembered for the next; results do not depend on
/// that.
class ServiceModel {
 public:
  /// Throws ConfigError when a placement does not fit.
  ServiceModel(const Scenario& scenario, const Catalogue& catalogue, NetworkFactory make_network,
               std::optional<std::string> store);
  ~ServiceModel();
  /// Serves `traffic`, which differs from the scenario's in load and number of requests alone.
  RunResult run(const Traffic& traffic, const RunOptions& options);
  /// Time of one request of mean length by itself, on the analytical clock; of a mix the mean over
  /// the ways that requests take.
  [[nodiscard]] Picoseconds time_alone();
  /// One per model, in the order of the scenario.
  [[nodiscard]] const std::vector<std::unique_ptr<DeploymentModel>>& deployments() const {
    return deployments_;
  }
  /// The pool that a result calls by this name, and the deployment that it belongs to.
  [[nodiscard]] const PoolModel& pool_named(const std::string& name) const;
  [[nodiscard]] std::size_t deployment_of(const std::string& pool) const;

 private:
  friend class ServiceRun;
  const Scenario& scenario_;
  NetworkFactory make_network_;
  StageStore store_;
  std::deque<Scenario> sides_;  ///< of a mix: each deployment as a scenario
  std::vector<std::unique_ptr<DeploymentModel>> deployments_;
};

/// The part of a pool's name in results behind that of its deployment: "prefill", "draft"; of pools
/// that do all of it the whole name.
[[nodiscard]] std::string phase_of_pool(const std::string& name);

/// One run of a scenario. Throws ConfigError for a placement that does not fit.
[[nodiscard]] RunResult run(const Scenario& scenario, const Catalogue& catalogue,
                            const NetworkFactory& make_network, const RunOptions& options);

}  // namespace tandem
