// Implementation class of the chip interface, shared with the loaded stage that executes on it.
#pragma once

#include <map>

#include "models/gpu/chip_model.hpp"
#include "models/gpu/floor.hpp"
#include "models/gpu/machine.hpp"
#include "models/gpu/pass_kernels.hpp"
#include "sim/lower/kernel_memory.hpp"

namespace tandem::gpu {

/// One simulated kernel with what it did, before it is named by a role.
struct SimulatedKernel {
  KernelTiming timing;
  Picoseconds floor;
};

class GpuChip final : public ChipModel {
 public:
  GpuChip(const Chip& chip, const Software& software);
  [[nodiscard]] const Chip& chip() const override { return chip_; }
  [[nodiscard]] Hertz clock() const override { return params_.clock; }
  [[nodiscard]] Precision executed(const Precision& asked) const override;
  [[nodiscard]] Fit fit(const Stage& stage, std::int64_t sequences,
                        std::int64_t max_context) const override;
  [[nodiscard]] std::int64_t batch_limit() const override { return 0; }
  [[nodiscard]] std::int64_t parallel_units() const override { return params_.sms; }
  [[nodiscard]] StageCost simulate(const Stage& stage, const Batch& batch,
                                   TimelineRecorder* timeline) const override;
  [[nodiscard]] Picoseconds floor(const Stage& stage, const Batch& batch) const override;
  [[nodiscard]] std::unique_ptr<ChipModel> without_units(std::int64_t units) const override;
  [[nodiscard]] KernelCost simulate_run(const KernelRun& run) const override;
  [[nodiscard]] std::unique_ptr<LoadedStage> load(const Stage& stage, const Weights& weights,
                                                  std::int64_t sequences,
                                                  std::int64_t max_context) const override;
  [[nodiscard]] Watts static_power() const override { return params_.energy.idle; }
  [[nodiscard]] std::map<std::string, Joules> energy_per_count() const override;

  [[nodiscard]] const GpuParams& params() const { return params_; }
  /// A kernel at a core clock.
  [[nodiscard]] SimulatedKernel simulated(const KernelKind& kind, Hertz clock) const;
  /// The clock at which the governor holds these kernels when they run over and over.
  [[nodiscard]] Hertz sustained_clock(const std::vector<KernelKind>& kinds) const;
  void share_kernels(std::shared_ptr<KernelMemory> memory, const KernelShelf& shelf) override;

 private:
  GpuChip(const GpuChip& whole, std::int64_t without);
  /// At a clock, or between the two nearest of the anchors where that is as good.
  [[nodiscard]] KernelTiming timing_near(const KernelKind& kind, Hertz clock) const;
  /// Simulates a kernel, or takes what an equal one did from memory.
  [[nodiscard]] KernelTiming timing_at(const KernelKind& kind, Hertz clock) const;
  [[nodiscard]] KernelCost cost_of(const Kernel& kernel, const SimulatedKernel& result,
                                   Hertz clock) const;
  /// Counts a kernel `times` times.
  void count_activity(const Kernel& kernel, std::int64_t times, const SimulatedKernel& result,
                      Hertz clock, Activity& activity) const;

  Chip chip_;
  GpuParams params_;
  Peaks peaks_;
  std::int64_t workspace_tokens_;
  std::shared_ptr<KernelMemory> memory_ = std::make_shared<KernelMemory>();
  KernelShelf shelf_;
};

}  // namespace tandem::gpu
