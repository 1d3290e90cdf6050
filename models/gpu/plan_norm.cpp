#include "models/gpu/plan_norm.hpp"

#include <algorithm>

namespace tandem::gpu {
namespace {

constexpr std::int64_t most_threads = 1024;

/// Part of `total` that belongs to one of `pieces`; the parts sum to the total.
std::int64_t part_of(std::int64_t total, std::int64_t pieces, std::int64_t index) {
  return total / pieces + (index < total % pieces ? 1 : 0);
}

class NarrowNormProgram final : public CtaProgram {
 public:
  NarrowNormProgram(const KernelWork& work, std::int64_t rows, std::int64_t rounds)
      : work_(work), rows_(rows), rounds_(rounds) {}

  [[nodiscard]] std::int64_t ctas() const override { return rows_; }
  [[nodiscard]] std::int64_t tiles() const override { return rows_ + 1; }
  [[nodiscard]] int steps(std::int64_t) const override { return 2; }
  void step(std::int64_t cta, int index, Step& out) const override {
    const Bytes row(part_of(work_.read_bytes.count(), rows_, cta));
    out.add({cta, row, Operand::Activation, 1});
    if (index == 1) out.add({rows_, work_.weight_bytes, Operand::Weight, 1});
    out.rounds = rounds_;
    out.vector = Flops(part_of(part_of(work_.vector.count(), rows_, cta), 2, index));
    out.special = Flops(part_of(part_of(work_.special.count(), rows_, cta), 2, index));
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override {
    out.store = Bytes(part_of(work_.write_bytes.count(), rows_, cta));
  }

 private:
  KernelWork work_;
  std::int64_t rows_;
  std::int64_t rounds_;
};

}  // namespace

KernelPlan plan_narrow_norm(const GpuParams& params, const Kernel& kernel, const NormKernel& norm) {
  const KernelWork work = work_of(kernel);
  const std::int64_t threads = std::min(norm.hidden, most_threads);
  const std::int64_t row = work.read_bytes.count() / std::max<std::int64_t>(1, norm.tokens);
  const std::int64_t turn = threads * params.norm_access;
  PlanPhase phase;
  phase.program = std::make_shared<NarrowNormProgram>(
      work, norm.tokens, std::max<std::int64_t>(1, (row + turn - 1) / turn));
  phase.ctas_per_sm = std::max<std::int64_t>(1, ctas_per_sm(params, {Bytes(0), Bytes(0), threads}));
  phase.stages = 1;
  phase.has_setup = false;
  KernelPlan plan;
  plan.algorithm = "norm, one element per load";
  plan.phases.push_back(phase);
  return plan;
}

}  // namespace tandem::gpu
