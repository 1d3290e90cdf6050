#include "models/gpu/plan.hpp"

#include <algorithm>

#include "models/gpu/plan_attention.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "models/gpu/plan_stream.hpp"

namespace tandem::gpu {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

void add_phase(const CtaProgram& program, PlanTotals& totals) {
  Step step;
  Epilogue epilogue;
  for (std::int64_t cta = 0; cta < program.ctas(); ++cta) {
    const int steps = program.steps(cta);
    totals.steps += steps;
    for (int i = 0; i < steps; ++i) {
      step = Step{};
      program.step(cta, i, step);
      totals.tensor += step.tensor;
      totals.tensor_padded += step.tensor_padded;
      totals.vector += step.vector;
      totals.special += step.special;
      for (int l = 0; l < step.load_count; ++l) {
        const bool partial = step.loads[l].operand == Operand::Workspace;
        (partial ? totals.workspace : totals.requested) += step.loads[l].bytes;
      }
    }
    epilogue = Epilogue{};
    program.epilogue(cta, epilogue);
    totals.requested += epilogue.load.bytes;
    totals.vector += epilogue.vector;
    totals.special += epilogue.special;
    totals.store += epilogue.store;
    totals.workspace += epilogue.workspace_store;
  }
  totals.ctas += program.ctas();
}

}  // namespace

PlanTotals totals_of(const KernelPlan& plan) {
  PlanTotals totals;
  for (const PlanPhase& phase : plan.phases) add_phase(*phase.program, totals);
  return totals;
}

KernelPlan plan_kernel(const GpuParams& params, const Kernel& kernel) {
  return std::visit(Overloaded{
                        [&](const GemmKernel& gemm) { return plan_gemm(params, kernel, gemm); },
                        [&](const AttentionKernel& attention) {
                          return plan_attention(params, kernel, attention);
                        },
                        [&](const auto&) { return plan_stream(params, kernel); },
                    },
                    kernel.shape);
}

std::int64_t ctas_per_sm(const GpuParams& params, const CtaDemand& demand) {
  std::int64_t fit = std::min(params.max_ctas, params.max_threads / demand.threads);
  if (demand.shared_memory.count() > 0) {
    fit = std::min(fit, params.shared_memory.count() / demand.shared_memory.count());
  }
  if (demand.registers.count() > 0) {
    fit = std::min(fit, params.registers.count() / demand.registers.count());
  }
  return fit;
}

std::vector<std::int64_t> loop_turns(std::int64_t units, std::int64_t largest) {
  std::vector<std::int64_t> turns{0};
  std::int64_t size = 1;
  while (turns.back() < units) {
    turns.push_back(std::min(units, turns.back() + size));
    if (turns.size() % 2 == 0) continue;
    size = std::min(size * 2, std::max<std::int64_t>(1, largest));
  }
  return turns;
}

}  // namespace tandem::gpu
