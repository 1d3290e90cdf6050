// The two loops over KV blocks: scores of all tokens and their running maximum, then values weighed
// by exp(score - maximum). An iteration takes `plan.blocks` blocks; those behind the context are
// masked, so their weights are zero.
#include <algorithm>
#include <cmath>
#include <limits>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
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

KvSpan StageCompiler::span_of(const LayerLayout& layer, const TokenBuffers& token) {
  const TokenRegisters& own = token.registers;
  if (!layer.has_window()) return {own.iterations, own.slot_base, own.mask_start, &token.mask};
  return {own.window_iterations, own.window_base, own.window_mask_start, &token.window_mask};
}

// Rows that move from one iteration to the next, by slice.
std::map<int, int> StageCompiler::loop_strides(const LoopPlan& plan) const {
  std::map<int, int> strides;
  for (const LayerLayout& layer : layout_.layers) {
    for (const PackLayout& pack : layer.packs) {
      for (int k = 0; k < geometry_.weight_streams_per_plane; ++k) {
        for (const ColumnTile& tile : {pack.keys, pack.values}) {
          strides[tile.place(geometry_, 0, k).slice] = plan.blocks * layout_.unit_rows;
        }
      }
    }
  }
  for (int t = 0; t < tokens_; ++t) {
    const TokenBuffers& token = layout_.token(t);
    for (const Rows& table :
         {token.mask[0], token.mask[1], token.window_mask[0], token.window_mask[1]}) {
      for (const Place& place : table) strides[place.slice] = plan.blocks;
    }
    for (const Rows& row : token.scores) {
      for (const Place& place : row) strides[place.slice] = plan.blocks * layout_.score_stride;
    }
  }
  return strides;
}

// Iterations that do not overlap take a tile as soon as they can. Where they overlap, a tile that
// waits in a plane would keep the next iteration out: it comes as late as possible.
void StageCompiler::begin_tile(const ColumnTile& tile, int plane, const LoopPlan& plan) {
  if (plan.strategy == LoopStrategy::Sequential) return scheduler_.load_tile(tile, plane);
  scheduler_.expect_tile(tile, plane);
}

void StageCompiler::end_tile(const ColumnTile& tile, int plane, const LoopPlan& plan) {
  if (plan.strategy == LoopStrategy::Overlapped) scheduler_.load_expected(tile, plane);
}

// While one plane of a hemisphere takes activations, the other gives results: both share the ports
// of mask and scores.
std::int64_t StageCompiler::lateness(int q) const {
  const bool overlaps = scheduler_.interval() < sequential_interval;
  return overlaps && layout_.shape.is_late(q, geometry_.planes) ? scheduler_.interval() / 2 : 0;
}

// One q head against one block of keys. With two-byte KV what rounding took from q follows.
void StageCompiler::multiply_keys(const PackLayout& pack, const BlockHead& head,
                                  const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  const std::size_t slot = layout_.head_slot(head.q, head.p, pack.side);
  const int halves = streams_of(shape.kv) == 2 && shape.channels() > shape.lanes / 2 ? 2 : 1;
  Work product(scheduler_);
  product.activate_rows(token.q_heads[slot],
                        {{pack.plane, head.accumulator, false, halves, shape.kv}});
  product.place(lateness(head.q));
  if (token.q_rests.empty()) return;
  Work rest(scheduler_);
  rest.activate_rows(token.q_rests[slot], {{pack.plane, head.accumulator, true, halves, shape.kv}});
  rest.place(product.start() + halves);
}

// The scores of all tokens of the block at once, and the running maximum of every lane.
void StageCompiler::take_scores(const LayerLayout& layer, const BlockHead& head,
                                const TokenBuffers& token) {
  const PackLayout& pack = layer.packs[index_of(head.q / layout_.shape.group)];
  const KvSpan span = span_of(layer, token);
  Work work(scheduler_);
  const ops::AttentionShape& shape = layout_.attention;
  const double scale =
      shape.scale != 0 ? shape.scale : 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const Value sum = work.accumulator(pack.plane, head.accumulator);
  const Value raw = shape.softcap == 0
                        ? work.op(AluOp::Mul, sum, Work::constant(static_cast<float>(scale)))
                        : squeezed(work, sum, scale, shape.softcap);
  Rows mask = moved((*span.mask)[index_of(pack.side == Hemisphere::East ? 1 : 0)], head.block);
  for (Place& place : mask) place.reg = span.mask_start;
  const Value score = work.op(AluOp::Add, raw, work.memory(mask));
  const std::size_t slot = layout_.head_slot(head.q, head.p, pack.side);
  work.store(score, moved(token.scores[slot], head.block * layout_.score_stride));
  const Rows& maximum = token.maxima[layout_.maximum_row(head.q, head.p, head.block)];
  work.store(work.op(AluOp::Max, score, work.memory(maximum)), maximum);
  work.place();
}

