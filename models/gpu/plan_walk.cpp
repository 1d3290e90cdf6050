#include "models/gpu/plan_walk.hpp"

#include <algorithm>

#include "models/gpu/plan_even.hpp"
#include "models/gpu/plan_stream.hpp"
#include "models/gpu/shared_constants.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t walk_threads = 256;
/// Steps in which a CTA's rows are simulated, at most; rows of one step follow each other.
constexpr std::int64_t most_steps = 16;
/// A row's place is read before its data.
constexpr std::int64_t trips_per_row = 2;

struct Walk {
  KernelWork work;
  std::int64_t rows = 0;
  std::int64_t sources = 0;  ///< distinct rows that are read
  std::int64_t ctas = 1;
  std::int64_t steps = 1, padding_steps = 0;
  std::int64_t operations_per_row = 0;
  std::int64_t padding_rows = 0, padding_bytes = 0, operations_per_padding = 0;
};

/// CTA by CTA: its rows in equal steps, then its rows of padding. Dealt out exactly.
class WalkProgram final : public CtaProgram {
 public:
  explicit WalkProgram(const Walk& walk) : walk_(walk), turns_(walk.ctas * walk.steps) {}

  [[nodiscard]] std::int64_t ctas() const override { return walk_.ctas; }
  [[nodiscard]] std::int64_t tiles() const override { return turns_ + 1 + walk_.ctas; }
  [[nodiscard]] int steps(std::int64_t) const override {
    return static_cast<int>(walk_.steps + walk_.padding_steps);
  }
  void step(std::int64_t cta, int index, Step& out) const override {
    if (index >= walk_.steps) return add_padding(cta, out);
    // Neighbouring rows lie in different CTAs, so that copies of one token meet in L2.
    const std::int64_t turn = index * walk_.ctas + cta;
    const std::int64_t rows = part(walk_.rows, turn);
    const std::int64_t source = turn * walk_.sources / walk_.rows;
    out.add({source, Bytes(part(walk_.work.read_bytes.count(), turn)), Operand::Activation, 1});
    out.rounds = std::max<std::int64_t>(1, trips_per_row * rows);
    out.vector = Flops(part(walk_.work.vector.count(), turn));
    out.special = Flops(part(walk_.work.special.count(), turn));
    out.issue = out.vector + Flops(rows * walk_.operations_per_row);
    out.store.output = Bytes(part(walk_.work.write_bytes.count(), turn));
  }
  void epilogue(std::int64_t, Epilogue&) const override {}

 private:
  [[nodiscard]] std::int64_t part(std::int64_t total, std::int64_t turn) const {
    return share_of(total, turns_, turn, turn + 1);
  }
  void add_padding(std::int64_t cta, Step& out) const {
    const std::int64_t rows = share_of(walk_.padding_rows, walk_.ctas, cta, cta + 1);
    out.add({turns_, Bytes(2 * 8), Operand::Activation, 1});
    out.rounds = std::max<std::int64_t>(1, rows);
    out.issue = Flops(rows * walk_.operations_per_padding);
    out.store = {Bytes(0), Bytes(rows * walk_.padding_bytes), turns_ + 1 + cta};
  }

  Walk walk_;
  std::int64_t turns_;
};

/// CTAs of a grid that find no rows: each reads the number of rows there are and returns.
class IdleProgram final : public CtaProgram {
 public:
  explicit IdleProgram(std::int64_t ctas) : ctas_(ctas) {}
  [[nodiscard]] std::int64_t ctas() const override { return ctas_; }
  [[nodiscard]] std::int64_t tiles() const override { return 1; }
  [[nodiscard]] int steps(std::int64_t) const override { return 1; }
  void step(std::int64_t, int, Step& out) const override {
    out.add({0, Bytes(4), Operand::Activation, 1});
  }
  void epilogue(std::int64_t, Epilogue&) const override {}

 private:
  std::int64_t ctas_;
};

/// Rows that a kernel writes, and those among them that are read from different places.
struct Rows {
  std::int64_t written = 0, sources = 0;
};
Rows rows_of(const Kernel& kernel) {
  if (const auto* dispatch = std::get_if<DispatchKernel>(&kernel.shape)) {
    return {dispatch->rows(), std::min(dispatch->tokens, dispatch->rows())};
  }
  const std::int64_t rows = std::get<ActivationKernel>(kernel.shape).tokens;
  return {rows, rows};
}

}  // namespace

PlanPhase idle_phase(std::int64_t ctas, std::int64_t ctas_per_sm) {
  PlanPhase phase;
  phase.program = std::make_shared<IdleProgram>(ctas);
  phase.ctas_per_sm = ctas_per_sm;
  phase.has_setup = false;
  phase.has_equal_ctas = true;
  return phase;
}

KernelPlan plan_walk(const GpuParams& params, const Kernel& kernel, const RowWalk& shape) {
  const Rows rows = rows_of(kernel);
  if (shape.ctas_per_sm == 0 || rows.written == 0) {
    KernelPlan plan = plan_stream(params, kernel);
    if (shape.idle_ctas > 0) {
      plan.phases.push_back(idle_phase(shape.idle_ctas, params.max_threads / walk_threads));
    }
    return plan;
  }
  Walk walk;
  walk.work = work_of(kernel);
  walk.rows = rows.written;
  walk.sources = rows.sources;
  walk.ctas = std::min(params.sms * shape.ctas_per_sm, std::max(walk.rows, shape.padding_rows));
  walk.steps = std::clamp<std::int64_t>(walk.rows / walk.ctas, 1, most_steps);
  // A whole CTA passes through each row, whatever the row's width.
  const std::int64_t accesses = ceil_div(walk.work.write_bytes.count(), walk.rows * shape.access);
  walk.operations_per_row =
      shared::operations_per_access *
      ((shape.searches_expert ? walk_threads : 0) + std::max(accesses, walk_threads));
  walk.padding_rows = shape.padding_rows;
  walk.padding_bytes = shape.padding_bytes;
  walk.padding_steps = shape.padding_rows > 0 ? 1 : 0;
  walk.operations_per_padding =
      shared::operations_per_access * ceil_div(shape.padding_bytes, 32) * 32;
  PlanPhase phase;
  phase.program = std::make_shared<WalkProgram>(walk);
  phase.ctas_per_sm = shape.ctas_per_sm;
  phase.stages = 1;
  phase.has_setup = false;
  KernelPlan plan;
  plan.algorithm = "row walk";
  plan.phases.push_back(phase);
  return plan;
}

}  // namespace tandem::gpu
