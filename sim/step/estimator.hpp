// What a pass costs within a service run: simulated where a pass recurs or is asked to be exact,
// interpolated between simulated anchors elsewhere, and audited afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sim/core/random.hpp"
#include "sim/step/anchors.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {

/// Which clock answers: cycle simulation, or the analytical floors.
enum class Fidelity : std::uint8_t { Cycle, Analytical };

/// Cost of one pass of a service run. The vectors are as in StepCost.
struct StepEstimate {
  std::vector<Picoseconds> stations;
  std::vector<Picoseconds> hops;
  Picoseconds floor_latency;  ///< of this very pass, never interpolated
  Picoseconds floor_period;
  bool interpolated = false;
  Picoseconds drafting{0};        ///< of the stations' time, passes that draft
  Picoseconds floor_drafting{0};  ///< of the floors, the same
  [[nodiscard]] Picoseconds latency() const;
  [[nodiscard]] Picoseconds period() const;
};

/// Sums over the passes of a run for the chips of another pool that take part in them.
struct RemoteTotals {
  std::map<std::string, double> activity;
  double matrix_flops = 0;
  double memory_bytes = 0;
  double kernels = 0;
  double busy_s = 0;  ///< of the busiest gang
};

/// Sums over the passes of a run, of all replicas of a pool.
struct PoolTotals {
  std::int64_t steps = 0;
  std::int64_t interpolated = 0;
  std::map<std::string, double> activity;
  std::map<std::string, double> link_bytes;
  double matrix_flops = 0;
  double memory_bytes = 0;
  double kernels = 0;
  RemoteTotals remote;  ///< feed-forward halves on other chips
  /// Analytical time of the passes, split over the tokens of prompts and the generated ones.
  double prefill_floor_s = 0;
  double decode_floor_s = 0;
  /// Latency of the passes by what they spend it on (StepCost::parts).
  std::map<std::string, double> part_seconds;
  std::map<std::string, double> bottleneck_seconds;  ///< time of the slowest station, by its bound
};

/// Whether a slice computes prompt tokens: a chunk, or one token that nothing is sampled from.
[[nodiscard]] bool is_prompt(const SequenceSlice& slice);

/// Answers passes of one pool and keeps count of them.
///
/// Contract: an answer depends only on the scenario and the batch, not on earlier ones; which
/// passes are simulated depends only on the batches asked for, not on the store.
class StepEstimator {
 public:
  StepEstimator(PoolModel& pool, Fidelity fidelity, bool exact);
  StepEstimator(const StepEstimator&) = delete;
  StepEstimator& operator=(const StepEstimator&) = delete;
  /// Estimates a pass and counts it as executed.
  StepEstimate execute(const Batch& batch);
  /// Times of a pass that may not come to be: not counted. For chips with static schedules.
  [[nodiscard]] StepEstimate expect(const Batch& batch);
  /// PoolModel::trace(); nothing on the analytical clock.
  [[nodiscard]] PassTrace trace(const Batch& batch) {
    return fidelity_ == Fidelity::Cycle ? pool_.trace(canonical(batch)) : PassTrace{};
  }
  [[nodiscard]] PoolTotals totals() const;
  /// Distinct passes that were simulated to answer.
  [[nodiscard]] std::int64_t simulated() const {
    return static_cast<std::int64_t>(simulated_.size());
  }
  [[nodiscard]] PoolModel& pool() { return pool_; }

 private:
  [[nodiscard]] Batch canonical(const Batch& batch) const;
  static StepEstimate analytical(const StepFloor& floor);
  void simulate_exactly(const Batch& batch, StepEstimate& estimate);
  void interpolate(const Batch& batch, StepEstimate& estimate);
  const StepCost& simulated_step(const Batch& batch);
  /// A point of the grid, simulated once, and how much of all passes it stands for.
  struct Anchor {
    const StepCost* cost = nullptr;
    Picoseconds floor{0};
    double weight = 0;
  };
  Anchor& anchor_at(const BatchFeatures& point);
  static void count(const StepCost& cost, double weight, PoolTotals& totals);
  /// What one more pass of a cost adds to the totals, found once for each cost.
  struct Count {
    std::vector<std::pair<double*, double>> more;
  };
  static Count count_of(const StepCost& cost, PoolTotals& totals);
  /// A batch of a pool with a static schedule: what stands for it, found once.
  struct StaticPass {
    const StepFloor* floor = nullptr;
    const StepCost* cost = nullptr;
    double prompt_share = 0;
    Count* count = nullptr;  ///< null until it is executed
  };
  StaticPass& static_pass(const Batch& batch);
  static StepEstimate estimate_of(const StaticPass& pass);
  StepEstimate execute_static(const Batch& batch);
  /// Of the floor of a pass: a mixed one is split as its two parts by themselves would take time.
  double prompt_share(const Batch& batch);
  void split_floor(double prompt_share, const StepFloor& floor);

  PoolModel& pool_;
  Fidelity fidelity_;
  bool exact_;
  DecodeEdges edges_;
  PoolTotals totals_;  ///< what anchors stand for left out
  std::map<BatchFeatures, Anchor> anchors_;
  std::unordered_map<std::uint64_t, StaticPass> static_passes_;
  std::unordered_map<const StepCost*, Count> counts_;
  std::set<std::uint64_t> simulated_;
};

/// What the audit of interpolated passes found; errors are relative to the simulated latency.
struct AuditReport {
  std::int64_t steps = 0;
  double mean_error = 0;        ///< mean absolute error, weighted by simulated time
  double mean_error_bound = 0;  ///< its 95 % upper bound
  double tpot_p99_error = 0;    ///< 95 % bound of the bias of passes with decodes
};

/// A pass that a run executed, kept by a sampler.
struct SampledStep {
  double priority = 0;
  PoolModel* pool = nullptr;
  Batch batch;
  double estimated = 0;  ///< latency in picoseconds
};

/// A random sample of passes, without replacement and in proportion to their time (Efraimidis and
/// Spirakis 2006, weighted reservoir). Draws one number per pass offered.
class StepReservoir {
 public:
  StepReservoir(std::uint64_t seed, std::string_view stream, std::int64_t size);
  void offer(PoolModel& pool, const Batch& batch, const StepEstimate& estimate);
  [[nodiscard]] const std::vector<SampledStep>& samples() const { return heap_; }
  [[nodiscard]] std::int64_t offered() const { return offered_; }

 private:
  RandomStream stream_;
  std::size_t size_;
  std::vector<SampledStep> heap_;  ///< smallest priority on top
  std::int64_t offered_ = 0;
};

/// Watches the passes of a run: a sample of the interpolated ones to audit, and a few of all of
/// them that stand for the run where the effect of an input is asked for.
class StepSampler {
 public:
  StepSampler(std::uint64_t seed, std::int64_t audit_steps);
  void offer(StepEstimator& estimator, const Batch& batch, const StepEstimate& estimate);
  /// A pass that is part of another one, which stands for the run.
  void offer_to_audit(StepEstimator& estimator, const Batch& batch, const StepEstimate& estimate);
  /// Simulates the sample in full and compares.
  [[nodiscard]] AuditReport audit() const;
  [[nodiscard]] const std::vector<SampledStep>& representatives() const {
    return representatives_.samples();
  }

 private:
  StepReservoir audited_;
  StepReservoir representatives_;
};

}  // namespace tandem
