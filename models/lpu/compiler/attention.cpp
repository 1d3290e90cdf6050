// Attention of a layer, and its part before the loops over KV blocks: projections, rotary
// embedding, KV append.
#include <algorithm>
#include <array>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
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
    rows.push_back({&layer.k, j, [this, &layer, j, scales](int t, int plane, int accumulator) {
                      const Output key{&layer.k, plane, accumulator, scales[1]};
                      append_key(layer, j, key, layout_.token(t));
                      if (layer.v.n_tiles == 0) append_value(layer, j, key, layout_.token(t));
                    }});
  }
  for (int j = 0; j < layer.v.n_tiles; ++j) {
    rows.push_back(
        {&layer.v, j, [this, &layer, j, scales](int t, int plane, int accumulator) {
           append_value(layer, j, {&layer.v, plane, accumulator, scales[2]}, layout_.token(t));
         }});
  }
  add_output_gates(layer, scales[0], rows);
  multiply(rows, &TokenBuffers::normed);
  if (norms_all_heads(layer)) norm_all_heads(layer);
}

// All tokens of the pass append their keys and values before the first scores are taken, so that a
// token sees those before it; what comes after it is masked.
void StageCompiler::attention(const LayerLayout& layer) {
  settle_plan(layer, layout_);
  norm(layer.attention_norm);
  scheduler_.begin_operator("qkv");
  project_qkv(layer);
  const int at_once = std::min(tokens_, tokens_at_once(layer));
  for (int first = 0; first < tokens_; first += at_once) {
    attend(layer, first, std::min(tokens_, first + at_once));
  }
  scheduler_.begin_operator("output projection");
  add_to_hidden(layer.o, &TokenBuffers::attended, layer.o_bias,
                residual(layer.attention_post_norm));
}

// Tokens `first` to `end`: as many as there are accumulators for. The loops follow each other, so
// that every token has its own number of blocks; everything between them overlaps.
void StageCompiler::attend(const LayerLayout& layer, int first, int end) {
  const StageShape& shape = layout_.shape;
  scheduler_.begin_operator("scores");
  for (int t = first; t < end; ++t) score_loop(layer, layout_.token(t));
  scheduler_.begin_operator("maximum over lanes");
  for (int t = first; t < end; ++t) maximum_over_lanes(layer, layout_.token(t));
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