// All products come first: results follow a plane's latency later, and take the cycles that the
// products of later blocks leave.
void StageCompiler::score_body(const LayerLayout& layer, const TokenBuffers& token,
                               const LoopPlan& plan) {
  const StageShape& shape = layout_.shape;
  const int slot_base = span_of(layer, token).slot_base;
  std::vector<BlockHead> heads;
  for (int block = 0; block < plan.blocks; ++block) {
    for (int j = 0; j < shape.packs; ++j) {
      const PackLayout& pack = layer.packs[index_of(j)];
      const ColumnTile keys = tile_of_block(pack.keys, slot_base, block * layout_.unit_rows);
      begin_tile(keys, pack.plane, plan);
      for (int g = 0; g < shape.group; ++g) {
        for (int p = 0; p < shape.heads_in_pack(j); ++p) {
          heads.push_back({block, j * shape.group + g, p, next_accumulator(pack.plane)});
          multiply_keys(pack, heads.back(), token);
        }
      }
      end_tile(keys, pack.plane, plan);
    }
  }
  for (const BlockHead& head : heads) take_scores(layer, head, token);
}

// The first maximum is a head's sink, or less than any score.
void StageCompiler::begin_maxima(const LayerLayout& layer, const TokenBuffers& token) {
  const int maxima = blocks_per_iteration(layer) * layout_.score_stride;
  for (int i = 0; i < maxima; ++i) {
    const bool has_sink = !layer.sinks.empty() && i < layout_.score_stride;
    Work work(scheduler_);
    const Value first = has_sink ? work.memory(layer.sinks[index_of(i)])
                                 : Work::constant(-std::numeric_limits<float>::infinity());
    work.store(work.op(AluOp::Pass, first), token.maxima[index_of(i)]);
    work.place();
  }
}

void StageCompiler::score_loop(const LayerLayout& layer, const TokenBuffers& token) {
  begin_maxima(layer, token);
  run_loop("scores", layer, span_of(layer, token).iterations,
           [&](const LoopPlan& plan) { score_body(layer, token, plan); });
}

// exp(score - maximum) of one head and block goes straight from the vector unit to the plane.
void StageCompiler::weigh_values(const PackLayout& pack, const BlockHead& head,
                                 const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  Work work(scheduler_);
  const std::size_t slot = layout_.head_slot(head.q, head.p, pack.side);
  const Value distance =
      work.op(AluOp::Sub, work.memory(moved(token.scores[slot], head.block * layout_.score_stride)),
              work.memory(token.maxima[layout_.maximum_row(head.q, head.p, 0)]));
  const Value weight = work.op(AluOp::Exp, distance);
  const Work::Target target{pack.plane, head.accumulator, true, streams_of(shape.kv), shape.kv};
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

void StageCompiler::value_body(const LayerLayout& layer, const TokenBuffers& token, int turn,
                               const LoopPlan& plan) {
  const StageShape& shape = layout_.shape;
  const int slot_base = span_of(layer, token).slot_base;
  for (int block = 0; block < plan.blocks; ++block) {
    for (int j = 0; j < shape.packs; ++j) {
      const PackLayout& pack = layer.packs[index_of(j)];
      const ColumnTile values = tile_of_block(pack.values, slot_base, block * layout_.unit_rows);
      begin_tile(values, pack.plane, plan);
      for (int q = j * shape.group; q < (j + 1) * shape.group; ++q) {
        for (int p = 0; p < shape.heads_in_pack(j); ++p) {
          weigh_values(pack, {block, q, p, value_accumulator(layer, q, p, turn)}, token);
        }
      }
      end_tile(values, pack.plane, plan);
    }
  }
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
  run_loop("values", layer, span_of(layer, token).iterations,
           [&](const LoopPlan& plan) { value_body(layer, token, turn, plan); });
}

}  // namespace tandem::lpu
