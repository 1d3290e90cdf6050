// One model of a service at work: its router, replicas and links over time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sim/service/batching_replica.hpp"
#include "sim/service/deployment_model.hpp"
#include "sim/service/front_end.hpp"
#include "sim/service/kv_transfer.hpp"
#include "sim/service/layerwise_transfer.hpp"
#include "sim/service/perturbation.hpp"
#include "sim/service/planner/step_profile.hpp"
#include "sim/service/pool_tiers.hpp"
#include "sim/service/router.hpp"
#include "sim/service/run_result.hpp"
#include "sim/service/speculation/draft_passes.hpp"
#include "sim/service/speculation/speculator.hpp"
#include "sim/service/system_agenda.hpp"
#include "sim/service/tier_passes.hpp"

namespace tandem {

class SharedLinks;

/// What the parts of a run have in common.
struct RunParts {
  const Traffic& traffic;
  const RunOptions& options;
  std::uint64_t seed = 0;
  SystemAgenda& agenda;
  StepSampler& sampler;
  const NetworkFactory& make_network;
  SharedLinks* links = nullptr;  ///< that several models use; null: this one has its own
};

/// A further precision on the chips of a deployment.
struct HostedTier {
  DeploymentModel& model;
  std::string name;
};

/// The parts of one deployment and the tiers on its chips, alive while a run lasts. Tiers are
/// numbered from 0, its own.
class DeploymentRun {
 public:
  /// `name` of the deployment; empty where it is the only one.
  DeploymentRun(DeploymentModel& model, std::string name, const RunParts& parts,
                const std::vector<HostedTier>& hosted = {});
  /// Where answers go. Comes before the run.
  void connect(AnswerSink& answers);
  /// Where its requests arrive, or those of a tier.
  [[nodiscard]] RequestInlet& inlet(std::size_t tier = 0);
  /// Requests beside those that arrived; null where there are none.
  [[nodiscard]] const RequestGroups* groups() const { return groups_.get(); }
  /// What it measured, but for its requests: `result.simulated_s` is that of the run. Leaves out
  /// its links where several models use them.
  void collect(RunResult& result);
  /// The same of one of several tiers: chips as all tiers have them, passes of its own.
  void collect_tier(std::size_t tier, RunResult& result);
  [[nodiscard]] bool has_tiers() const { return tiers_.has_value(); }
  /// Part of the time of all steps that a tier's passes took.
  [[nodiscard]] double share_of_tier(std::size_t tier) const { return tiers_->share(tier); }
  /// Key in results of a pool that took part; empty for others.
  [[nodiscard]] std::string key_of(const PoolModel& pool) const;

 private:
  /// Passes that draft on the chips of a pool.
  struct Drafting {
    std::optional<StepEstimator> estimator;
    std::optional<DraftPasses> passes;
  };
  /// Where the requests of a tier arrive.
  class TierInlet final : public RequestInlet {
   public:
    TierInlet(DeploymentRun& run, std::size_t tier) : run_(run), tier_(tier) {}
    void arrived(Request& request, Picoseconds now) override;

   private:
    DeploymentRun& run_;
    std::size_t tier_;
  };
  /// Where requests enter, whatever turns arrivals into them.
  [[nodiscard]] RequestInlet& engine();
  [[nodiscard]] RequestInlet& behind_front_end();
  [[nodiscard]] std::unique_ptr<FrontEnd> make_front_end();
  void add_tiers(const std::vector<HostedTier>& hosted);
  [[nodiscard]] std::unique_ptr<Speculator> make_speculator();
  [[nodiscard]] std::unique_ptr<RequestGroups> make_groups();
  void add_drafters();
  [[nodiscard]] Role prefill_role() const;
  [[nodiscard]] RequestSink& sink_of(Role role);
  void make_replicas(StepEstimator& estimator, Role role, Router::Replicas& replicas);
  void make_transfer();
  template <class Piece>
  void add_drafting(std::vector<Piece> (*pieces_of)(const PoolModel&, const PoolModel&),
                    std::vector<Piece>& pieces);
  [[nodiscard]] DraftPasses* drafts_on(StepEstimator& estimator, Role role);
  void describe_speculation();
  void add_components();
  void add_autoscaler();
  void collect_planner(RunResult& result) const;
  [[nodiscard]] std::string name_of(Role role, const PoolModel& pool) const;
  [[nodiscard]] std::string with_name(const std::string& part) const;
  [[nodiscard]] GroupUse group_use() const;
  [[nodiscard]] PoolUse use_of(StepEstimator& estimator, const Router::Replicas& replicas,
                               const RunResult& result) const;
  void collect_pools(RunResult& result);
  void collect_steps(RunResult& result);

  DeploymentModel& model_;
  std::string name_;
  RunParts parts_;
  Router router_;
  Perturbation perturbation_;
  std::unique_ptr<Speculator> speculator_;     ///< of drafts on a pool of their own
  std::optional<SpeculationUse> speculation_;  ///< of drafts in place
  std::unique_ptr<FrontEnd> front_end_;        ///< where software takes time for requests
  Drafting prefill_drafting_;
  Drafting decode_drafting_;
  std::unique_ptr<RequestGroups> groups_;  ///< where an arrival is several requests
  StepEstimator prefill_estimator_;
  std::optional<PoolTiers> kv_tiers_;    ///< of the pool that computes prompts
  std::optional<TierPasses> tiers_;      ///< where there are several
  std::vector<std::string> tier_names_;  ///< the same
  std::vector<std::unique_ptr<TierInlet>> tier_inlets_;
  std::optional<StepEstimator> decode_estimator_;
  std::optional<StepEstimator> draft_estimator_;
  Router::Replicas prefill_;
  Router::Replicas decode_;
  Router::Replicas draft_;
  std::optional<StepProfile> profile_;  ///< where pools are scaled
  std::optional<Autoscaler> autoscaler_;
  std::unique_ptr<KvTransfer> transfer_;
  std::unique_ptr<LayerwiseTransfer> layers_;  ///< in its place
};

}  // namespace tandem
