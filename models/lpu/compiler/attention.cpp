// Attention up to the scores: projections, rotary embedding, KV append, the loop over KV blocks
// that multiplies keys.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

// Places for one column in every port of a tile, each with a register of its own. The host points
// all but one of them at the spare unit.
std::vector<Rows> StageCompiler::column_ports(const ColumnTile& tile, int first_register) const {
  std::vector<Rows> ports(index_of(tile.bytes));
  for (int byte = 0; byte < tile.bytes; ++byte) {
    for (int k = 0; k < geometry_.weight_streams_per_plane; ++k) {
      Place place = tile.place(geometry_, byte, k);
      place.reg = first_register + k;
      ports[index_of(byte)].push_back(place);
    }
  }
  return ports;
}

// Converts a vector to the KV type and writes it as a column. Where both bytes lie behind the same
// ports, the second follows a cycle later.
void StageCompiler::store_column(Work& work, Value value, const ColumnTile& tile,
                                 const std::vector<Rows>& by_byte) {
  const Type type = layout_.shape.kv;
  if (!tile.spread || tile.bytes == 1) {
    work.store_all(work.convert(value, Type::Float32, type), by_byte);
    return;
  }
  std::int64_t earliest = 0;
  for (std::size_t byte = 0; byte < by_byte.size(); ++byte) {
    std::vector<Rows> one(by_byte.size());
    one[byte] = by_byte[byte];
    Work::Options options;
    options.type = type;
    options.earliest = earliest;
    const Value converted = work.op(AluOp::Convert, value, {}, options);
    earliest = work.time_of(converted) + 1;
    work.store_all(converted, one);
  }
}

void StageCompiler::project_qkv(const LayerLayout& layer) {
  std::vector<TileRow> rows;
  const std::array scales{load_scale(layer.q, 0), load_scale(layer.k, 1), load_scale(layer.v, 2)};
  for (int n = 0; n < layer.q.n_tiles; ++n) {
    rows.push_back(
        {&layer.q, n, [this, &layer, n, scales](int t, int plane, int accumulator) {
           split_heads(layer, n, {&layer.q, plane, accumulator, scales[0]}, layout_.token(t));
         }});
  }
  for (int j = 0; j < layer.k.n_tiles; ++j) {
    rows.push_back(
        {&layer.k, j, [this, &layer, j, scales](int t, int plane, int accumulator) {
           append_key(layer, j, {&layer.k, plane, accumulator, scales[1]}, layout_.token(t));
         }});
  }
  for (int j = 0; j < layer.v.n_tiles; ++j) {
    rows.push_back(
        {&layer.v, j, [this, &layer, j, scales](int t, int plane, int accumulator) {
           append_value(layer, j, {&layer.v, plane, accumulator, scales[2]}, layout_.token(t));
         }});
  }
  multiply(rows, &TokenBuffers::normed);
}

// Rows that move from one KV block to the next, by slice.
std::map<int, int> StageCompiler::loop_strides() const {
  std::map<int, int> strides;
  for (const LayerLayout& layer : layout_.layers) {
    for (const PackLayout& pack : layer.packs) {
      for (int k = 0; k < geometry_.weight_streams_per_plane; ++k) {
        strides[pack.keys.place(geometry_, 0, k).slice] = layout_.unit_rows;
      }
    }
  }
  for (const Rows& table : layout_.mask) {
    for (const Place& place : table) strides[place.slice] = 1;
  }
  for (const Rows& row : layout_.scores) {
    for (const Place& place : row) strides[place.slice] = layout_.score_stride;
  }
  return strides;
}

// One q head against one block of keys: scores of all its tokens at once.
void StageCompiler::score_head(const PackLayout& pack, int q, int p, int accumulator,
                               const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  const std::size_t slot = layout_.head_slot(q, p, pack.side);
  const int halves = streams_of(shape.kv) == 2 && shape.channels() > shape.lanes / 2 ? 2 : 1;
  Work product(scheduler_);
  product.activate_rows(token.q_heads[slot], {{pack.plane, accumulator, false, halves, shape.kv}});
  product.place();
  if (!token.q_rests.empty()) {
    Work rest(scheduler_);
    rest.activate_rows(token.q_rests[slot], {{pack.plane, accumulator, true, halves, shape.kv}});
    rest.place(product.start() + halves);
  }
  Work work(scheduler_);
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  const Value raw =
      work.op(AluOp::Mul, work.accumulator(pack.plane, accumulator), Work::constant(scale));
  const auto side = index_of(pack.side == Hemisphere::East ? 1 : 0);
  Rows mask = token.mask[side];
  for (Place& place : mask) place.reg = token.registers.mask_start;
  const Value score = work.op(AluOp::Add, raw, work.memory(mask));
  work.store(score, token.scores[slot]);
  const Rows& maximum = token.maxima[layout_.head_slot(q, p, Hemisphere::West)];
  work.store(work.op(AluOp::Max, score, work.memory(maximum)), maximum);
  work.place();
}

