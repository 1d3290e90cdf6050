// Tiers of precision on the same chips: the passes of a step, one per tier.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/step/estimator.hpp"

namespace tandem {

/// What a pool does whose chips hold a model in several precisions. The requests of a step fall
/// into tiers; each tier's are a pass of their own, and the passes run one behind the other.
class TierPasses {
 public:
  /// `first` answers the passes of tier 0.
  explicit TierPasses(StepEstimator& first) : estimators_{&first}, times_(1) {}
  /// A further tier on the same chips.
  void add(PoolModel& pool, Fidelity fidelity, bool exact);
  /// From now on the request runs in a tier.
  void assign(std::int64_t request, std::size_t tier) { tier_of_[request] = tier; }
  /// Estimates the passes of a step and counts them as executed; the sampler sees each.
  StepEstimate execute(const Batch& batch, StepSampler* sampler);
  /// The step executed last took so long, framework and waiting included: divided among its tiers
  /// as their passes are.
  void account(Picoseconds whole);

  [[nodiscard]] std::size_t tiers() const { return estimators_.size(); }
  [[nodiscard]] StepEstimator& estimator(std::size_t tier) const { return *estimators_[tier]; }
  /// Share of all steps' time; 0 where nothing ran.
  [[nodiscard]] double share(std::size_t tier) const;

 private:
  std::deque<StepEstimator> own_;           ///< of tiers but the first; a deque: they stay put
  std::vector<StepEstimator*> estimators_;  ///< by tier
  std::map<std::int64_t, std::size_t> tier_of_;
  std::map<std::size_t, Picoseconds> last_;  ///< latency of each tier's pass in the last step
  std::vector<double> times_;                ///< picoseconds, by tier
};

}  // namespace tandem
