// Attention from the scores on: maximum over lanes, transposition of the growing block of values,
// the loop over KV blocks that weighs values, and the heads of a pack put together.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Accumulators below these serve products in turn.
constexpr int first_value_accumulator = 64;
// Above this many heads in a pack, the two emissions of neighbouring heads would meet in one cycle
// if the heads followed each other every cycle (they lie sxm_cross + vxm_special cycles apart).
constexpr int dense_heads = 24;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

// Heads that share the planes of pack `pack` and come before it, in packs.
int StageCompiler::packs_before(const LayerLayout& layer, int pack) {
  int before = 0;
  for (int other = 0; other < pack; ++other) {
    if (layer.packs[index_of(other)].plane == layer.packs[index_of(pack)].plane) ++before;
  }
  return before;
}

// Accumulators that one token needs on the plane with most packs.
int StageCompiler::value_accumulators(const LayerLayout& layer) const {
  int most = 0;
  for (int j = 0; j < layout_.shape.packs; ++j) most = std::max(most, packs_before(layer, j) + 1);
  return most * layout_.shape.group * layout_.shape.pack_heads;
}

int StageCompiler::tokens_at_once(const LayerLayout& layer) const {
  const int needed = value_accumulators(layer);
  const int tokens = (geometry_.accumulators - first_value_accumulator) / needed;
  if (tokens < 1) {
    throw ModelError("lpu.compiler: more heads on one plane than it has accumulators");
  }
  return tokens;
}

int StageCompiler::value_accumulator(const LayerLayout& layer, int q, int p, int turn) const {
  const StageShape& shape = layout_.shape;
  const int head = packs_before(layer, q / shape.group) * shape.group + q % shape.group;
  return first_value_accumulator + turn * value_accumulators(layer) + head * shape.pack_heads + p;
}

void StageCompiler::maximum_over_lanes(const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  for (int q = 0; q < shape.q_vectors(); ++q) {
    for (int p = 0; p < shape.heads_in_pack(q / shape.group); ++p) {
      const Rows& maximum = token.maxima[layout_.head_slot(q, p, Hemisphere::West)];
      Work work(scheduler_);
      const Value own = work.op(AluOp::Pass, work.memory(maximum));
      const Hemisphere side = (q + p) % 2 == 0 ? Hemisphere::East : Hemisphere::West;
      work.store(reduce_lanes(work, own, AluOp::Max, side), maximum);
      work.place();
    }
  }
}

// The planes turn V rows by token into columns by channel: a one-hot activation picks one channel
// of every token.
void StageCompiler::transpose_values(const PackLayout& pack, const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  ColumnTile staged = pack.staged;
  staged.reg = token.registers.staging_base;
  scheduler_.load_tile(staged, pack.plane);
  const auto side = index_of(pack.side == Hemisphere::East ? 1 : 0);
  for (int channel = 0; channel < shape.channels(); ++channel) {
    const int accumulator = next_accumulator(pack.plane);
    const int halves = streams_of(shape.kv) == 2 && channel >= shape.lanes / 2 ? 2 : 1;
    Work product(scheduler_);
    product.activate_rows(layout_.one_hot[side][index_of(channel)],
                          {{pack.plane, accumulator, false, halves, shape.kv}});
    product.place();
    std::vector<Rows> column;
    for (int byte = 0; byte < pack.values.bytes; ++byte) {
      column.push_back({pack.values.place(geometry_, byte, channel)});
      column.back().front().reg = token.registers.tail_base;
    }
    Work work(scheduler_);
    store_column(work, work.accumulator(pack.plane, accumulator), pack.values, column);
    work.place();
  }
}

