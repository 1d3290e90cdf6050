// RMSNorm, reductions over lanes, and the language-model head with its running best token.
#include "models/lpu/compiler/lane_reduction.hpp"
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
Value StageCompiler::reduce_lanes(Work& work, Value value, AluOp operation, Hemisphere side) {
  return lpu::reduce_lanes(
      work, value, operation, side, geometry_.lanes(),
      [this](std::vector<std::uint16_t> map) { return add_map(std::move(map)); });
}

void StageCompiler::norm(const std::vector<Rows>& weights, ActivationsOf to) {
  scheduler_.begin_operator("norm");
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    norm(weights, {&token.hidden, &(token.*to)});
  }
}

void StageCompiler::norm(const std::vector<Rows>& weights, const NormedRows& rows) {
  if (layout_.network().norm.kind == NormKind::Layer) return layer_norm(weights, rows);
  rms_norm(weights, rows);
}

void StageCompiler::final_norm() {
  scheduler_.begin_operator("norm");
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    norm(layout_.final_norm, {&token.hidden, &token.normed, 0, &token.handed_on});
  }
}

void StageCompiler::store_normed(Work& work, Value value, const NormedRows& rows, int vector) {
  store_activation(work, value, layout_.shape.weights, *rows.to, rows.first + vector);
  if (rows.kept != nullptr && !rows.kept->empty()) {
    work.store(value, (*rows.kept)[index_of(vector)]);
  }
}

Value StageCompiler::mean_of(Work& work, Value sums) {
  const Value total = reduce_lanes(work, sums, AluOp::Add, Hemisphere::East);
  const auto part = static_cast<float>(1.0 / static_cast<double>(layout_.network().hidden));
  return work.op(AluOp::Mul, total, Work::constant(part));
}

Value StageCompiler::inverse_root(Work& work, Value squares) {
  const auto epsilon = static_cast<float>(layout_.network().norm.epsilon);
  const Value shifted = work.op(AluOp::Add, mean_of(work, squares), Work::constant(epsilon));
  return work.op(AluOp::Rsqrt, shifted);
}

// Adds the `k`th vector to the running sum.
Value StageCompiler::summed(Work& work, std::size_t k, Value x, Work::Options running) const {
  running.pinned = pinned_alu::sum(geometry_);
  return work.op(k == 0 ? AluOp::AccClear : AluOp::AccAdd, x, {}, running);
}

// Returns the ALU that keeps what a norm multiplies by.
int StageCompiler::keep_inverse_root(Work& sum, Value squares) {
  Work::Options kept;
  kept.pinned = pinned_alu::inverse_rms(geometry_);
  sum.op(AluOp::Pass, inverse_root(sum, squares), {}, kept);
  sum.place();
  return kept.pinned;
}

// Returns the ALU that keeps the inverse root mean square of `x`.
int StageCompiler::keep_inverse_rms(const std::vector<Rows>& x) {
  Work sum(scheduler_);
  Value squares;
  for (std::size_t k = 0; k < x.size(); ++k) {
    const Value own = sum.memory(x[k]);
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(k);
    squares = summed(sum, k, sum.op(AluOp::Mul, own, own, at));
  }
  return keep_inverse_root(sum, squares);
}

void StageCompiler::rms_norm(const std::vector<Rows>& weights, const NormedRows& rows) {
  const int inverse = keep_inverse_rms(*rows.from);
  for (int k = 0; k < layout_.shape.hidden_vectors; ++k) {
    Work work(scheduler_);
    const Value scaled_x =
        work.op(AluOp::Mul, work.memory((*rows.from)[index_of(k)]), Work::register_of(inverse));
    const Value normed = work.op(AluOp::Mul, scaled_x, work.memory(weights[index_of(k)]));
    store_normed(work, normed, rows, k);
    work.place();
  }
}

// Of several tokens the running bests would need as many registers: their logits are compared
// afterwards, token by token.
void StageCompiler::take_logit(const Output& output, int tile, const TokenBuffers& token) {
  Work work(scheduler_);
  Value logit = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  const double cap = layout_.network().final_softcap;
  if (cap != 0) logit = squeezed(work, logit, 1.0, cap);
  const bool is_last = tile + 1 == layout_.head.n_tiles;
  logit = is_last ? work.op(AluOp::Add, logit, work.memory(layout_.logit_mask))
                  : work.op(AluOp::Pass, logit);
  work.store(logit, token.logits[index_of(tile)]);
  if (tokens_ == 1) compare_best(work, logit, tile);
  const std::int64_t start = work.place(tokens_ == 1 ? best_from_ : 0);
  // Each tile reads what the one before has left in the registers.
  if (tokens_ == 1) best_from_ = start + scheduler_.latencies().vxm_simple;
}

// Keeps, in every lane, the largest logit so far and the tile it stood in. A later equal logit does
// not replace it, so the lowest token id wins.
void StageCompiler::compare_best(Work& work, Value logit, int tile) {
  Work::Options value_alu;
  value_alu.pinned = pinned_alu::best_value(geometry_);
  Work::Options tile_alu;
  tile_alu.pinned = pinned_alu::best_tile(geometry_);
  if (tile == 0) {
    work.op(AluOp::AccClear, logit, {}, value_alu);
    work.op(AluOp::Pass, Work::constant(0.0F), {}, tile_alu);
  } else {
    const Value gain =
        work.op(AluOp::Sub, logit, Work::register_of(pinned_alu::best_value(geometry_)));
    work.op(AluOp::AccMax, logit, {}, value_alu);
    work.op(AluOp::Select, gain, Work::constant(static_cast<float>(tile)), tile_alu);
  }
}

void StageCompiler::keep_best(const TokenBuffers& token) {
  constexpr std::int64_t landed = 16;  // operations of the last tile, at least
  Work work(scheduler_);
  work.store(work.op(AluOp::Pass, Work::register_of(pinned_alu::best_value(geometry_))),
             token.best_value);
  work.store(work.op(AluOp::Pass, Work::register_of(pinned_alu::best_tile(geometry_))),
             token.best_tile);
  best_from_ = work.place(best_from_ + landed);
}

void StageCompiler::head() {
  final_norm();
  scheduler_.begin_operator("head");
  std::vector<TileRow> rows;
  const int scale = load_scale(layout_.head, 0);
  for (int n = 0; n < layout_.head.n_tiles; ++n) {
    rows.push_back(
        {&layout_.head, n, [this, n, scale](int token, int plane, int accumulator) {
           take_logit({&layout_.head, plane, accumulator, scale}, n, layout_.token(token));
         }});
  }
  multiply(rows, &TokenBuffers::normed);
  if (tokens_ == 1) {
    keep_best(layout_);
    return find_top(layout_);
  }
  for (int t = 0; t < tokens_; ++t) {
    scheduler_.begin_operator("best tokens");
    find_best(layout_.token(t));
    find_top(layout_.token(t));
  }
}

void StageCompiler::find_best(const TokenBuffers& token) {
  for (int n = 0; n < layout_.head.n_tiles; ++n) {
    Work work(scheduler_);
    compare_best(work, work.op(AluOp::Pass, work.memory(token.logits[index_of(n)])), n);
    best_from_ = work.place(best_from_) + scheduler_.latencies().vxm_simple;
  }
  keep_best(token);
}

}  // namespace tandem::lpu
