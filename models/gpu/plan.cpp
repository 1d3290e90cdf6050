#include "models/gpu/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "models/gpu/attention_tiling.hpp"
#include "models/gpu/kernel_limits.hpp"
#include "models/gpu/plan_attention.hpp"
#include "models/gpu/plan_batched.hpp"
#include "models/gpu/plan_convolution.hpp"
#include "models/gpu/plan_delta.hpp"
#include "models/gpu/plan_gemm.hpp"
#include "models/gpu/plan_grouped.hpp"
#include "models/gpu/plan_indexer.hpp"
#include "models/gpu/plan_latent.hpp"
#include "models/gpu/plan_norm.hpp"
#include "models/gpu/plan_quantise.hpp"
#include "models/gpu/plan_scan.hpp"
#include "models/gpu/plan_stream.hpp"
#include "models/gpu/plan_walk.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/overloaded.hpp"

namespace tandem::gpu {
namespace {

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
      totals.store += step.store.output;
      totals.workspace += step.store.workspace;
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

namespace {

[[noreturn]] void refuse(const Kernel& kernel) {
  throw ModelError(fmt::format("gpu: no kernel plan for '{}' yet (kernel '{}')", kind_name(kernel),
                               kernel.role));
}

KernelPlan plan_of_kind(const GpuParams& params, const Kernel& kernel) {
  const auto stream = [&](const auto&) { return plan_stream(params, kernel); };
  return std::visit(
      Overloaded{
          [&](const GemmKernel& gemm) { return plan_gemm(params, kernel, gemm); },
          [&](const BatchedGemmKernel& gemm) { return plan_batched(params, gemm); },
          [&](const AttentionKernel& attention) {
            return plan_attention(params, kernel, of_framework(params, attention));
          },
          [&](const EmbeddingKernel& shape) { return stream(shape); },
          [&](const NormKernel& norm) {
            return params.norm_access < 16 ? plan_narrow_norm(params, kernel, norm) : stream(norm);
          },
          [&](const RopeKernel& shape) { return stream(shape); },
          [&](const ActivationKernel& shape) { return plan_walk(params, kernel, shape.walk); },
          [&](const ElementwiseKernel& shape) { return stream(shape); },
          [&](const SampleKernel& shape) { return stream(shape); },
          [&](const CacheReadKernel& shape) { return stream(shape); },
          [&](const RouterKernel& shape) { return stream(shape); },
          [&](const ExpertSortKernel& shape) { return stream(shape); },
          [&](const DispatchKernel& shape) { return plan_walk(params, kernel, shape.walk); },
          [&](const CombineKernel& shape) { return stream(shape); },
          [&](const GroupedGemmKernel& gemm) { return plan_grouped(params, gemm); },
          [&](const QuantiseKernel& shape) { return plan_quantise(params, kernel, shape); },
          [&](const LatentAttentionKernel& shape) { return plan_latent(params, shape); },
          [&](const IndexerKernel& indexer) { return plan_indexer(params, indexer); },
          [&](const DeltaGateKernel& shape) { return stream(shape); },
          [&](const ShortConvolutionKernel& shape) {
            return plan_convolution(params, kernel, shape);
          },
          [&](const StateSpaceScanKernel& shape) { return plan_scan(params, kernel, shape); },
          [&](const GatedDeltaKernel& shape) { return plan_delta(params, kernel, shape); },
          [&](const auto&) -> KernelPlan { refuse(kernel); },
      },
      kernel.shape);
}

}  // namespace

KernelPlan plan_kernel(const GpuParams& params, const Kernel& kernel) {
  check_kernel(params, kernel);
  KernelPlan plan = plan_of_kind(params, kernel);
  check_plan(kernel, plan);
  return plan;
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
