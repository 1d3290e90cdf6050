#include "models/gpu/plan_convolution.hpp"

#include <algorithm>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_even.hpp"

namespace tandem::gpu {
namespace {

/// A thread takes one 16-byte vector of bfloat16 (kNElts).
constexpr std::int64_t per_thread = 8;
/// Sequences of up to one narrow chunk take 64 threads, longer ones 128
/// (causal_conv1d_fwd_dispatch).
constexpr std::int64_t narrow = 64;
constexpr std::int64_t wide = 128;
constexpr std::int64_t update_threads = 64;

/// Warp instructions, counted along the source. Silu is x / (1 + expf(-x)) without fast math: range
/// reduction, ex2 and scaling of expf (8), the sum, an IEEE division (reciprocal, five corrections,
/// check, branch: 10).
constexpr std::int64_t silu = 19;
/// Parameters, 64-bit addresses, weights and their conversion, and the final state.
constexpr std::int64_t prologue = 120;
/// Loads and stores without vectors: per element an address, a bound, a load, and both ways through
/// shared memory.
constexpr std::int64_t element_wise = 100;
/// Vector load and store, exchange of the halo through shared memory with its barriers, the loop.
constexpr std::int64_t turn_frame = 30;

/// Instructions of one warp for one chunk: conversion of own and halo inputs, products, silu,
/// packing in pairs.
std::int64_t turn_instructions(std::int64_t taps, bool vectors) {
  return turn_frame + (per_thread + taps - 1) + per_thread * (taps + silu) + per_thread / 2 +
         (vectors ? 0 : element_wise);
}

/// Where the CTAs of a span begin, in CTAs and in turns.
struct SpanStart {
  std::int64_t cta = 0, turn = 0;
  int steps = 0;
};

/// `group` channels of one sequence per program CTA.
class ConvolutionProgram final : public CtaProgram {
 public:
  ConvolutionProgram(const KernelWork& work, const ShortConvolutionKernel& shape,
                     std::int64_t threads, std::int64_t group, bool vectors)
      : work_(work),
        groups_((shape.channels + group - 1) / group),
        chunk_(threads * per_thread),
        instructions_(turn_instructions(shape.taps, vectors) * threads / warp * group),
        prologue_(prologue * threads / warp * group) {
    std::int64_t cta = 0;
    for (const QuerySpan& span : shape.spans) {
      const auto steps =
          static_cast<int>(std::max<std::int64_t>(1, (span.q_len + chunk_ - 1) / chunk_));
      starts_.push_back({cta, turns_, steps});
      cta += groups_;
      turns_ += groups_ * steps;
    }
    ctas_ = cta;
  }
  [[nodiscard]] std::int64_t ctas() const override { return ctas_; }
  [[nodiscard]] std::int64_t tiles() const override { return turns_ + groups_; }
  [[nodiscard]] int steps(std::int64_t cta) const override { return start_of(cta).steps; }
  void step(std::int64_t cta, int index, Step& out) const override {
    const std::int64_t turn = turn_of(cta, index);
    out.add({turn, part(work_.read_bytes.count(), turn), Operand::Activation, 1});
    if (index == 0) {
      const std::int64_t group = cta % groups_;
      out.add({turns_ + group,
               Bytes(share_of(work_.weight_bytes.count(), groups_, group, group + 1)),
               Operand::Weight, 1});
    }
    out.vector = Flops(part(work_.vector.count(), turn).count());
    out.special = Flops(part(work_.special.count(), turn).count());
    out.issue = issue_slots(instructions_ + (index == 0 ? prologue_ : 0), 0);
    out.store.output = part(work_.write_bytes.count(), turn);
  }
  void epilogue(std::int64_t, Epilogue&) const override {}

 private:
  [[nodiscard]] const SpanStart& start_of(std::int64_t cta) const {
    return starts_[static_cast<std::size_t>(cta / groups_)];
  }
  [[nodiscard]] std::int64_t turn_of(std::int64_t cta, int index) const {
    const SpanStart& start = start_of(cta);
    return start.turn + (cta - start.cta) * start.steps + index;
  }
  [[nodiscard]] Bytes part(std::int64_t total, std::int64_t turn) const {
    return Bytes(share_of(total, turns_, turn, turn + 1));
  }

