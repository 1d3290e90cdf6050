// Which experts a token goes to: scores, ranks of all lanes at once, the chosen experts' rows as
// host registers, and their weights.
//
// A lane's rank is the number of lanes that come before it: those behind it in the order of lanes
// with a larger key, and those before it whose key is not smaller. So equal keys go to the lower
// index, ranks differ, and the rounds of a search for the best k, each of which crosses all lanes,
// become one comparison per distance between lanes.
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

int to_int(std::int64_t value) {
  return static_cast<int>(value);
}

}  // namespace

// The parts of a matrix that is cut along its inputs, added in order.
Value StageCompiler::sum_of(Work& work, const PartedOutput& output) {
  const auto part = [&](std::size_t i) {
    return work.accumulator(output.sums[i].first, output.sums[i].second);
  };
  Value sum = part(0);
  for (std::size_t i = 1; i < output.sums.size(); ++i) sum = work.op(AluOp::Add, sum, part(i));
  const MatrixLayout& matrix = output.matrix->front();
  return scaled(
      work, {&matrix, output.sums.front().first, output.sums.front().second, output.scale}, sum);
}

void StageCompiler::store_twice(Work& work, Value value, const std::array<Rows, 2>& to) {
  for (const Rows& rows : to) work.store(work.op(AluOp::Pass, value), rows);
}

void StageCompiler::score_experts(const LayerLayout& layer) {
  scheduler_.begin_operator("router");
  const ExpertsLayout& experts = *layer.experts;
  PartedOutput logits{&experts.router, {}, load_scale(experts.router.front(), 0)};
  std::vector<TileRow> rows;
  for (const MatrixLayout& part : experts.router) {
    rows.push_back({&part, 0, [&logits](int /*token*/, int plane, int accumulator) {
                      logits.sums.emplace_back(plane, accumulator);
                    }});
  }
  const bool has_norm = !experts.router_norm.empty();
  multiply(rows, has_norm ? &TokenBuffers::router_input : &TokenBuffers::normed);
  store_keys(layer, logits);
  keep_shared_gate(layer, logits);
}

// Keys are logits with the router's bias (a softmax keeps their order), or the logistic function of
// the logits, to which the bias is added for the choice only.
void StageCompiler::store_keys(const LayerLayout& layer, const PartedOutput& logits) {
  const RoutingBuffers& routing = layout_.routing;
  Work work(scheduler_);
  Value score = sum_of(work, logits);
  if (layer.kind.ffn.experts->router.rule == ops::RouterRule::SigmoidBias) {
    const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, score));
    score = work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
    work.store(work.op(AluOp::Pass, score), routing.score);
  }
  const Value key = work.op(AluOp::Add, score, work.memory(layer.experts->offset));
  store_twice(work, key, routing.keys);
  work.place();
}

// Within runs of `run` lanes that stand `step` apart, among the first `lanes`.
StageCompiler::Rivals StageCompiler::rivals_in(int lanes, int step, int run) {
  Rivals rivals;
  const auto nobody = static_cast<std::uint16_t>(lanes);
  for (int distance = 1; distance < run; ++distance) {
    std::vector<std::uint16_t> behind(index_of(geometry_.lanes()), nobody);
    std::vector<std::uint16_t> before = behind;
    const int apart = distance * step;
    for (int lane = 0; lane < lanes; ++lane) {
      const int first = lane / (step * run) * (step * run);
      if (lane + apart < first + step * run) {
        behind[index_of(lane)] = static_cast<std::uint16_t>(lane + apart);
      }
      if (lane - apart >= first) {
        before[index_of(lane)] = static_cast<std::uint16_t>(lane - apart);
      }
    }
    rivals.behind.push_back(add_map(std::move(behind)));
    rivals.before.push_back(add_map(std::move(before)));
  }
  return rivals;
}

// Two comparisons and two counts per distance, one distance per cycle. A lane that is missing has a
// key below all others: it is not larger, and every key is larger than it.
Value StageCompiler::rank(Work& work, const std::array<Rows, 2>& keys, const Rivals& rivals) {
  const int own = pinned_alu::scale(geometry_, 0);
  Work load(scheduler_);
  Work::Options kept;
  kept.pinned = own;
  load.op(AluOp::Pass, load.memory(keys[0]), {}, kept);
  load.place();
  const Value key = Work::register_of(own);
  Value larger, smaller;
  for (std::size_t d = 0; d < rivals.behind.size(); ++d) {
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(d);
    const AluOp count = d == 0 ? AluOp::AccClear : AluOp::AccAdd;
    Work::Options behind;
    behind.pinned = pinned_alu::best_tile(geometry_);
    larger = work.op(
        count, work.op(AluOp::CmpGreater, work.memory_permuted(keys[0], rivals.behind[d]), key, at),
        {}, behind);
    Work::Options before;
    before.pinned = pinned_alu::best_value(geometry_);
    smaller = work.op(
        count, work.op(AluOp::CmpGreater, key, work.memory_permuted(keys[1], rivals.before[d]), at),
        {}, before);
  }
  const auto all = static_cast<float>(rivals.before.size());
  return work.op(AluOp::Add, larger, work.op(AluOp::Sub, Work::constant(all), smaller));
}

