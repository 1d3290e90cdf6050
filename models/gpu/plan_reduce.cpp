#include "models/gpu/plan_reduce.hpp"

#include <algorithm>

namespace tandem::gpu {
namespace {

class ReduceProgram final : public CtaProgram {
 public:
  ReduceProgram(std::vector<ReduceTask> tasks, std::int64_t tiles)
      : tasks_(std::move(tasks)), tiles_(tiles) {}
  [[nodiscard]] std::int64_t ctas() const override {
    return static_cast<std::int64_t>(tasks_.size());
  }
  [[nodiscard]] std::int64_t tiles() const override { return tiles_; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(task(cta).parts);
  }
  void step(std::int64_t cta, int index, Step& out) const override {
    out.add({task(cta).first_tile + index, task(cta).part_bytes, Operand::Workspace, 1});
    out.rounds = task(cta).rounds;
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override { out = task(cta).epilogue; }

 private:
  [[nodiscard]] const ReduceTask& task(std::int64_t cta) const {
    return tasks_[static_cast<std::size_t>(cta)];
  }
  std::vector<ReduceTask> tasks_;
  std::int64_t tiles_;
};

}  // namespace

PlanPhase reduce_phase(const GpuParams& params, std::vector<ReduceTask> tasks, std::int64_t tiles) {
  PlanPhase phase;
  std::int64_t parts = 1;
  for (const ReduceTask& task : tasks) parts = std::max(parts, task.parts);
  phase.program = std::make_shared<ReduceProgram>(std::move(tasks), tiles);
  phase.ctas_per_sm = std::max<std::int64_t>(1, ctas_per_sm(params, {Bytes(0), Bytes(65536), 256}));
  phase.stages = std::min<std::int64_t>(parts, 8);
  return phase;
}

}  // namespace tandem::gpu
