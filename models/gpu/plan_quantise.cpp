#include "models/gpu/plan_quantise.hpp"

#include <algorithm>

#include "models/gpu/shared_constants.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Parts in which a tensor is walked, at most; passes share them so that L2 is shared too.
constexpr std::int64_t most_chunks = 16'384;
/// Loads that the compiler keeps outstanding per thread in a loop that only reads (nvcc unrolls by
/// four); a loop that also stores may not move loads ahead of its stores.
constexpr std::int64_t read_unroll = 4;

/// A maximum over all threads: within each warp, through shared memory, within one warp. Over a
/// group or row: within the warp, then through shared memory to the threads that convert.
constexpr std::int64_t block_exchanges = 3;
constexpr std::int64_t group_exchanges = 2;

/// What one launch does with the tensor.
struct LaunchedPass {
  std::int64_t ctas = 1, threads = 256;
  std::int64_t access = 16;         ///< bytes of one access, addressed once
  std::int64_t bytes_per_turn = 1;  ///< of one CTA: threads x access x loads outstanding
  Bytes read, written;
  Flops vector, special;
  bool updates_shared_word = false;
  std::int64_t exchanges = 0;  ///< of the threads of a CTA that agree on a magnitude
};

/// CTAs take neighbouring chunks; chunks beyond the last CTA's share do not exist.
class PassProgram final : public CtaProgram {
 public:
  PassProgram(const LaunchedPass& pass, std::int64_t chunks)
      : pass_(pass), chunks_(chunks), ctas_(pass.ctas) {}

  [[nodiscard]] std::int64_t ctas() const override { return ctas_; }
  [[nodiscard]] std::int64_t tiles() const override { return chunks_; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    const std::int64_t own = first(cta + 1) - first(cta);
    return pass_.read.count() == 0 ? 1 : static_cast<int>(std::max<std::int64_t>(1, own));
  }
  void step(std::int64_t cta, int index, Step& out) const override {
    const std::int64_t chunk = first(cta) + index;
    if (pass_.read.count() == 0 || chunk >= first(cta + 1)) return;
    const Bytes bytes(share(pass_.read.count(), chunk));
    out.add({chunk, bytes, Operand::Activation, 1});
    out.rounds = std::max<std::int64_t>(1, ceil_div(bytes.count(), pass_.bytes_per_turn));
    out.vector = Flops(share(pass_.vector.count(), chunk));
    out.issue = out.vector + Flops(bytes.count() / pass_.access * shared::operations_per_access);
    out.special = Flops(share(pass_.special.count(), chunk));
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const std::int64_t total = pass_.written.count();
    out.store = Bytes(part(total, first(cta + 1)) - part(total, first(cta)));
    out.updates_shared_word = pass_.updates_shared_word;
    out.exchanges = pass_.exchanges;
  }

 private:
  [[nodiscard]] std::int64_t first(std::int64_t cta) const { return chunks_ * cta / ctas_; }
  /// What lies before `chunk` of a total dealt out evenly.
  [[nodiscard]] std::int64_t part(std::int64_t total, std::int64_t chunk) const {
    return total / chunks_ * chunk + total % chunks_ * chunk / chunks_;
  }
  [[nodiscard]] std::int64_t share(std::int64_t total, std::int64_t chunk) const {
    return part(total, chunk + 1) - part(total, chunk);
  }

  LaunchedPass pass_;
  std::int64_t chunks_;
  std::int64_t ctas_;
};

PlanPhase phase_of(const GpuParams& params, const LaunchedPass& pass, std::int64_t chunks) {
  PlanPhase phase;
  phase.program = std::make_shared<PassProgram>(pass, chunks);
  phase.ctas_per_sm =
      std::max<std::int64_t>(1, ctas_per_sm(params, {Bytes(0), Bytes(0), pass.threads}));
  phase.stages = 1;
  phase.has_setup = false;
  return phase;
}

LaunchedPass clear_pass() {
  return {};
}

/// Two operations per element: magnitude and comparison.
LaunchedPass search_pass(const QuantiseKernel& shape, const KernelWork& work) {
  LaunchedPass pass;
  pass.threads = shape.search_ctas > 0 ? 1024 : 256;
  pass.ctas = shape.search_ctas > 0 ? shape.search_ctas : shape.rows;
  pass.access = shape.search_access * read_unroll;
  pass.bytes_per_turn = pass.threads * pass.access;
  pass.read = work.read_bytes;
  pass.vector = Flops(work.vector.count() / 2);
  pass.updates_shared_word = true;
  pass.exchanges = block_exchanges;
  return pass;
}

/// Whatever the search has not done. A grid of fixed size walks a tensor of narrow accesses; wide
/// accesses come with one CTA per 256 of them.
LaunchedPass convert_pass(const GpuParams& params, const QuantiseKernel& shape,
                          const KernelWork& work) {
  LaunchedPass pass;
  const std::int64_t fixed_grid = shape.search_ctas > 0 ? shape.search_ctas : 8 * params.sms;
  pass.threads = shape.convert_threads;
  pass.access = shape.convert_access;
  pass.bytes_per_turn = pass.threads * pass.access * shape.convert_unroll;
  const std::int64_t all =
      std::max<std::int64_t>(1, ceil_div(work.read_bytes.count(), pass.bytes_per_turn));
  pass.ctas = shape.convert_access < 16 ? std::min(fixed_grid, all) : all;
  const std::int64_t given = shape.convert_ctas + shape.convert_ctas_per_sm * params.sms;
  if (given > 0) pass.ctas = std::min(given, all);
  pass.read = work.read_bytes;
  pass.written = work.write_bytes;
  pass.vector = Flops(work.vector.count() -
                      (shape.scales == ScaleOrigin::Tensor ? work.vector.count() / 2 : 0));
  pass.special = work.special;
  if (shape.scales == ScaleOrigin::Rows) pass.exchanges = group_exchanges;
  return pass;
}

}  // namespace

KernelPlan plan_quantise(const GpuParams& params, const Kernel& kernel,
                         const QuantiseKernel& shape) {
  const KernelWork work = work_of(kernel);
  std::vector<LaunchedPass> passes;
  if (shape.scales == ScaleOrigin::Tensor) {
    passes.push_back(clear_pass());
    passes.push_back(search_pass(shape, work));
  }
  passes.push_back(convert_pass(params, shape, work));
  std::int64_t turn = 1;
  for (const LaunchedPass& pass : passes) turn = std::max(turn, pass.bytes_per_turn);
  const std::int64_t chunks =
      std::clamp<std::int64_t>(ceil_div(work.read_bytes.count(), turn), 1, most_chunks);
  KernelPlan plan;
  plan.algorithm = "quantise";
  for (LaunchedPass& pass : passes) {
    if (!pass.updates_shared_word) pass.ctas = std::min(pass.ctas, chunks);
    plan.phases.push_back(phase_of(params, pass, chunks));
    plan.phases.back().is_launched = plan.phases.size() > 1;
  }
  return plan;
}

}  // namespace tandem::gpu