// Every lane of a group gets the sum over its group, of which all but a few terms are zero: exact
// in any order.
Value StageCompiler::sum_in_groups(Work& work, Value value, int width) {
  int distance = width;
  for (const int radix : reduction_radices(width)) {
    distance /= radix;
    Value sum;
    for (int i = 0; i < radix; ++i) {
      std::vector<std::uint16_t> map(index_of(geometry_.lanes()));
      for (int lane = 0; lane < geometry_.lanes(); ++lane) {
        const int first = lane / width * width;
        const int from = first + (lane - first + i * distance) % width;
        map[index_of(lane)] = static_cast<std::uint16_t>(std::min(from, geometry_.lanes() - 1));
      }
      const Value copy =
          work.op(AluOp::Pass, work.permuted(value, Hemisphere::East, add_map(std::move(map))));
      sum = i == 0 ? copy : work.op(AluOp::Add, sum, copy);
    }
    value = sum;
  }
  return value;
}

// Groups are ranked by their best key or the sum of their best two; keys of groups that may not be
// chosen from sink below all others, or to zero.
void StageCompiler::keep_best_groups(const LayerLayout& layer) {
  const ops::Router& router = layer.kind.ffn.experts->router;
  if (router.groups == 1) return;
  scheduler_.begin_operator("groups of experts");
  const RoutingBuffers& routing = layout_.routing;
  const int experts = to_int(router.experts);
  const int width = experts / to_int(router.groups);
  const float counted = router.group_score == ops::GroupScore::SumOfTop2 ? 1.5F : 0.5F;
  Work in_group(scheduler_);
  const Value place = rank(in_group, routing.keys, rivals_in(experts, 1, width));
  const Value counts = in_group.op(AluOp::CmpGreater, Work::constant(counted), place);
  in_group.store(in_group.op(AluOp::Mul, counts, in_group.memory(routing.keys[0])), routing.rank);
  in_group.place();
  Work sums(scheduler_);
  const Value own = sums.op(AluOp::Pass, sums.memory(routing.rank));
  const Value sum = sum_in_groups(sums, own, width);
  store_twice(sums, sums.op(AluOp::Add, sum, sums.memory(routing.beyond)), routing.group);
  sums.place();
  rank_groups(router);
}

void StageCompiler::rank_groups(const ops::Router& router) {
  const RoutingBuffers& routing = layout_.routing;
  const int experts = to_int(router.experts);
  const int groups = to_int(router.groups);
  Work work(scheduler_);
  const Value place = rank(work, routing.group, rivals_in(experts, experts / groups, groups));
  const auto limit = static_cast<float>(router.top_groups) - 0.5F;
  work.store(work.op(AluOp::CmpGreater, Work::constant(limit), place), routing.rank);
  work.place();
  constexpr float far_below = -1e30F;
  for (const Rows& keys : routing.keys) {
    Work mask(scheduler_);
    const Value open = mask.op(AluOp::Pass, mask.memory(routing.rank));
    Value key = mask.op(AluOp::Mul, open, mask.memory(keys));
    if (router.group_mask == ops::GroupMask::MinusInfinity) {
      const Value closed = mask.op(AluOp::Sub, Work::constant(1.0F), open);
      key = mask.op(AluOp::Add, key, mask.op(AluOp::Mul, closed, Work::constant(far_below)));
    } else {
      key = mask.op(AluOp::Add, key, mask.memory(routing.beyond));
    }
    mask.store(key, keys);
    mask.place();
  }
}

void StageCompiler::choose_experts(const LayerLayout& layer) {
  const ops::Router& router = layer.kind.ffn.experts->router;
  keep_best_groups(layer);
  scheduler_.begin_operator("top-k");
  const int experts = to_int(router.experts);
  Work work(scheduler_);
  work.store(rank(work, layout_.routing.keys, rivals_in(experts, 1, experts)),
             layout_.routing.rank);
  work.place();
  find_chosen(*layer.experts, to_int(router.top_k));
  scheduler_.begin_operator("expert weights");
  weigh_chosen(layer);
}

