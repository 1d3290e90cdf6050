// Implementation of the chip interface by compiled programs. Inside of models/lpu.
#pragma once

#include <map>
#include <mutex>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/chip_model.hpp"

namespace tandem::lpu {

/// What a pass over a given number of KV blocks takes; counts are of all chips of a gang.
struct PassCost {
  std::int64_t cycles = 0;
  std::map<std::string, std::int64_t> counts;
};

/// Time that a pass spends at the host, by what the stage exchanges with it.
[[nodiscard]] Picoseconds host_time(const StageLayout& layout, const Geometry& geometry,
                                    const HostLink& link);
/// Lower bound of a batch from the rates of the weight paths, planes and ALUs; no schedule.
[[nodiscard]] Picoseconds floor_of_passes(const Stage& stage, const Batch& batch,
                                          const Geometry& geometry);
/// The cost of passes with the given numbers of KV blocks, in sequence.
[[nodiscard]] StageCost cost_of_passes(const std::vector<PassCost>& passes, const Stage& stage,
                                       const Batch& batch, const Geometry& geometry,
                                       Picoseconds host_per_pass);

/// LPU of any geometry. Every pass is one token of one request: batches run one after the other.
class LpuChip final : public ChipModel {
 public:
  LpuChip(const Chip& chip, const Software& software);
  [[nodiscard]] const Chip& chip() const override { return chip_; }
  [[nodiscard]] Hertz clock() const override { return geometry_.clock; }
  [[nodiscard]] Fit fit(const Stage& stage, std::int64_t sequences,
                        std::int64_t max_context) const override;
  [[nodiscard]] std::int64_t batch_limit() const override { return 1; }
  /// The residual stream, whatever the activations of the planes are.
  [[nodiscard]] ElementType hidden_type(const Precision&) const override {
    return ElementType::Float32;
  }
  [[nodiscard]] bool schedules_links() const override { return true; }
  /// A KV block: the trip count of the attention loops is all that the context decides.
  [[nodiscard]] std::int64_t context_granularity() const override { return geometry_.lanes(); }
  [[nodiscard]] StageCost simulate(const Stage& stage, const Batch& batch,
                                   TimelineRecorder* timeline) const override;
  [[nodiscard]] Picoseconds floor(const Stage& stage, const Batch& batch) const override;
  [[nodiscard]] KernelCost simulate_run(const KernelRun& run) const override;
  [[nodiscard]] std::unique_ptr<LoadedStage> load(const Stage& stage, const Weights& weights,
                                                  std::int64_t sequences,
                                                  std::int64_t max_context) const override;
  [[nodiscard]] Watts static_power() const override;
  [[nodiscard]] std::map<std::string, Joules> energy_per_count() const override;

 private:
  struct Timed {
    std::shared_ptr<const CompiledStage> compiled;
    std::map<std::int64_t, PassCost> passes;  ///< by KV blocks
  };
  [[nodiscard]] Timed& timed(const Stage& stage) const;
  [[nodiscard]] std::int64_t largest_block_count(const Stage& stage) const;
  [[nodiscard]] std::int64_t largest_slot_count(const Stage& stage, std::int64_t max_context,
                                                std::int64_t rows) const;
  [[nodiscard]] PassCost run_pass(const CompiledStage& compiled, std::int64_t blocks,
                                  TimelineRecorder* timeline) const;
  [[nodiscard]] PassCost pass_cost(const Stage& stage, std::int64_t blocks) const;

  Chip chip_;
  Geometry geometry_;
  LatencyTable latencies_;
  HostLink host_;
  mutable std::mutex mutex_;
  mutable std::map<std::uint64_t, Timed> cache_;  ///< by stage key; changes no answer
};

}  // namespace tandem::lpu
