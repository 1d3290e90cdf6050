#include "models/gpu/plan_stream.hpp"

#include <algorithm>

namespace tandem::gpu {
namespace {

/// Loads of one turn: 256 threads with one 16-byte load each.
constexpr std::int64_t turn_bytes = 4096;
constexpr std::int64_t stream_threads = 256;
/// Turns a CTA keeps outstanding: four loads per thread.
constexpr std::int64_t unroll = 4;
constexpr std::int64_t stream_turn_budget = 32'768;

class StreamProgram final : public CtaProgram {
 public:
  StreamProgram(const KernelWork& work, Operand operand, std::int64_t turns,
                std::int64_t turns_per_cta, std::int64_t rounds)
      : work_(work), operand_(operand), turns_(turns), per_cta_(turns_per_cta), rounds_(rounds) {}

  [[nodiscard]] std::int64_t ctas() const override { return (turns_ + per_cta_ - 1) / per_cta_; }
  [[nodiscard]] std::int64_t tiles() const override { return turns_ + 1; }
  [[nodiscard]] int steps(std::int64_t cta) const override {
    return static_cast<int>(std::min(per_cta_, turns_ - cta * per_cta_));
  }
  void step(std::int64_t cta, int index, Step& out) const override {
    const std::int64_t turn = cta * per_cta_ + index;
    out.rounds = rounds_;
    if (index == 0) out.add({turns_, work_.weight_bytes, Operand::Weight, 1});
    out.add({turn, Bytes(share(work_.read_bytes.count(), turn, turn + 1)), operand_, 1});
    out.vector = Flops(share(work_.vector.count(), turn, turn + 1));
    out.special = Flops(share(work_.special.count(), turn, turn + 1));
  }
  void epilogue(std::int64_t cta, Epilogue& out) const override {
    const std::int64_t begin = cta * per_cta_;
    out.store = Bytes(share(work_.write_bytes.count(), begin, begin + steps(cta)));
  }

 private:
  /// Part of `total` that belongs to turns [begin, end); parts of all turns sum to the total.
  [[nodiscard]] std::int64_t share(std::int64_t total, std::int64_t begin, std::int64_t end) const {
    return total / turns_ * (end - begin) + total % turns_ * end / turns_ -
           total % turns_ * begin / turns_;
  }

  KernelWork work_;
  Operand operand_;
  std::int64_t turns_;
  std::int64_t per_cta_;
  std::int64_t rounds_;
};

/// A kernel that rotates queries and keys and writes the cache runs as one wave of CTAs of 1024
/// threads per SM that stride over the tokens, 16 bytes of each query head and of the keys and
/// values that belong to it per thread and turn. A turn is a chain of four reads: the token's
/// request, its lengths, the row and its rotation, the page. NVIDIA/TensorRT-LLM
/// unfusedAttentionKernels_2, applyBiasRopeUpdateKVCacheV2 and calGridSizeWithBestEfficiency.
constexpr std::int64_t strided_threads = 1024;
constexpr std::int64_t reads_in_a_row = 4;

const RopeKernel* strided_rope(const Kernel& kernel) {
  const auto* rope = std::get_if<RopeKernel>(&kernel.shape);
  return rope != nullptr && rope->rotated != 0 && rope->heads > 0 && rope->extra == 0 &&
                 rope->key_copies == 0
             ? rope
             : nullptr;
}

KernelPlan plan_strided(const GpuParams& params, const Kernel& kernel, const RopeKernel& rope) {
  const KernelWork work = work_of(kernel);
  const std::int64_t bytes = std::max(work.read_bytes.count(), work.write_bytes.count());
  const std::int64_t natural = turn_bytes * (rope.heads + 2 * rope.kv_heads) / rope.heads;
  const std::int64_t turn = std::max(natural, bytes / stream_turn_budget);
  const std::int64_t turns = std::max<std::int64_t>(1, (bytes + turn - 1) / turn);
  const std::int64_t wave = params.sms * (strided_threads / stream_threads);
  PlanPhase phase;
  phase.program =
      std::make_shared<StreamProgram>(work, Operand::Activation, turns, (turns + wave - 1) / wave,
                                      reads_in_a_row * ((turn + natural - 1) / natural));
  phase.ctas_per_sm = strided_threads / stream_threads;
  phase.stages = 1;
  KernelPlan plan;
  plan.algorithm = "strided";
  plan.phases.push_back(phase);
  return plan;
}

/// Rows that one CTA must keep together: a norm reduces over its row.
std::int64_t whole_rows(const Kernel& kernel) {
  const auto* norm = std::get_if<NormKernel>(&kernel.shape);
  return norm != nullptr ? norm->tokens : 0;
}

}  // namespace

KernelPlan plan_stream(const GpuParams& params, const Kernel& kernel) {
  if (const RopeKernel* rope = strided_rope(kernel)) return plan_strided(params, kernel, *rope);
  const KernelWork work = work_of(kernel);
  const std::int64_t bytes = std::max(work.read_bytes.count(), work.write_bytes.count());
  const std::int64_t turn = std::max(turn_bytes, bytes / stream_turn_budget);
  std::int64_t turns = std::max<std::int64_t>(1, (bytes + turn - 1) / turn);
  std::int64_t per_cta = unroll;
  if (const std::int64_t rows = whole_rows(kernel); rows > 0) {
    per_cta = std::max<std::int64_t>(1, (turns + rows - 1) / rows);
    turns = per_cta * std::max<std::int64_t>(1, std::min(rows, turns / per_cta));
  } else {
    // Small tensors spread over all SMs before CTAs grow.
    per_cta = std::clamp<std::int64_t>(turns / params.sms, 1, unroll);
  }
  const bool is_table = std::holds_alternative<EmbeddingKernel>(kernel.shape);
  PlanPhase phase;
  phase.program = std::make_shared<StreamProgram>(
      work, is_table ? Operand::Weight : Operand::Activation, turns, per_cta, 1);
  const std::int64_t by_flight = params.max_bytes_in_flight.count() / (unroll * turn_bytes);
  phase.ctas_per_sm = std::clamp<std::int64_t>(
      by_flight, 1,
      ctas_per_sm(params, {Bytes(0), Bytes(stream_threads * 64 * 4), stream_threads}));
  phase.stages = unroll;
  phase.has_setup = !std::holds_alternative<ElementwiseKernel>(kernel.shape);
  KernelPlan plan;
  plan.algorithm = "stream";
  plan.phases.push_back(phase);
  return plan;
}

}  // namespace tandem::gpu
