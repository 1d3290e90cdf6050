#include "models/lpu/compiler/layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/compiler/row_allocator.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

int ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}

constexpr std::array<Hemisphere, 2> both_sides{Hemisphere::West, Hemisphere::East};

class LayoutMaker {
 public:
  LayoutMaker(const Geometry& geometry, StageLayout& layout)
      : geometry_(geometry), layout_(layout), allocator_(geometry, layout) {}

  void make() {
    const StageShape& shape = layout_.shape;
    for (std::int64_t l = 0; l < layout_.stage.layers; ++l) make_layer();
    if (layout_.stage.has_head()) layout_.head = matrix(shape.head_vectors, shape.hidden_vectors);
    if (layout_.stage.layers > 0) make_kv();
    // Buffers come behind all column tiles: on chips where those need every slice, they begin at
    // the first row that is free in all of them.
    for (LayerLayout& layer : layout_.layers) make_vectors(layer);
    if (layout_.stage.has_head()) make_head_vectors();
    for (int t = 0; t < layout_.tokens; ++t) make_hidden(t);
    for (int t = 0; t < layout_.tokens; ++t) {
      make_activations(layout_.token(t).normed, shape.hidden_vectors, layout_.network.hidden, t);
    }
    if (layout_.stage.layers == 0) return;
    for (int t = 0; t < layout_.tokens; ++t) make_attention_buffers(t);
  }

 private:
  [[nodiscard]] bool is_last() const {
    return layout_.stage.head_end == layout_.network.vocabulary;
  }
  Rows fp32(Hemisphere side) { return allocator_.buffer(side, 4); }
  Rows fp32() {
    turn_ = !turn_;
    return fp32(turn_ ? Hemisphere::East : Hemisphere::West);
  }

  MatrixLayout matrix_shape(int n_tiles, int k_tiles) {
    MatrixLayout matrix;
    matrix.n_tiles = n_tiles;
    matrix.k_tiles = k_tiles;
    matrix.type = layout_.shape.weights;
    return matrix;
  }
  void add_tiles(MatrixLayout& matrix, int position) {
    const int pairs = geometry_.planes / 2;
    const int plane =
        streams_of(matrix.type) == 2 ? 2 * (position % pairs) : position % geometry_.planes;
    matrix.plane.push_back(plane);
    for (int k = 0; k < matrix.k_tiles; ++k) {
      matrix.tiles.push_back(allocator_.weights(plane, matrix.type));
    }
  }
  MatrixLayout matrix(int n_tiles, int k_tiles) {
    MatrixLayout result = matrix_shape(n_tiles, k_tiles);
    for (int n = 0; n < n_tiles; ++n) add_tiles(result, n);
    return result;
  }

  std::vector<Rows> norm_weights() {
    std::vector<Rows> rows;
    for (int k = 0; k < layout_.shape.hidden_vectors; ++k) rows.push_back(fp32());
    return rows;
  }

  void make_vectors(LayerLayout& layer) {
    layer.attention_norm = norm_weights();
    layer.ffn_norm = norm_weights();
    for (MatrixLayout* matrix :
         {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
      make_scale(*matrix);
    }
  }
  void make_scale(MatrixLayout& matrix) {
    if (streams_of(matrix.type) == 1) matrix.scale = fp32();
  }

  void make_layer() {
    const StageShape& s = layout_.shape;
    LayerLayout layer;
    layer.q = matrix(s.q_vectors(), s.hidden_vectors);
    layer.k = matrix(s.packs, s.hidden_vectors);
    layer.v = matrix(s.packs, s.hidden_vectors);
    layer.o = matrix(s.hidden_vectors, s.q_vectors());
    // Gate and up tiles of one vector stand side by side, so that their planes finish together.
    layer.gate = matrix_shape(s.ffn_vectors, s.hidden_vectors);
    layer.up = matrix_shape(s.ffn_vectors, s.hidden_vectors);
    for (int i = 0; i < s.ffn_vectors; ++i) {
      add_tiles(layer.gate, 2 * i);
      add_tiles(layer.up, 2 * i + 1);
    }
    layer.down = matrix(s.hidden_vectors, s.ffn_vectors);
    layout_.layers.push_back(std::move(layer));
  }

  void make_head_vectors() {
    layout_.final_norm = norm_weights();
    make_scale(layout_.head);
    layout_.logit_mask = fp32();
    for (int t = 0; t < layout_.tokens; ++t) {
      TokenBuffers& token = layout_.token(t);
      for (int n = 0; n < layout_.shape.head_vectors; ++n) token.logits.push_back(fp32());
      token.best_value = fp32();
      token.best_tile = fp32();
    }
  }

  void make_hidden(int t) {
    TokenBuffers& token = layout_.token(t);
    for (int k = 0; k < layout_.shape.hidden_vectors; ++k) {
      token.hidden.push_back(allocator_.buffer(Hemisphere::West, 4, BufferUse::Updated));
      if (!is_last()) token.outgoing.push_back(fp32(Hemisphere::East));
    }
  }

  // Assigns packs to planes, turn by turn over layers so that both hemispheres fill evenly.
  void make_kv() {
    const StageShape& s = layout_.shape;
    const int pairs = geometry_.planes / 2;
    std::array<int, 2> tiles{};
    for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
      for (int j = 0; j < s.packs; ++j) {
        PackLayout pack;
        const int turn = j + static_cast<int>(l);
        const int half = streams_of(s.kv) == 2 ? 0 : (turn / pairs) % 2;
        pack.plane = 2 * (turn % pairs) + half;
        pack.side = geometry_.plane_hemisphere(pack.plane);
        tiles[pack.side == Hemisphere::East ? 1 : 0] += 1;
        layout_.layers[l].packs.push_back(pack);
      }
    }
    const int most = std::max(tiles[0], tiles[1]);
    for (const Hemisphere side : both_sides) place_kv(side, most);
  }

