// The k best tokens of the head with their logits, best first, equal ones by index.
//
// One round finds one token: the best of what comes behind the last winner in the order of logits
// and indices. A pass over the vectors of logits gives the best of every lane, as for the first
// token; two reductions over lanes give the largest of those and the lowest index that has it. No
// logit is overwritten. A round depends on the one before, so k rounds take k times as long.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// More than any logit, and more than any index.
constexpr float huge = 1e38F;

int winner_logit(const Geometry& geometry) {
  return pinned_alu::scale(geometry, 0);
}
int winner_index(const Geometry& geometry) {
  return pinned_alu::sum(geometry);
}

}  // namespace

void StageCompiler::find_top(const TokenBuffers& token) {
  if (token.top_logits.empty()) return;
  scheduler_.begin_operator("top tokens");
  const int count = static_cast<int>(token.top_logits.size());
  for (int place = 0; place < count; ++place) {
    if (place > 0) find_next(token);
    take_winner(token, place);
  }
}

// Index of a lane's token in a vector of logits, within the slice of the head.
Value StageCompiler::token_index(Work& work, Value tile) {
  const auto lanes = static_cast<float>(geometry_.lanes());
  const Value first = work.op(AluOp::Mul, tile, Work::constant(lanes));
  return work.op(AluOp::Add, first, work.memory(layout_.lane_index));
}

// The best of every lane among the tokens behind the last winner: those with a smaller logit, and
// those with the same at a higher index. All others sink below every logit.
void StageCompiler::find_next(const TokenBuffers& token) {
  const Value logit = Work::register_of(winner_logit(geometry_));
  const Value index = Work::register_of(winner_index(geometry_));
  for (int n = 0; n < layout_.head.n_tiles; ++n) {
    Work work(scheduler_);
    const Value x = work.op(AluOp::Pass, work.memory(token.logits[index_of(n)]));
    const auto first = static_cast<float>(n * geometry_.lanes());
    const Value own = work.op(AluOp::Add, work.memory(layout_.lane_index), Work::constant(first));
    const Value equal = work.op(AluOp::CmpEqual, x, logit);
    const Value later = work.op(AluOp::Mul, equal, work.op(AluOp::CmpGreater, own, index));
    const Value open = work.op(AluOp::Add, later, work.op(AluOp::CmpGreater, logit, x));
    const Value raised = work.op(AluOp::Mul, open, Work::constant(2 * huge));
    const Value bound = work.op(AluOp::Sub, raised, Work::constant(huge));
    compare_best(work, work.op(AluOp::Min, x, bound), n);
    best_from_ = work.place(best_from_) + scheduler_.latencies().vxm_simple;
  }
}

// The largest of all lanes, and the lowest index that has it.
void StageCompiler::take_winner(const TokenBuffers& token, int place) {
  Work work(scheduler_);
  const Value best = work.op(AluOp::Pass, Work::register_of(pinned_alu::best_value(geometry_)));
  const Value tile = work.op(AluOp::Pass, Work::register_of(pinned_alu::best_tile(geometry_)));
  const Value largest = reduce_lanes(work, best, AluOp::Max, Hemisphere::East);
  const Value has_it = work.op(AluOp::CmpEqual, best, largest);
  const Value closed = work.op(AluOp::Sub, Work::constant(1.0F), has_it);
  const Value far = work.op(AluOp::Mul, closed, Work::constant(huge));
  const Value index = work.op(AluOp::Max, token_index(work, tile), far);
  const Value lowest = reduce_lanes(work, index, AluOp::Min, Hemisphere::East);
  Work::Options kept;
  kept.pinned = winner_logit(geometry_);
  work.store(work.op(AluOp::Pass, largest, {}, kept), token.top_logits[index_of(place)]);
  kept.pinned = winner_index(geometry_);
  const Value last = work.op(AluOp::Pass, lowest, {}, kept);
  work.store(last, token.top_indices[index_of(place)]);
  const std::int64_t start = work.place(best_from_);
  best_from_ = start + work.time_of(last) + scheduler_.latencies().vxm_simple;
}

}  // namespace tandem::lpu