void StageCompiler::score_loop(const LayerLayout& layer, const TokenBuffers& token) {
  const StageShape& shape = layout_.shape;
  begin_maxima(layer, token);
  scheduler_.begin_loop(token.registers.iterations, loop_strides());
  for (int j = 0; j < shape.packs; ++j) {
    const PackLayout& pack = layer.packs[index_of(j)];
    ColumnTile keys = pack.keys;
    keys.reg = token.registers.slot_base;
    scheduler_.load_tile(keys, pack.plane);
    for (int g = 0; g < shape.group; ++g) {
      for (int p = 0; p < shape.heads_in_pack(j); ++p) {
        score_head(pack, j * shape.group + g, p, next_accumulator(pack.plane), token);
      }
    }
  }
  scheduler_.end_loop();
}

// The first maximum is a head's sink, or less than any score.
void StageCompiler::begin_maxima(const LayerLayout& layer, const TokenBuffers& token) {
  for (std::size_t i = 0; i < token.maxima.size(); ++i) {
    Work work(scheduler_);
    const Value first = layer.sinks.empty()
                            ? Work::constant(-std::numeric_limits<float>::infinity())
                            : work.memory(layer.sinks[i]);
    work.store(work.op(AluOp::Pass, first), token.maxima[i]);
    work.place();
  }
}

// A bias of the hidden state's width joins it while the product is under way.
void StageCompiler::add_bias_to_hidden(const std::vector<Rows>& bias) {
  for (int t = 0; t < tokens_; ++t) {
    const std::vector<Rows>& hidden = layout_.token(t).hidden;
    for (std::size_t k = 0; k < bias.size(); ++k) {
      Work work(scheduler_);
      const Value sum = work.op(AluOp::Add, work.memory(hidden[k]), work.memory(bias[k]));
      work.store(sum, hidden[k]);
      work.place();
    }
  }
}

// All tokens of the pass append their keys and values before the first scores are taken, so that a
// token sees those before it; what comes after it is masked.
void StageCompiler::attention(const LayerLayout& layer) {
  rms_norm(layer.attention_norm);
  scheduler_.begin_operator("qkv");
  project_qkv(layer);
  const int at_once = std::min(tokens_, tokens_at_once(layer));
  for (int first = 0; first < tokens_; first += at_once) {
    attend(layer, first, std::min(tokens_, first + at_once));
  }
  scheduler_.begin_operator("output projection");
  add_bias_to_hidden(layer.o_bias);
  add_to_hidden(layer.o, &TokenBuffers::attended);
}

// Tokens `first` to `end`: as many as there are accumulators for. The loops follow each other, so
// that every token has its own number of blocks; everything between them overlaps.
void StageCompiler::attend(const LayerLayout& layer, int first, int end) {
  const StageShape& shape = layout_.shape;
  scheduler_.begin_operator("scores");
  for (int t = first; t < end; ++t) score_loop(layer, layout_.token(t));
  scheduler_.begin_operator("maximum over lanes");
  for (int t = first; t < end; ++t) maximum_over_lanes(layout_.token(t));
  scheduler_.begin_operator("values transposed");
  for (int t = first; t < end; ++t) {
    for (const PackLayout& pack : layer.packs) transpose_values(pack, layout_.token(t));
  }
  scheduler_.begin_operator("values");
  for (int t = first; t < end; ++t) value_loop(layer, layout_.token(t), t - first);
  scheduler_.begin_operator("heads combined");
  for (int t = first; t < end; ++t) {
    for (int q = 0; q < shape.q_vectors(); ++q) {
      combine_heads(layer, q, layout_.token(t), t - first);
    }
  }
}

}  // namespace tandem::lpu