// exp(score - maximum) of one head and block goes straight from the vector unit to the plane.
void StageCompiler::weigh_values(const PackLayout& pack, int q, int p, int accumulator,
                                 const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  Work work(scheduler_);
  const Value distance =
      work.op(AluOp::Sub, work.memory(token.scores[layout_.head_slot(q, p, pack.side)]),
              work.memory(token.maxima[layout_.head_slot(q, p, Hemisphere::West)]));
  const Value weight = work.op(AluOp::Exp, distance);
  const Work::Target target{pack.plane, accumulator, true, streams_of(shape.kv), shape.kv};
  if (streams_of(shape.kv) == 1) {
    const Value larger = work.op(AluOp::Mul, weight, Work::constant(fp8_weight_scale));
    work.activate(work.convert(larger, Type::Float32, shape.kv), target);
  } else {
    // What rounding takes away follows as a second activation.
    const Value rounded = work.convert(weight, Type::Float32, shape.kv);
    work.activate(rounded, target);
    const Value kept = work.convert(rounded, shape.kv, Type::Float32);
    const Value rest = work.op(AluOp::Sub, weight, kept);
    work.activate(work.convert(rest, Type::Float32, shape.kv), target);
  }
  work.place();
}

void StageCompiler::value_loop(const LayerLayout& layer, const TokenBuffers& token, int turn) {
  const StageShape& shape = layout_.shape;
  for (int q = 0; q < shape.q_vectors(); ++q) {
    const PackLayout& pack = layer.packs[index_of(q / shape.group)];
    for (int p = 0; p < shape.heads_in_pack(q / shape.group); ++p) {
      Work work(scheduler_);
      work.activate(work.convert(Work::constant(0.0F), Type::Float32, shape.kv),
                    {pack.plane, value_accumulator(layer, q, p, turn), false, 1, shape.kv});
      work.place();
    }
  }
  scheduler_.begin_loop(token.registers.iterations, loop_strides());
  for (int j = 0; j < shape.packs; ++j) {
    const PackLayout& pack = layer.packs[index_of(j)];
    ColumnTile values = pack.values;
    values.reg = token.registers.slot_base;
    scheduler_.load_tile(values, pack.plane);
    for (int q = j * shape.group; q < (j + 1) * shape.group; ++q) {
      for (int p = 0; p < shape.heads_in_pack(j); ++p) {
        weigh_values(pack, q, p, value_accumulator(layer, q, p, turn), token);
      }
    }
  }
  scheduler_.end_loop();
}

// A sink takes its share of the softmax and adds nothing: its exponential joins the sum.
Value StageCompiler::with_sink(Work& work, Value sum, const LayerLayout& layer,
                               const HeadOfPack& head, const TokenBuffers& token,
                               const Work::Options& at) {
  const std::size_t index = layout_.head_slot(head.q, head.p, Hemisphere::West);
  const Value distance =
      work.op(AluOp::Sub, work.memory(layer.sinks[index]), work.memory(token.maxima[index]), at);
  Value share = work.op(AluOp::Exp, distance);
  if (streams_of(layout_.shape.kv) == 1) {
    share = work.op(AluOp::Mul, share, Work::constant(fp8_weight_scale));
  }
  return work.op(AluOp::Add, sum, share);
}

// Divides every head by its sum (the lane of the ones column, spread over all lanes), keeps its own
// lanes and adds the heads of the pack into one activation.
void StageCompiler::combine_heads(const LayerLayout& layer, int q, const TokenBuffers& token,
                                  int turn) {
  const StageShape& shape = layout_.shape;
  const int j = q / shape.group;
  const PackLayout& pack = layer.packs[index_of(j)];
  const int spacing = shape.pack_heads > dense_heads ? 2 : 1;
  Work work(scheduler_);
  Value total;
  for (int p = 0; p < shape.heads_in_pack(j); ++p) {
    const int accumulator = value_accumulator(layer, q, p, turn);
    Work::Options at;
    at.earliest = std::int64_t{p} * spacing;
    Value sum = work.accumulator_permuted(pack.plane, accumulator, sum_map_);
    if (!layer.sinks.empty()) sum = with_sink(work, sum, layer, {q, p}, token, at);
    const Value part = work.op(AluOp::Recip, sum, {}, at);
    const Value mean = work.op(AluOp::Mul, work.accumulator(pack.plane, accumulator), part);
    const Value own = work.op(AluOp::Mul, mean, work.memory(layout_.head_mask[index_of(p)]));
    Work::Options running;
    running.pinned = pinned_alu::sum(geometry_);
    running.hold = spacing - 1;
    total = work.op(p == 0 ? AluOp::AccClear : AluOp::AccAdd, own, {}, running);
  }
  store_activation(work, total, shape.weights, token.attended, q);
  work.place();
}

}  // namespace tandem::lpu
