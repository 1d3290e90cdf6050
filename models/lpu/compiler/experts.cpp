// The blocks of the chosen and of the shared experts, as one product each way: weights of experts
// multiply what enters the second product, whose accumulators then add all experts, shared ones
// first, then best first.
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

void StageCompiler::gate_expert(const LayerLayout& layer, const PartedOutput& gate,
                                const PartedOutput& up, int vector) {
  const ExpertsLayout& experts = *layer.experts;
  Work work(scheduler_);
  const Value x = sum_of(work, gate);
  const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, x));
  const Value part = work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
  const Value silu = work.op(AluOp::Mul, x, part);
  Value product = work.op(AluOp::Mul, silu, sum_of(work, up));
  if (vector >= experts.shared_vectors) {
    const int chosen = (vector - experts.shared_vectors) / experts.vectors;
    product = work.op(AluOp::Mul, product, work.memory(layout_.routing.weight[index_of(chosen)]));
  }
  store_activation(work, product, layout_.shape.weights, layout_.routed, vector);
  work.place();
}

void StageCompiler::advance_experts(const LayerLayout& layer) {
  scheduler_.begin_operator("experts: gate and up");
  const ExpertsLayout& experts = *layer.experts;
  const int vectors = experts.down.k_tiles;
  const int gate_scale = load_scale(experts.gate.front(), 1);
  const int up_scale = load_scale(experts.up.front(), 2);
  std::vector<PartedOutput> gates(index_of(vectors), {&experts.gate, {}, gate_scale});
  std::vector<PartedOutput> ups(index_of(vectors), {&experts.up, {}, up_scale});
  std::vector<TileRow> rows;
  for (int i = 0; i < vectors; ++i) {
    for (std::size_t s = 0; s < experts.gate.size(); ++s) {
      rows.push_back({&experts.gate[s], i, [&gates, i](int /*token*/, int plane, int accumulator) {
                        gates[index_of(i)].sums.emplace_back(plane, accumulator);
                      }});
      rows.push_back({&experts.up[s], i,
                      [this, &layer, &gates, &ups, i](int /*token*/, int plane, int accumulator) {
                        PartedOutput& up = ups[index_of(i)];
                        up.sums.emplace_back(plane, accumulator);
                        if (up.sums.size() < up.matrix->size()) return;
                        gate_expert(layer, gates[index_of(i)], up, i);
                      }});
    }
  }
  multiply(rows, &TokenBuffers::normed);
  scheduler_.begin_operator("experts: down");
  add_to_hidden(experts.down, &TokenBuffers::routed);
}

}  // namespace tandem::lpu
