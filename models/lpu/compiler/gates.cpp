// Logistic gates: of attention's outputs, one per channel of a head, and of the shared experts, one
// per token.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
// Gates are projected beside q, k and v and wait in SRAM for the heads. ALU `scale` keeps the
// factor of one-byte weights, which q shares.
void StageCompiler::add_output_gates(const LayerLayout& layer, int scale,
                                     std::vector<TileRow>& rows) {
  const MatrixLayout& matrix = layer.output_gate;
  for (int q = 0; q < matrix.n_tiles; ++q) {
    rows.push_back({&matrix, q, [this, &matrix, q, scale](int token, int plane, int accumulator) {
                      Work work(scheduler_);
                      const Output output{&matrix, plane, accumulator, scale};
                      const Value gate = scaled(work, output, work.accumulator(plane, accumulator));
                      work.store(logistic(work, gate),
                                 layout_.token(token).output_gates[index_of(q)]);
                      work.place();
                    }});
  }
}

Value StageCompiler::gated_output(Work& work, Value heads, const LayerLayout& layer, int q,
                                  const TokenBuffers& token) {
  if (layer.output_gate.n_tiles == 0) return heads;
  return work.op(AluOp::Mul, heads, work.memory(token.output_gates[index_of(q)]));
}

// The gate of the shared experts is one more row of the router: its output stands in the lane
// behind those of the last vector's experts, and one permutation spreads it. `logits`: of that
// vector.
void StageCompiler::keep_shared_gate(const LayerLayout& layer, const PartedOutput& logits) {
  const Experts& experts = *layer.kind.ffn.experts;
  if (!experts.shared_gate) return;
  const int spread = add_map(std::vector<std::uint16_t>(
      index_of(geometry_.lanes()), static_cast<std::uint16_t>(layer.experts->lanes_of_last(
                                       static_cast<int>(experts.router.experts)))));
  Work work(scheduler_);
  const Value scores = work.op(AluOp::Pass, sum_of(work, logits));
  const Value gate = work.permuted(scores, Hemisphere::East, spread);
  work.store(logistic(work, gate), turn_token().routing.shared_gate);
  work.place();
}

}  // namespace tandem::lpu
