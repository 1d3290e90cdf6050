#include "models/gpu/plan_batched.hpp"

#include <fmt/format.h>

#include "models/gpu/plan_gemm.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

/// The CTAs of one product, once per member of the batch, each with operands of its own.
class BatchedProgram final : public CtaProgram {
 public:
  BatchedProgram(std::shared_ptr<const CtaProgram> one, std::int64_t batch)
      : one_(std::move(one)), batch_(batch), ctas_(one_->ctas()), tiles_(one_->tiles()) {}

  [[nodiscard]] std::int64_t ctas() const override { return batch_ * ctas_; }
  [[nodiscard]] std::int64_t tiles() const override { return batch_ * tiles_; }
  [[nodiscard]] int steps(std::int64_t cta) const override { return one_->steps(cta % ctas_); }
  void step(std::int64_t cta, int index, Step& out) const override {
    one_->step(cta % ctas_, index, out);
    for (int i = 0; i < out.load_count; ++i) out.loads[i].tile += cta / ctas_ * tiles_;
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override {
    one_->epilogue(cta % ctas_, out);
    out.load.tile += cta / ctas_ * tiles_;
  }

 private:
  std::shared_ptr<const CtaProgram> one_;
  std::int64_t batch_;
  std::int64_t ctas_;
  std::int64_t tiles_;
};

GemmKernel one_product(const BatchedGemmKernel& batched, std::int64_t columns) {
  GemmKernel gemm{batched.m, columns, batched.k, batched.weights, batched.activations};
  gemm.precision = batched.precision;
  return gemm;
}

}  // namespace

KernelPlan plan_batched(const GpuParams& params, const BatchedGemmKernel& batched) {
  if (batched.batch < 1) throw ModelError("gpu: a batch of no products");
  GemmTiling tiling = choose_tiling(params, one_product(batched, batched.batch * batched.n));
  tiling.split = 1;
  KernelPlan plan = plan_gemm_with(params, one_product(batched, batched.n), tiling);
  plan.algorithm = fmt::format("batched {} of {}", batched.batch, plan.algorithm);
  PlanPhase& phase = plan.phases.front();
  phase.program = std::make_shared<BatchedProgram>(phase.program, batched.batch);
  return plan;
}

}  // namespace tandem::gpu
