// What a run of a scenario is asked, and everything that it measured.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/timeline.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/service/planner/autoscaler.hpp"
#include "sim/service/pool_tiers.hpp"
#include "sim/service/pool_use.hpp"
#include "sim/service/request.hpp"
#include "sim/service/request_groups.hpp"
#include "sim/service/router.hpp"
#include "sim/service/session_turns.hpp"
#include "sim/service/speculation/speculation_use.hpp"
#include "sim/step/estimator.hpp"

namespace tandem {

struct RunOptions {
  Fidelity fidelity = Fidelity::Cycle;
  bool all_ranks = false;             ///< simulate every rank of a gang instead of one of each kind
  bool exact = false;                 ///< simulate every pass instead of interpolating
  std::optional<std::uint64_t> seed;  ///< instead of the scenario's
  /// Every pass takes a time drawn within this share of its own: what is left of a difference when
  /// only the order of things changes. 0: none.
  double perturbation = 0;
  std::optional<std::int64_t> audit_steps;  ///< instead of the scenario's
  std::optional<std::string> store;         ///< folder of stored results; none: memory only
  TimelineRecorder* timeline = nullptr;
  /// Called between any two events of the run, often; what it throws ends the run. None: nothing.
  std::function<void()> poll;
};

/// A pass that stands for a share of the run's time.
struct RepresentativeStep {
  std::string pool;  ///< key of the pool in RunResult::pools
  Batch batch;
};

struct DeploymentResult;

/// Everything a run measured. Equal scenarios and options give equal values, `run` members aside.
struct RunResult {
  Traffic traffic;  ///< as run
  std::uint64_t seed = 0;
  Fidelity fidelity = Fidelity::Cycle;
  std::vector<RequestRecord> requests;  ///< by id
  std::vector<double> itl_ms;           ///< gaps between the tokens of a request, all requests
  std::vector<TokenBurst> bursts;       ///< tokens by the time they left, those of all models
  std::vector<PoolUse> pools;
  std::map<std::string, LinkUse> links;
  double simulated_s = 0;  ///< first arrival to last completion
  std::int64_t output_tokens = 0;
  std::int64_t input_tokens = 0;
  std::int64_t steps = 0;
  std::int64_t steps_simulated = 0;
  std::int64_t steps_interpolated = 0;
  AuditReport audit;
  std::map<std::string, double> kernels;  ///< kernels answered, by chip model
  std::vector<RepresentativeStep> representatives;
  std::int64_t kv_transfers = 0;
  std::optional<PromptRoutes> prompt_routes;  ///< where prompts have a pool of their own
  std::optional<KvTiersUse> kv_tiers;         ///< where there are memories below HBM
  std::optional<PlannerUse> planner;          ///< where replicas are turned on and off
  std::optional<SpeculationUse> speculation;
  std::optional<GroupUse> groups;      ///< where arrivals are groups of requests
  std::optional<SessionUse> sessions;  ///< where arrivals are sessions
  /// Of a mix of models, in the order of the scenario; `requests` and tokens above are then those
  /// that users see: one answer each, the time of those that were not up to it included.
  std::vector<DeploymentResult> deployments;
  // The part left out of comparisons.
  double wall_s = 0;
  std::int64_t store_hits = 0;
  std::int64_t store_misses = 0;
};

/// What one model of a mix did.
struct DeploymentResult {
  std::string name;
  std::string model;
  std::int64_t answers = 0;  ///< requests whose answer stands
  /// Of the requests that it computed, as if it were alone: they arrive when they come to it, and
  /// `simulated_s` is the time during which it had any. Shares of its pools and steps of the audit
  /// are those of the whole run.
  RunResult run;
};

}  // namespace tandem