// A constant by lane, in the lane of the j-th best expert, becomes a host register at the next
// release. Returns the cycle of the flag.
std::int64_t StageCompiler::flag_chosen(const Rows& by_lane, int chosen, const Rows& to, int reg) {
  Work find(scheduler_);
  const Value is_it = find.op(AluOp::CmpEqual, find.memory(layout_.routing.rank),
                              Work::constant(static_cast<float>(chosen)));
  const Value own = find.op(AluOp::Mul, is_it, find.memory(by_lane));
  const Hemisphere side = chosen % 2 == 0 ? Hemisphere::East : Hemisphere::West;
  const Value everywhere = reduce_lanes(find, own, AluOp::Add, side);
  find.store(find.convert(everywhere, Type::Float32, Type::Int16), to);
  find.place();
  Work flag(scheduler_);
  const std::int64_t cycle = flag.flag(to, reg);
  return flag.place() + cycle;
}

// All flags wait for one release.
void StageCompiler::find_chosen(const ExpertsLayout& experts, int count) {
  const RoutingBuffers& routing = layout_.routing;
  std::int64_t flagged = 0;
  for (int j = 0; j < count; ++j) {
    flagged = std::max(flagged, flag_chosen(experts.lane_rows, j, routing.chosen[index_of(j)],
                                            host_register::chosen_experts + j));
  }
  for (int j = 0; j < count && experts.needs_index(); ++j) {
    flagged = std::max(flagged, flag_chosen(routing.lane_index, j, routing.index[index_of(j)],
                                            host_register::chosen_indices + j));
  }
  scheduler_.release(host_register::chosen_experts, 2 * host_register::most_chosen_experts,
                     flagged);
}

// Weights of the chosen, best first: exp(score - best score), or the scores themselves, over their
// sum. Sums run best first; a softmax over all experts that is not renormalised sums over lanes.
void StageCompiler::weigh_chosen(const LayerLayout& layer) {
  const ops::Router& router = layer.kind.ffn.experts->router;
  const RoutingBuffers& routing = layout_.routing;
  const bool is_sigmoid = router.rule == ops::RouterRule::SigmoidBias;
  const Rows& score = is_sigmoid ? routing.score : routing.keys[0];
  const int count = to_int(router.top_k);
  for (int j = 0; j < count; ++j) {
    Work find(scheduler_);
    const Value is_it =
        find.op(AluOp::CmpEqual, find.memory(routing.rank), Work::constant(static_cast<float>(j)));
    const Value own = find.op(AluOp::Mul, is_it, find.memory(score));
    const Hemisphere side = j % 2 == 0 ? Hemisphere::East : Hemisphere::West;
    find.store(reduce_lanes(find, own, AluOp::Add, side), routing.weight[index_of(j)]);
    find.place();
  }
  const bool sums_all = router.rule == ops::RouterRule::SoftmaxTopk && !router.renormalise;
  const bool divides = !is_sigmoid || router.renormalise;
  if (sums_all) {
    Work all(scheduler_);
    const Value distance =
        all.op(AluOp::Sub, all.memory(routing.keys[0]), all.memory(routing.weight[0]));
    const Value total =
        reduce_lanes(all, all.op(AluOp::Exp, distance), AluOp::Add, Hemisphere::East);
    const Value part = all.op(AluOp::Recip, total);
    all.store(all.op(AluOp::Mul, part, Work::constant(static_cast<float>(router.scale))),
              routing.inverse);
    all.place();
  }
  // The best score is taken from all others before it makes room for its own weight.
  for (int j = count - 1; j >= 0 && !is_sigmoid; --j) {
    Work grow(scheduler_);
    const Value distance = grow.op(AluOp::Sub, grow.memory(routing.weight[index_of(j)]),
                                   grow.memory(routing.weight[0]));
    grow.store(grow.op(AluOp::Exp, distance), routing.weight[index_of(j)]);
    grow.place();
  }
  if (divides && !sums_all) {
    Work sum(scheduler_);
    Value total = sum.op(AluOp::Pass, sum.memory(routing.weight[0]));
    for (int j = 1; j < count; ++j) {
      total = sum.op(AluOp::Add, total, sum.memory(routing.weight[index_of(j)]));
    }
    if (is_sigmoid) total = sum.op(AluOp::Add, total, Work::constant(1e-20F));
    const Value part = sum.op(AluOp::Recip, total);
    sum.store(sum.op(AluOp::Mul, part, Work::constant(static_cast<float>(router.scale))),
              routing.inverse);
    sum.place();
  }
  scale_weights(*layer.experts, router, divides);
}

// The factors of a learned scale per expert lie in a table, at the chosen one's index.
void StageCompiler::scale_weights(const ExpertsLayout& experts, const ops::Router& router,
                                  bool divides) {
  const RoutingBuffers& routing = layout_.routing;
  for (int j = 0; j < to_int(router.top_k); ++j) {
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
