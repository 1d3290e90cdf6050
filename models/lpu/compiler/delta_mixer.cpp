// Gated DeltaNet as the first half of a stage's layer: projections, the recurrent step, the output
// projection, and the states' update behind it.
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
// A vector of outputs. Factors of one-byte matrices come from SRAM: the ALUs that keep them for
// other products hold running sums of the states here.
Operand StageCompiler::output_of(const MatrixLayout& matrix, int plane, int accumulator) const {
  return [&matrix, plane, accumulator](Work& work) {
    const Value sum = work.accumulator(plane, accumulator);
    return matrix.scale.empty() ? sum : work.op(AluOp::Mul, sum, work.memory(matrix.scale));
  };
}

// Keys first: spreading them takes longest. Then what the rule needs, then what only its output
// does.
void StageCompiler::project_delta(const LayerLayout& layer, DeltaStep& step) {
  const DeltaPlan& plan = *layout_.delta;
  std::vector<TileRow> rows;
  const auto add = [&](const MatrixLayout& matrix, int n, auto take) {
    rows.push_back({&matrix, n, [this, &matrix, take](int, int plane, int accumulator) {
                      take(output_of(matrix, plane, accumulator));
                    }});
  };
  const DeltaMatrices& matrices = layer.delta;
  const int keys = plan.key_vectors;
  for (int v = 0; v < keys; ++v) {
    add(matrices.qkv, v, [&step, v](const Operand& x) { step.take_key(v, x); });
  }
  for (int v = 0; v < keys; ++v) {
    add(matrices.qkv, keys + v, [&step, v](const Operand& x) { step.take_query(v, x); });
  }
  const int packs = static_cast<int>(plan.packs.size());
  for (int p = 0; p < packs; ++p) {
    add(matrices.qkv, 2 * keys + p, [&step, p](const Operand& x) { step.take_value(p, x); });
  }
  for (int g = 0; g < plan.gate_vectors; ++g) {
    add(matrices.gates, g, [&step, g](const Operand& x) { step.take_gates(g, x); });
  }
  for (int p = 0; p < packs; ++p) {
    add(matrices.z, p, [&step, p](const Operand& x) { step.take_output_gate(p, x); });
  }
  multiply(rows, &TokenBuffers::normed);
}

void StageCompiler::mix_by_delta(const LayerLayout& layer) {
  const DeltaPlan& plan = *layout_.delta;
  if (delta_maps_.spread.empty()) {
    delta_maps_ = make_delta_maps(
        plan, [this](std::vector<std::uint16_t> map) { return add_map(std::move(map)); });
  }
  norm(layer.attention_norm);
  DeltaStep step(scheduler_, plan, delta_maps_, layer.delta_rows, layout_.delta_buffers,
                 static_cast<float>(layout_.network().norm.epsilon));
  scheduler_.begin_operator("delta projections");
  project_delta(layer, step);
  scheduler_.begin_operator("delta states asked");
  step.mix([this](Work& work, Value output, int pack) {
    store_activation(work, output, layout_.shape.weights, layout_.delta_outputs, pack);
  });
  scheduler_.begin_operator("output projection");
  add_to_hidden(layer.o, &TokenBuffers::delta_outputs, {}, residual(layer.attention_post_norm));
  scheduler_.begin_operator("delta states updated");
  step.update();
}

}  // namespace tandem::lpu
