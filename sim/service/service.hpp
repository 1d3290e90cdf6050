// From a scenario to a run result: requests through router, replicas and links over time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/timeline.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/service/pool_use.hpp"
#include "sim/service/request.hpp"
#include "sim/service/request_groups.hpp"
#include "sim/service/speculation/speculation_use.hpp"
#include "sim/step/estimator.hpp"
#include "sim/step/pool_model.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

struct RunOptions {
  Fidelity fidelity = Fidelity::Cycle;
  bool all_ranks = false;             ///< simulate every rank of a gang instead of one of each kind
  bool exact = false;                 ///< simulate every pass instead of interpolating
  std::optional<std::uint64_t> seed;  ///< instead of the scenario's
  std::optional<std::int64_t> audit_steps;  ///< instead of the scenario's
  std::optional<std::string> store;         ///< folder of stored results; none: memory only
  TimelineRecorder* timeline = nullptr;
};

/// A pass that stands for a share of the run's time.
struct RepresentativeStep {
  std::string pool;  ///< key of the pool in RunResult::pools
  Batch batch;
};

/// Everything a run measured. Equal scenarios and options give equal values, `run` members aside.
struct RunResult {
  Traffic traffic;  ///< as run
  std::uint64_t seed = 0;
  Fidelity fidelity = Fidelity::Cycle;
  std::vector<RequestRecord> requests;  ///< by id
  std::vector<double> itl_ms;           ///< gaps between the tokens of a request, all requests
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
  std::optional<SpeculationUse> speculation;
  std::optional<GroupUse> groups;  ///< where arrivals are groups of requests
  // The part left out of comparisons.
  double wall_s = 0;
  std::int64_t store_hits = 0;
  std::int64_t store_misses = 0;
};

/// The chips of a placement, ready to serve any load of the scenario's kind of request. Passes that
/// were simulated for one load are remembered for the next; results do not depend on that.
class ServiceModel {
 public:
  /// Throws ConfigError when the placement does not fit.
  ServiceModel(const Scenario& scenario, const Catalogue& catalogue, NetworkFactory make_network,
               std::optional<std::string> store);
  ~ServiceModel();
  /// Serves `traffic`, which differs from the scenario's in load and number of requests alone.
  RunResult run(const Traffic& traffic, const RunOptions& options);
  /// Time of one request of mean length by itself, on the analytical clock.
  [[nodiscard]] Picoseconds time_alone();
  [[nodiscard]] const PoolModel& prefill_pool() const { return *prefill_; }
  /// The same as prefill_pool() where one pool does both.
  [[nodiscard]] const PoolModel& decode_pool() const { return decode_ ? *decode_ : *prefill_; }
  /// The pool that a result calls by this name.
  [[nodiscard]] const PoolModel& pool_named(const std::string& name) const;

 private:
  friend class ServiceRun;
  [[nodiscard]] Picoseconds time_of_rounds(const Batch& token);
  /// What drafts on the chips of a pool; null where nothing does.
  [[nodiscard]] PoolModel* drafting_of(const PoolModel& pool) {
    return &pool == prefill_.get() ? prefill_drafting_.get() : decode_drafting_.get();
  }

  const Scenario& scenario_;
  NetworkFactory make_network_;
  StageStore store_;
  std::unique_ptr<PoolModel> prefill_;
  std::unique_ptr<PoolModel> decode_;
  std::unique_ptr<PoolModel> draft_;  ///< on a pool of its own
  std::unique_ptr<PoolModel> prefill_drafting_;
  std::unique_ptr<PoolModel> decode_drafting_;
};

/// One run of a scenario. Throws ConfigError for a placement that does not fit.
[[nodiscard]] RunResult run(const Scenario& scenario, const Catalogue& catalogue,
                            const NetworkFactory& make_network, const RunOptions& options);

}  // namespace tandem
