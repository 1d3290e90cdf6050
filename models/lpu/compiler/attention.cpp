// Attention of a layer, and its part before the loops over KV blocks: projections, rotary
// embedding, KV append.
#include <array>

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

void StageCompiler::project_qkv(const LayerLayout& layer, const TokenRegisters& token) {
  std::vector<TileRow> rows;
  const std::array scales{load_scale(layer.q, 0), load_scale(layer.k, 1), load_scale(layer.v, 2)};
  for (int n = 0; n < layer.q.n_tiles; ++n) {
    rows.push_back(
        {&layer.q, n, [this, &layer, n, scales](int /*token*/, int plane, int accumulator) {
           split_heads(layer, n, {&layer.q, plane, accumulator, scales[0]});
         }});
  }
  for (int j = 0; j < layer.k.n_tiles; ++j) {
    rows.push_back(
        {&layer.k, j, [this, &layer, &token, j, scales](int /*token*/, int plane, int accumulator) {
           append_key(layer, j, {&layer.k, plane, accumulator, scales[1]}, token);
         }});
  }
  for (int j = 0; j < layer.v.n_tiles; ++j) {
    rows.push_back(
        {&layer.v, j, [this, &layer, &token, j, scales](int /*token*/, int plane, int accumulator) {
           append_value(layer, j, {&layer.v, plane, accumulator, scales[2]}, token);
         }});
  }
  add_output_gates(layer, scales[0], rows);
  multiply(rows, &TokenBuffers::normed);
}

// A bias of the hidden state's width joins it while the product is under way.
void StageCompiler::add_bias_to_hidden(const std::vector<Rows>& bias) {
  for (std::size_t k = 0; k < bias.size(); ++k) {
    Work work(scheduler_);
    const Value sum = work.op(AluOp::Add, work.memory(layout_.hidden[k]), work.memory(bias[k]));
    work.store(sum, layout_.hidden[k]);
    work.place();
  }
}

void StageCompiler::attention(const LayerLayout& layer) {
  const StageShape& shape = layout_.shape;
  const TokenRegisters token = token_registers(geometry_, 0);
  settle_plan(layer, token);
  rms_norm(layer.attention_norm);
  scheduler_.begin_operator("qkv");
  project_qkv(layer, token);
  scheduler_.begin_operator("scores");
  score_loop(layer, token);
  scheduler_.begin_operator("maximum over lanes");
  for (int q = 0; q < shape.q_vectors(); ++q) {
    for (int p = 0; p < shape.heads_in_pack(q / shape.group); ++p) maximum_over_lanes(q, p);
  }
  scheduler_.begin_operator("values transposed");
  for (const PackLayout& pack : layer.packs) transpose_values(pack, token);
  scheduler_.begin_operator("values");
  value_loop(layer, token);
  scheduler_.begin_operator("heads combined");
  for (int q = 0; q < shape.q_vectors(); ++q) combine_heads(layer, q);
  scheduler_.begin_operator("output projection");
  add_bias_to_hidden(layer.o_bias);
  add_to_hidden(layer.o, &TokenBuffers::attended);
}

}  // namespace tandem::lpu
