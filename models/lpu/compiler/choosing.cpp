// The chosen experts, best first: their rows as host registers, and their weights.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

int count_of(std::int64_t value) {
  return static_cast<int>(value);
}

}  // namespace

// What stands in the lane of the j-th best expert, in every lane.
Value StageCompiler::value_of_chosen(Work& work, const std::vector<Rows>& by_lane, int chosen) {
  const RoutingBuffers& routing = turn_token().routing;
  Value sum;
  for (std::size_t v = 0; v < by_lane.size(); ++v) {
    const Value is_it = work.op(AluOp::CmpEqual, work.memory(routing.rank[v]),
                                Work::constant(static_cast<float>(chosen)));
    const Value own = work.op(AluOp::Mul, is_it, work.memory(by_lane[v]));
    sum = v == 0 ? own : work.op(AluOp::Add, sum, own);
  }
  const Hemisphere side = chosen % 2 == 0 ? Hemisphere::East : Hemisphere::West;
  return reduce_lanes(work, sum, AluOp::Add, side);
}

// A constant by lane, in the lane of the j-th best expert, becomes a host register at the next
// release. Returns the cycle of the flag.
std::int64_t StageCompiler::flag_chosen(const std::vector<Rows>& by_lane, int chosen,
                                        const Rows& to, int reg) {
  Work find(scheduler_);
  const Value everywhere = value_of_chosen(find, by_lane, chosen);
  find.store(find.convert(everywhere, Type::Float32, Type::Int16), to);
  find.place();
  Work flag(scheduler_);
  const std::int64_t cycle = flag.flag(to, reg);
  return flag.place() + cycle;
}

// All flags wait for one release.
void StageCompiler::find_chosen(const ExpertsLayout& experts, int count) {
  const RoutingBuffers& routing = turn_token().routing;
  std::int64_t flagged = 0;
  for (int j = 0; j < count; ++j) {
    flagged = std::max(flagged, flag_chosen(experts.lane_rows, j, routing.chosen[index_of(j)],
                                            turn_token().registers.chosen_experts + j));
  }
  for (int j = 0; j < count && experts.needs_index(); ++j) {
    flagged = std::max(flagged, flag_chosen(routing.lane_index, j, routing.index[index_of(j)],
                                            turn_token().registers.chosen_indices + j));
  }
  scheduler_.release(turn_token().registers.chosen_experts, 2 * host_register::most_chosen_experts,
                     flagged);
}

// Weights of the chosen, best first: exp(score - best score), or the scores themselves, over their
// sum. Sums run best first; a softmax over all experts that is not renormalised sums over lanes.
void StageCompiler::weigh_chosen(const LayerLayout& layer) {
  const ops::Router& router = layer.kind.ffn.experts->router;
  const RoutingBuffers& routing = turn_token().routing;
  const bool is_sigmoid = router.rule == ops::RouterRule::SigmoidBias;
  const bool sums_all = router.rule == ops::RouterRule::SoftmaxTopk && !router.renormalise;
  const int count = count_of(router.top_k);
  const std::size_t vectors = layer.experts->offset.size();
  std::vector<Rows> scores;
  for (std::size_t v = 0; v < vectors; ++v) {
    scores.push_back(is_sigmoid ? routing.score[v] : routing.keys[v][0]);
  }
  for (int j = 0; j < count; ++j) {
    Work find(scheduler_);
    find.store(value_of_chosen(find, scores, j), routing.weight[index_of(j)]);
    find.place();
  }
  if (sums_all) sum_exponentials(scores, router.scale);
  // The best score is taken from all others before it makes room for its own weight.
  for (int j = count - 1; j >= 0 && !is_sigmoid; --j) {
    Work grow(scheduler_);
    const Value distance = grow.op(AluOp::Sub, grow.memory(routing.weight[index_of(j)]),
                                   grow.memory(routing.weight[0]));
    grow.store(grow.op(AluOp::Exp, distance), routing.weight[index_of(j)]);
    grow.place();
  }
  const bool divides = !is_sigmoid || router.renormalise;
  if (divides && !sums_all) sum_weights(router);
  scale_weights(*layer.experts, router, divides);
}

// Of all experts, lane by lane and then over lanes.
void StageCompiler::sum_exponentials(const std::vector<Rows>& scores, double scale) {
  const RoutingBuffers& routing = turn_token().routing;
  Work all(scheduler_);
  Value sum;
  for (std::size_t v = 0; v < scores.size(); ++v) {
    const Value distance = all.op(AluOp::Sub, all.memory(scores[v]), all.memory(routing.weight[0]));
    const Value grown = all.op(AluOp::Exp, distance);
    sum = v == 0 ? grown : all.op(AluOp::Add, sum, grown);
  }
  const Value total = reduce_lanes(all, sum, AluOp::Add, Hemisphere::East);
  const Value part = all.op(AluOp::Recip, total);
  all.store(all.op(AluOp::Mul, part, Work::constant(static_cast<float>(scale))), routing.inverse);
  all.place();
}

// Of the chosen, best first.
void StageCompiler::sum_weights(const ops::Router& router) {
  const RoutingBuffers& routing = turn_token().routing;
  Work sum(scheduler_);
  Value total = sum.op(AluOp::Pass, sum.memory(routing.weight[0]));
  for (int j = 1; j < count_of(router.top_k); ++j) {
    total = sum.op(AluOp::Add, total, sum.memory(routing.weight[index_of(j)]));
  }
  if (router.rule == ops::RouterRule::SigmoidBias) {
    total = sum.op(AluOp::Add, total, Work::constant(1e-20F));
  }
  const Value part = sum.op(AluOp::Recip, total);
  sum.store(sum.op(AluOp::Mul, part, Work::constant(static_cast<float>(router.scale))),
            routing.inverse);
  sum.place();
}

// The factors of a learned scale per expert lie in a table, at the chosen one's index.
void StageCompiler::scale_weights(const ExpertsLayout& experts, const ops::Router& router,
                                  bool divides) {
  const RoutingBuffers& routing = turn_token().routing;
  for (int j = 0; j < count_of(router.top_k); ++j) {
    Work weigh(scheduler_);
    const Rows& rows = routing.weight[index_of(j)];
    const Value factor =
        divides ? weigh.memory(routing.inverse) : Work::constant(static_cast<float>(router.scale));
    Value weight = weigh.op(AluOp::Mul, weigh.memory(rows), factor);
    if (!experts.factor.empty()) {
      weight = weigh.op(AluOp::Mul, weight, weigh.memory(row_of_chosen(experts.factor, j)));
    }
    weigh.store(weight, rows);
    weigh.place();
  }
}

}  // namespace tandem::lpu
