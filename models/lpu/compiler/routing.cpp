// Which experts a token goes to: scores, ranks of all lanes at once, the chosen experts' rows as
// host registers, and their weights.
//
// A lane's rank is the number of lanes that come before it: those behind it in the order of lanes
// with a larger key, and those before it whose key is not smaller. So equal keys go to the lower
// index, ranks differ, and the rounds of a search for the best k, each of which crosses all lanes,
// become one comparison per distance between lanes. Experts that fill more than a vector stand in
// equal runs, whose lanes are compared likewise.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

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
  const int vectors = experts.router.front().n_tiles;
  const int scale = load_scale(experts.router.front(), 0);
  std::vector<std::vector<PartedOutput>> logits(index_of(tokens_),
                                                {index_of(vectors), {&experts.router, {}, scale}});
  std::vector<TileRow> rows;
  for (int v = 0; v < vectors; ++v) {
    for (const MatrixLayout& part : experts.router) {
      rows.push_back({&part, v, [&logits, v](int token, int plane, int accumulator) {
                        logits[index_of(token)][index_of(v)].sums.emplace_back(plane, accumulator);
                      }});
    }
  }
  const bool has_norm = !experts.router_norm.empty();
  multiply(rows, has_norm ? &TokenBuffers::router_input : &TokenBuffers::normed);
  for (int t = 0; t < tokens_; ++t) {
    const std::vector<PartedOutput>& own = logits[index_of(t)];
    in_turn(t, [&] {
      for (int v = 0; v < vectors; ++v) store_keys(layer, own[index_of(v)], v);
      keep_shared_gate(layer, own.back());
    });
  }
}

// Keys are logits with the router's bias (a softmax keeps their order), or the logistic function of
// the logits, to which the bias is added for the choice only.
void StageCompiler::store_keys(const LayerLayout& layer, const PartedOutput& logits, int vector) {
  const RoutingBuffers& routing = turn_token().routing;
  Work work(scheduler_);
  Value score = sum_of(work, logits);
  if (layer.kind.ffn.experts->router.rule == ops::RouterRule::SigmoidBias) {
    const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, score));
    score = work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
    work.store(work.op(AluOp::Pass, score), routing.score[index_of(vector)]);
  }
  const Value key =
      work.op(AluOp::Add, score, work.memory(layer.experts->offset[index_of(vector)]));
  store_twice(work, key, routing.keys[index_of(vector)]);
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
  const RoutingBuffers& routing = turn_token().routing;
  const int experts = to_int(router.experts);
  const int width = experts / to_int(router.groups);
  const float counted = router.group_score == ops::GroupScore::SumOfTop2 ? 1.5F : 0.5F;
  Work in_group(scheduler_);
  const auto& keys = routing.keys.front();
  const Value place = rank(in_group, keys, rivals_in(experts, 1, width));
  const Value counts = in_group.op(AluOp::CmpGreater, Work::constant(counted), place);
  in_group.store(in_group.op(AluOp::Mul, counts, in_group.memory(keys[0])), routing.rank.front());
  in_group.place();
  Work sums(scheduler_);
  const Value own = sums.op(AluOp::Pass, sums.memory(routing.rank.front()));
  const Value sum = sum_in_groups(sums, own, width);
  store_twice(sums, sums.op(AluOp::Add, sum, sums.memory(routing.beyond)), routing.group);
  sums.place();
  rank_groups(router);
}

void StageCompiler::rank_groups(const ops::Router& router) {
  const RoutingBuffers& routing = turn_token().routing;
  const int experts = to_int(router.experts);
  const int groups = to_int(router.groups);
  Work work(scheduler_);
  const Value place = rank(work, routing.group, rivals_in(experts, experts / groups, groups));
  const auto limit = static_cast<float>(router.top_groups) - 0.5F;
  work.store(work.op(AluOp::CmpGreater, Work::constant(limit), place), routing.rank.front());
  work.place();
  constexpr float far_below = -1e30F;
  for (const Rows& keys : routing.keys.front()) {
    Work mask(scheduler_);
    const Value open = mask.op(AluOp::Pass, mask.memory(routing.rank.front()));
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

// Places within each vector first, then those that the other vectors take.
void StageCompiler::rank_experts(const ExpertsLayout& experts) {
  const int vectors = to_int(static_cast<std::int64_t>(experts.offset.size()));
  for (int v = 0; v < vectors; ++v) {
    Work work(scheduler_);
    const Rivals rivals = rivals_in(experts.per_vector, 1, experts.per_vector);
    work.store(rank(work, turn_token().routing.keys[index_of(v)], rivals),
               turn_token().routing.rank[index_of(v)]);
    work.place();
    for (int other = 0; other < vectors; ++other) {
      if (other != v) add_rivals(experts, v, other);
    }
  }
}

// Of a vector behind, lanes with a larger key come first; of one before, those whose key is not
// smaller. Lanes without an expert have keys below all others.
void StageCompiler::add_rivals(const ExpertsLayout& experts, int vector, int other) {
  const int own = pinned_alu::scale(geometry_, 0);
  const int lanes = experts.per_vector;
  const auto& keys = turn_token().routing.keys;
  Work load(scheduler_);
  Work::Options kept;
  kept.pinned = own;
  load.op(AluOp::Pass, load.memory(keys[index_of(vector)][0]), {}, kept);
  load.place();
  Work work(scheduler_);
  Value count;
  for (int distance = 0; distance < lanes; ++distance) {
    std::vector<std::uint16_t> map(index_of(geometry_.lanes()), static_cast<std::uint16_t>(lanes));
    for (int lane = 0; lane < lanes; ++lane) {
      map[index_of(lane)] = static_cast<std::uint16_t>((lane + distance) % lanes);
    }
    const Rows& copy = keys[index_of(other)][index_of(distance % 2)];
    const Value theirs = work.memory_permuted(copy, add_map(std::move(map)));
    const Value mine = Work::register_of(own);
    Work::Options at;
    at.earliest = distance;
    const Value wins = other > vector ? work.op(AluOp::CmpGreater, theirs, mine, at)
                                      : work.op(AluOp::CmpGreater, mine, theirs, at);
    Work::Options running;
    running.pinned = pinned_alu::best_tile(geometry_);
    // Copies of either hemisphere come at their own times; the count takes them in order.
    if (distance > 0) running.earliest = work.time_of(count) + 1;
    count = work.op(distance == 0 ? AluOp::AccClear : AluOp::AccAdd, wins, {}, running);
  }
  const Rows& place = turn_token().routing.rank[index_of(vector)];
  const Value before = work.memory(place);
  if (other < vector) {
    const auto all = static_cast<float>(lanes);
    count = work.op(AluOp::Sub, Work::constant(all), count);
  }
  work.store(work.op(AluOp::Add, count, before), place);
  work.place();
}

void StageCompiler::choose_experts(const LayerLayout& layer) {
  const ops::Router& router = layer.kind.ffn.experts->router;
  keep_best_groups(layer);
  scheduler_.begin_operator("top-k");
  rank_experts(*layer.experts);
  find_chosen(*layer.experts, to_int(router.top_k));
  scheduler_.begin_operator("expert weights");
  weigh_chosen(layer);
}

}  // namespace tandem::lpu
