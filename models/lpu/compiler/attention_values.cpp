// Attention around the loop over values: maximum over lanes, transposition of the growing block,
// and the heads of a pack put together.
#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Above this many heads in a pack, the two emissions of neighbouring heads would meet in one cycle
// if the heads followed each other every cycle (they lie sxm_cross + vxm_special cycles apart).
constexpr int dense_heads = 24;

}  // namespace

void StageCompiler::maximum_over_lanes(const LayerLayout& layer, const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  for (int q = 0; q < shape.q_vectors(); ++q) {
    for (int p = 0; p < shape.heads_in_pack(q / shape.group); ++p) {
      maximum_over_lanes(token, {q, p}, blocks_per_iteration(layer));
    }
  }
}

// Of as many maxima as an iteration has blocks.
void StageCompiler::maximum_over_lanes(const TokenBuffers& token, const HeadOfPack& head,
                                       int blocks) {
  const auto [q, p] = head;
  const Rows& maximum = token.maxima[layout_.maximum_row(q, p, 0)];
  Work work(scheduler_);
  Value own = work.op(AluOp::Pass, work.memory(maximum));
  for (int block = 1; block < blocks; ++block) {
    own = work.op(AluOp::Max, own, work.memory(token.maxima[layout_.maximum_row(q, p, block)]));
  }
  const Hemisphere side = (q + p) % 2 == 0 ? Hemisphere::East : Hemisphere::West;
  work.store(reduce_lanes(work, own, AluOp::Max, side), maximum);
  work.place();
}

// The planes turn V rows by token into columns by channel: a one-hot activation picks one channel
// of every token.
void StageCompiler::transpose_values(const PackLayout& pack, const TokenBuffers& token) {
  ColumnTile staged = pack.staged;
  staged.reg = token.registers.staging_base;
  scheduler_.load_tile(staged, pack.plane);
  for (int channel = 0; channel < layout_.shape.channels(); ++channel) {
    transpose_channel(pack, pack.plane, channel, token);
  }
}

void StageCompiler::transpose_channel(const PackLayout& pack, int plane, int channel,
                                      const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  const int accumulator = next_accumulator(plane);
  const int halves = streams_of(shape.kv) == 2 && channel >= shape.lanes / 2 ? 2 : 1;
  const auto side = index_of(pack.side == Hemisphere::East ? 1 : 0);
  Work product(scheduler_);
  product.activate_rows(layout_.one_hot[side][index_of(channel)],
                        {{plane, accumulator, false, halves, shape.kv}});
  product.place();
  std::vector<Rows> column;
  for (int byte = 0; byte < pack.values.bytes; ++byte) {
    column.push_back({pack.values.place(geometry_, byte, channel)});
    column.back().front().reg = token.registers.tail_base;
  }
  Work work(scheduler_);
  store_column(work, work.accumulator(plane, accumulator), pack.values, column);
  work.place();
}

// A sink takes its share of the softmax and adds nothing: its exponential joins the sum.
Value StageCompiler::with_sink(Work& work, Value sum, const LayerLayout& layer,
                               const TokenBuffers& token, const HeadOfPack& head,
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
    if (!layer.sinks.empty()) sum = with_sink(work, sum, layer, token, {q, p}, at);
    const Value part = work.op(AluOp::Recip, sum, {}, at);
    const Value mean = work.op(AluOp::Mul, work.accumulator(pack.plane, accumulator), part);
    const Value own = work.op(AluOp::Mul, mean, work.memory(layout_.head_mask[index_of(p)]));
    Work::Options running;
    running.pinned = pinned_alu::sum(geometry_);
    running.hold = spacing - 1;
    // Ports that heads share may delay one of them; the sum takes them in order.
    if (p > 0) running.earliest = work.time_of(total) + spacing;
    total = work.op(p == 0 ? AluOp::AccClear : AluOp::AccAdd, own, {}, running);
  }
  const Value output = gated_output(work, total, layer, q, token);
  store_activation(work, output, shape.weights, token.attended, q);
  work.place();
}

}  // namespace tandem::lpu
