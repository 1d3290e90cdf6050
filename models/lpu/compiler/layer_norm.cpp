// LayerNorm, and soft caps: cap tanh(x / cap).
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
// cap tanh(x factor / cap).
Value StageCompiler::squeezed(Work& work, Value x, double factor, double cap) const {
  const auto inner = static_cast<float>(factor / cap);
  const Value bend = work.op(AluOp::Tanh, work.op(AluOp::Mul, x, Work::constant(inner)));
  return work.op(AluOp::Mul, bend, Work::constant(static_cast<float>(cap)));
}

// Returns the ALU that keeps the mean of `x`.
int StageCompiler::keep_mean(const std::vector<Rows>& x) {
  Work sum(scheduler_);
  Value total;
  for (std::size_t k = 0; k < x.size(); ++k) {
    Work::Options running;
    running.earliest = static_cast<std::int64_t>(k);
    total = summed(sum, k, sum.memory(x[k]), running);
  }
  Work::Options kept;
  kept.pinned = pinned_alu::scale(geometry_, 2);
  sum.op(AluOp::Pass, mean_of(sum, total), {}, kept);
  sum.place();
  return kept.pinned;
}

// Returns the ALU that keeps the inverse standard deviation of `x`, whose mean ALU `mean` keeps.
// Lanes of the last vector that hold no channel are left out.
int StageCompiler::keep_inverse_deviation(const std::vector<Rows>& x, int mean) {
  Work sum(scheduler_);
  Value squares;
  for (std::size_t k = 0; k < x.size(); ++k) {
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(k);
    Value distance = sum.op(AluOp::Sub, sum.memory(x[k]), Work::register_of(mean), at);
    if (k + 1 == x.size() && !layout_.hidden_mask.empty()) {
      distance = sum.op(AluOp::Mul, distance, sum.memory(layout_.hidden_mask));
    }
    const Value square = sum.op(AluOp::Mul, distance, distance);
    Work::Options running;
    if (k > 0) running.earliest = sum.time_of(squares) + 1;
    squares = summed(sum, k, square, running);
  }
  return keep_inverse_root(sum, squares);
}

// (x - mean) / deviation * weight + bias.
void StageCompiler::layer_norm(const std::vector<Rows>& weights, const NormedRows& rows) {
  const int mean = keep_mean(*rows.from);
  const int inverse = keep_inverse_deviation(*rows.from, mean);
  const int vectors = layout_.shape.hidden_vectors;
  for (int k = 0; k < vectors; ++k) {
    Work work(scheduler_);
    const Value distance =
        work.op(AluOp::Sub, work.memory((*rows.from)[index_of(k)]), Work::register_of(mean));
    const Value even = work.op(AluOp::Mul, distance, Work::register_of(inverse));
    const Value weighed = work.op(AluOp::Mul, even, work.memory(weights[index_of(k)]));
    const Value normed = work.op(AluOp::Add, weighed, work.memory(weights[index_of(vectors + k)]));
    store_normed(work, normed, rows, k);
    work.place();
  }
}

}  // namespace tandem::lpu