  KernelWork work_;
  std::int64_t groups_, chunk_, instructions_, prologue_;
  std::int64_t ctas_ = 0, turns_ = 0;
  std::vector<SpanStart> starts_;
};

bool is_update(const ShortConvolutionKernel& shape) {
  return std::all_of(shape.spans.begin(), shape.spans.end(),
                     [](const QuerySpan& span) { return span.q_len == 1 && span.earlier() > 0; });
}

bool has_equal_spans(const ShortConvolutionKernel& shape) {
  return std::all_of(shape.spans.begin(), shape.spans.end(), [&](const QuerySpan& span) {
    return span.q_len == shape.spans.front().q_len;
  });
}

/// One thread per channel: taps weights, taps - 1 states in and out, the new input.
PlanPhase update_phase(const GpuParams& params, const Kernel& kernel,
                       const ShortConvolutionKernel& shape) {
  const KernelWork work = work_of(kernel);
  const std::int64_t blocks = (shape.channels + update_threads - 1) / update_threads;
  const std::int64_t sequences = static_cast<std::int64_t>(shape.spans.size());
  // Big grids go in blocks of several CTAs that run side by side.
  const std::int64_t group = std::clamp<std::int64_t>(sequences * blocks / (params.sms * 64), 1, 8);
  EvenGrid grid;
  grid.ctas = (sequences * blocks + group - 1) / group;
  grid.vector = work.vector;
  grid.special = work.special;
  grid.output = work.write_bytes;
  const std::int64_t per_thread_work = 60 + 4 * shape.taps + 4 * (shape.taps - 1) + silu + 10;
  grid.issue = issue_slots(group * update_threads / warp * per_thread_work, 0);
  grid.loads = {
      {Operand::Activation, 0, Bytes((work.read_bytes.count() + grid.ctas - 1) / grid.ctas), 1, 0},
      {Operand::Weight, grid.ctas, Bytes((work.weight_bytes.count() + blocks - 1) / blocks),
       std::max<std::int64_t>(1, sequences), 0}};
  grid.tiles = 2 * grid.ctas + 1;
  PlanPhase phase;
  phase.ctas_per_sm = std::max<std::int64_t>(
      1, ctas_per_sm(params, {Bytes(0), Bytes(update_threads * 40 * 4), update_threads}) / group);
  phase.program = even_program(std::move(grid));
  phase.stages = 1;
  phase.has_equal_ctas = true;
  return phase;
}

PlanPhase prompt_phase(const GpuParams& params, const Kernel& kernel,
                       const ShortConvolutionKernel& shape) {
  std::int64_t tokens = 0;
  for (const QuerySpan& span : shape.spans) tokens += span.q_len;
  const std::int64_t sequences = static_cast<std::int64_t>(shape.spans.size());
  const std::int64_t threads = tokens <= sequences * narrow * per_thread ? narrow : wide;
  const bool vectors = has_equal_spans(shape) && shape.spans.front().q_len % per_thread == 0;
  const std::int64_t resident =
      ctas_per_sm(params, {Bytes(threads * per_thread * 4), Bytes(threads * 64 * 4), threads});
  const std::int64_t group =
      std::clamp<std::int64_t>(sequences * shape.channels / (params.sms * 64), 1, resident / 4);
  PlanPhase phase;
  phase.program =
      std::make_shared<ConvolutionProgram>(work_of(kernel), shape, threads, group, vectors);
  phase.ctas_per_sm = std::max<std::int64_t>(1, resident / group);
  phase.stages = 1;
  phase.has_equal_ctas = has_equal_spans(shape);
  return phase;
}

}  // namespace

KernelPlan plan_convolution(const GpuParams& params, const Kernel& kernel,
                            const ShortConvolutionKernel& shape) {
  KernelPlan plan;
  plan.algorithm = is_update(shape) ? "causal convolution, update" : "causal convolution";
  plan.phases.push_back(is_update(shape) ? update_phase(params, kernel, shape)
                                         : prompt_phase(params, kernel, shape));
  return plan;
}

}  // namespace tandem::gpu