  void place_kv(Hemisphere side, int tiles) {
    int rows = 0;
    const ColumnTile model = allocator_.moving_tiles(side, layout_.shape.kv, rows);
    layout_.unit_rows = 2 * tiles * rows;
    layout_.staging_rows = tiles * rows;
    // One unit and one staging area more than requests need: what must not be kept goes there.
    const int cache = allocator_.reserve_moving(model, (layout_.units() + 1) * layout_.unit_rows);
    const int staging =
        allocator_.reserve_moving(model, (layout_.slots + 1) * layout_.staging_rows);
    int index = 0;
    for (LayerLayout& layer : layout_.layers) {
      for (PackLayout& pack : layer.packs) {
        if (pack.side != side) continue;
        pack.keys = pack.values = pack.staged = model;
        pack.keys.row = cache + 2 * index * rows;
        pack.values.row = cache + (2 * index + 1) * rows;
        pack.staged.row = staging + index * rows;
        ++index;
      }
    }
  }

  void make_activations(Activations& activations, int vectors, std::int64_t width, int t,
                        bool lanes_per_vector = true) {
    const StageShape& s = layout_.shape;
    for (int k = 0; k < vectors; ++k) {
      for (const Hemisphere side : both_sides) {
        activations.side[side == Hemisphere::East ? 1 : 0].push_back(
            allocator_.buffer(side, streams_of(s.weights), BufferUse::Activation, t));
      }
      const std::int64_t used = lanes_per_vector ? width - std::int64_t{k} * s.lanes : width;
      activations.halves.push_back(streams_of(s.weights) == 2 && used > s.lanes / 2 ? 2 : 1);
    }
  }

  void make_attention_buffers(int t) {
    const StageShape& s = layout_.shape;
    TokenBuffers& token = layout_.token(t);
    token.cosine = fp32();
    token.sine = fp32();
    make_activations(token.attended, s.q_vectors(), s.channels(), t, false);
    make_activations(token.gated, s.ffn_vectors, layout_.network.intermediate, t);
    if (t == 0) {
      for (int p = 0; p < s.pack_heads; ++p) layout_.head_mask.push_back(fp32());
      layout_.score_stride = s.q_vectors() * s.pack_heads;
    }
    for (const Hemisphere side : both_sides) {
      if (t == 0) make_one_hot(side);
      make_heads(token, side);
      make_tables(token, side);
    }
    for (int q = 0; q < layout_.score_stride; ++q) token.maxima.push_back(fp32());
  }

  void make_one_hot(Hemisphere side) {
    for (int c = 0; c < layout_.shape.channels(); ++c) {
      layout_.one_hot[side == Hemisphere::East ? 1 : 0].push_back(
          allocator_.buffer(side, streams_of(layout_.shape.kv)));
    }
  }

  void make_heads(TokenBuffers& token, Hemisphere side) {
    const int width = streams_of(layout_.shape.kv);
    for (int q = 0; q < layout_.score_stride; ++q) {
      token.q_heads.push_back(allocator_.buffer(side, width));
      if (width == 2) token.q_rests.push_back(allocator_.buffer(side, width));
    }
  }

