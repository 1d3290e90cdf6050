// The blocks of the chosen and of the shared experts, as one product each way: weights of experts
// multiply what enters the second product, whose accumulators then add all experts, shared ones
// first, then best first.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
// 1 / (1 + exp(-x)).
Value StageCompiler::logistic(Work& work, Value x) {
  const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, x));
  return work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
}

// x / (1 + exp(-x)), or 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
Value StageCompiler::curve(Work& work, ActivationKind kind, Value x) {
  if (kind == ActivationKind::Silu) return work.op(AluOp::Mul, x, logistic(work, x));
  constexpr float sqrt_two_over_pi = 0.79788456F;
  const Value cube = work.op(AluOp::Mul, work.op(AluOp::Mul, x, x), x);
  const Value part = work.op(AluOp::Mul, cube, Work::constant(0.044715F));
  const Value inner = work.op(AluOp::Add, x, part);
  const Value bend =
      work.op(AluOp::Tanh, work.op(AluOp::Mul, inner, Work::constant(sqrt_two_over_pi)));
  const Value half = work.op(AluOp::Mul, x, Work::constant(0.5F));
  return work.op(AluOp::Mul, half, work.op(AluOp::Add, bend, Work::constant(1.0F)));
}

// What stands between the two products of a block; formulas as in ops::ActivationKind.
Value StageCompiler::activated(Work& work, ActivationKind kind, Value gate, Value up) {
  if (kind == ActivationKind::ClampedSwiglu) {
    constexpr float limit = 7.0F;
    const Value g = work.op(AluOp::Min, gate, Work::constant(limit));
    const Value least = work.op(AluOp::Max, up, Work::constant(-limit));
    const Value u = work.op(AluOp::Min, least, Work::constant(limit));
    const Value part = logistic(work, work.op(AluOp::Mul, g, Work::constant(1.702F)));
    const Value shifted = work.op(AluOp::Add, u, Work::constant(1.0F));
    return work.op(AluOp::Mul, work.op(AluOp::Mul, g, part), shifted);
  }
  return work.op(AluOp::Mul, curve(work, kind, gate), up);
}

// The row of a chosen expert in a table.
Rows StageCompiler::row_of_chosen(const Rows& table, int chosen) const {
  Rows rows = table;
  for (Place& place : rows) place.reg = turn_token().registers.chosen_indices + chosen;
  return rows;
}

void StageCompiler::gate_expert(const LayerLayout& layer, const PartedOutput& gate,
                                const PartedOutput& up, int vector) {
  const ExpertsLayout& experts = *layer.experts;
  const int routed = vector - experts.shared_vectors;
  const int chosen = routed < 0 ? 0 : routed / experts.vectors;
  Work work(scheduler_);
  Value x = sum_of(work, gate);
  Value other = sum_of(work, up);
  if (routed >= 0 && !experts.gate_bias.empty()) {
    const auto i = index_of(routed % experts.vectors);
    x = work.op(AluOp::Add, x, work.memory(row_of_chosen(experts.gate_bias[i], chosen)));
    other = work.op(AluOp::Add, other, work.memory(row_of_chosen(experts.up_bias[i], chosen)));
  }
  Value product = activated(work, layer.kind.ffn.activation, x, other);
  if (routed < 0 && layer.kind.ffn.experts->shared_gate) {
    product = work.op(AluOp::Mul, product, work.memory(turn_token().routing.shared_gate));
  }
  if (routed >= 0) {
    product =
        work.op(AluOp::Mul, product, work.memory(turn_token().routing.weight[index_of(chosen)]));
    if (!experts.own_lanes.empty()) {
      product = work.op(AluOp::Mul, product, work.memory(row_of_chosen(experts.own_lanes, chosen)));
    }
  }
  store_activation(work, product, layout_.shape.weights, turn_token().routed, vector);
  work.place();
}

// hidden += sum of weight * bias over the chosen experts, best first.
void StageCompiler::add_expert_biases(const LayerLayout& layer) {
  const ExpertsLayout& experts = *layer.experts;
  const auto count = static_cast<int>(layer.kind.ffn.experts->router.top_k);
  for (std::size_t k = 0; k < experts.down_bias.size(); ++k) {
    Work work(scheduler_);
    Value sum;
    for (int j = 0; j < count; ++j) {
      const Value bias = work.memory(row_of_chosen(experts.down_bias[k], j));
      const Value part =
          work.op(AluOp::Mul, work.memory(turn_token().routing.weight[index_of(j)]), bias);
      sum = j == 0 ? part : work.op(AluOp::Add, sum, part);
    }
    work.store(work.op(AluOp::Add, sum, work.memory(turn_token().hidden[k])),
               turn_token().hidden[k]);
    work.place();
  }
}

void StageCompiler::advance_experts(const LayerLayout& layer, const Residual& to) {
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
  add_expert_biases(layer);
  begin_half({}, to);
  product_to(experts.down, &TokenBuffers::routed, to.to);
}

void StageCompiler::in_turn(int token, const std::function<void()>& work) {
  const TokenRange all = turn_;
  turn_ = {token, token + 1};
  work();
  turn_ = all;
}

// The router's tiles serve all tokens; then each goes through its own experts. Places of the tokens
// behind are found while a token's experts advance.
void StageCompiler::mix_experts(const LayerLayout& layer, const Residual& to) {
  constexpr int ahead = 2;
  score_experts(layer);
  for (int t = 0; t < tokens_ + ahead; ++t) {
    if (t < tokens_) in_turn(t, [&] { choose_experts(layer); });
    if (t >= ahead) in_turn(t - ahead, [&] { advance_experts(layer, to); });
  }
  end_half({}, to);
}

}  // namespace tandem::lpu
