// RMSNorm, reductions over lanes, and the language-model head with its running best token.
#include "models/lpu/compiler/lane_reduction.hpp"
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

Value StageCompiler::reduce_lanes(Work& work, Value value, AluOp operation, Hemisphere side) {
  return lpu::reduce_lanes(
      work, value, operation, side, geometry_.lanes(),
      [this](std::vector<std::uint16_t> map) { return add_map(std::move(map)); });
}

void StageCompiler::rms_norm(const std::vector<Rows>& weights) {
  scheduler_.begin_operator("norm");
  for (int t = 0; t < tokens_; ++t) rms_norm(weights, layout_.token(t));
}

void StageCompiler::rms_norm(const std::vector<Rows>& weights, const TokenBuffers& token) {
  const NeuralNetwork& network = layout_.network();
  Work sum(scheduler_);
  Value squares;
  for (std::size_t k = 0; k < token.hidden.size(); ++k) {
    const Value x = sum.memory(token.hidden[k]);
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(k);
    const Value square = sum.op(AluOp::Mul, x, x, at);
    Work::Options running;
    running.pinned = pinned_alu::sum(geometry_);
    squares = sum.op(k == 0 ? AluOp::AccClear : AluOp::AccAdd, square, {}, running);
  }
  const Value total = reduce_lanes(sum, squares, AluOp::Add, Hemisphere::East);
  const auto mean_factor = static_cast<float>(1.0 / static_cast<double>(network.hidden));
  const Value mean = sum.op(AluOp::Mul, total, Work::constant(mean_factor));
  const Value shifted =
      sum.op(AluOp::Add, mean, Work::constant(static_cast<float>(network.norm.epsilon)));
  Work::Options kept;
  kept.pinned = pinned_alu::inverse_rms(geometry_);
  sum.op(AluOp::Pass, sum.op(AluOp::Rsqrt, shifted), {}, kept);
  sum.place();
  for (int k = 0; k < layout_.shape.hidden_vectors; ++k) {
    Work work(scheduler_);
    const Value scaled_x =
        work.op(AluOp::Mul, work.memory(token.hidden[index_of(k)]), Work::register_of(kept.pinned));
    const Value normed = work.op(AluOp::Mul, scaled_x, work.memory(weights[index_of(k)]));
    store_activation(work, normed, layout_.shape.weights, token.normed, k);
    work.place();
  }
}

// Of several tokens the running bests would need as many registers: their logits are compared
// afterwards, token by token.
void StageCompiler::take_logit(const Output& output, int tile, const TokenBuffers& token) {
  Work work(scheduler_);
  Value logit = scaled(work, output, work.accumulator(output.plane, output.accumulator));
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
  rms_norm(layout_.final_norm);
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
  if (tokens_ == 1) return keep_best(layout_);
  scheduler_.begin_operator("best tokens");
  for (int t = 0; t < tokens_; ++t) find_best(layout_.token(t));
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