  void make_tables(TokenBuffers& token, Hemisphere side) {
    const int blocks = layout_.blocks_per_slot;
    token.mask[side == Hemisphere::East ? 1 : 0] = allocator_.mask_table(side, blocks + 1);
    const Rows table = allocator_.score_table(side, layout_.score_stride * blocks);
    for (int q = 0; q < layout_.score_stride; ++q) {
      Rows row = table;
      for (Place& place : row) place.row += q;
      token.scores.push_back(row);
    }
  }

  const Geometry& geometry_;
  StageLayout& layout_;
  RowAllocator allocator_;
  bool turn_ = false;
};

StageShape shape_of(const Geometry& geometry, const Stage& stage, const DenseDecoder& network) {
  StageShape shape;
  shape.lanes = geometry.lanes();
  shape.weights = plane_type(stage.precision.weights);
  shape.kv = plane_type(stage.precision.kv_cache);
  shape.head_dim = static_cast<int>(network.head_dim);
  shape.kv_heads = static_cast<int>(network.kv_heads);
  shape.group = static_cast<int>(network.heads / network.kv_heads);
  // One column of a V tile holds ones, so a pack fills at most lanes - 1 of them.
  shape.pack_heads = std::min(shape.kv_heads, (shape.lanes - 1) / shape.head_dim);
  if (shape.pack_heads < 1) {
    throw ModelError(fmt::format("lpu.compiler: heads of {} channels do not fit a vector of {}",
                                 shape.head_dim, shape.lanes));
  }
  shape.packs = ceil_div(shape.kv_heads, shape.pack_heads);
  shape.hidden_vectors = ceil_div(network.hidden, shape.lanes);
  shape.ffn_vectors = ceil_div(network.intermediate, shape.lanes);
  shape.head_vectors = ceil_div(stage.head_end - stage.head_begin, shape.lanes);
  return shape;
}

}  // namespace

TokenRegisters token_registers(const Geometry& geometry, int token) {
  const int ports = geometry.weight_streams_per_plane;
  TokenRegisters registers;
  registers.key_ports = host_register::column_ports;
  if (token > 0) {
    constexpr int bases = 5;
    const int first = host_register::further_tokens + (token - 1) * (bases + 2 * ports);
    registers.iterations = first;
    registers.slot_base = first + 1;
    registers.tail_base = first + 2;
    registers.staging_base = first + 3;
    registers.mask_start = first + 4;
    registers.key_ports = first + bases;
  }
  registers.value_ports = registers.key_ports + ports;
  return registers;
}

int StageLayout::deepest_bank() const {
  return rows_used.empty() ? 0 : *std::max_element(rows_used.begin(), rows_used.end());
}

Type plane_type(ElementType type) {
  switch (type) {
    case ElementType::Float16:
      return Type::Float16;
    case ElementType::Bfloat16:
      return Type::Bfloat16;
    case ElementType::Fp8E4m3:
      return Type::Fp8E4m3;
    default:
      throw ModelError(fmt::format(
          "lpu.compiler: weights and KV in {} are not supported; use float16, bfloat16 or fp8",
          name_of(type)));
  }
}

StageLayout make_layout(const Geometry& geometry, const Stage& stage, int slots,
                        std::int64_t max_context, int tokens) {
  if (geometry.lanes() != geometry.plane_columns || geometry.lanes() != geometry.plane_rows ||
      geometry.banks != 2 || geometry.planes % 2 != 0) {
    throw ModelError("lpu.compiler: needs square planes as wide as a vector, and two banks");
  }
  StageLayout layout;
  layout.stage = stage;
  layout.network = dense_decoder_of(stage.network, "lpu.compiler");
  layout.shape = shape_of(geometry, stage, layout.network);
  if (tokens < 1 || tokens > most_tokens) {
    throw ModelError(fmt::format("lpu.compiler: passes of {} tokens; 1 to {} are supported", tokens,
                                 most_tokens));
  }
  layout.slots = slots;
  layout.tokens = tokens;
  layout.further_tokens.resize(static_cast<std::size_t>(tokens - 1));
  layout.blocks_per_slot = std::max(1, ceil_div(max_context, geometry.lanes()));
  LayoutMaker(geometry, layout).make();
  return layout;
}

}  // namespace tandem::lpu
