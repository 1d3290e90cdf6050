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
    for (int k = 0; k < shape.hidden_vectors; ++k) {
      layout_.hidden.push_back(allocator_.buffer(Hemisphere::West, 4, BufferUse::Updated));
      if (!is_last()) layout_.outgoing.push_back(fp32(Hemisphere::East));
    }
    make_activations(layout_.normed, shape.hidden_vectors, layout_.network.hidden);
    if (layout_.stage.layers > 0) make_attention_buffers();
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
    const StageShape& s = layout_.shape;
    layout_.final_norm = norm_weights();
    make_scale(layout_.head);
    layout_.logit_mask = fp32();
    for (int n = 0; n < s.head_vectors; ++n) layout_.logits.push_back(fp32());
    layout_.best_value = fp32();
    layout_.best_tile = fp32();
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
    // One unit and one staging area more than requests need: what must not be kept goes there. The
    // last iteration may read blocks behind it.
    const int cache = allocator_.reserve_moving(
        model, (layout_.units() + 1 + layout_.spare_blocks) * layout_.unit_rows);
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

  void make_activations(Activations& activations, int vectors, std::int64_t width,
                        bool lanes_per_vector = true) {
    const StageShape& s = layout_.shape;
    for (int k = 0; k < vectors; ++k) {
      for (const Hemisphere side : both_sides) {
        activations.side[side == Hemisphere::East ? 1 : 0].push_back(
            allocator_.buffer(side, streams_of(s.weights), BufferUse::Activation));
      }
      const std::int64_t used = lanes_per_vector ? width - std::int64_t{k} * s.lanes : width;
      activations.halves.push_back(streams_of(s.weights) == 2 && used > s.lanes / 2 ? 2 : 1);
    }
  }

  void make_attention_buffers() {
    const StageShape& s = layout_.shape;
    layout_.cosine = fp32();
    layout_.sine = fp32();
    make_activations(layout_.attended, s.q_vectors(), s.channels(), false);
    make_activations(layout_.gated, s.ffn_vectors, layout_.network.intermediate);
    for (int p = 0; p < s.pack_heads; ++p) layout_.head_mask.push_back(fp32());
    const int width = streams_of(s.kv);
    layout_.score_stride = s.q_vectors() * s.pack_heads;
    for (const Hemisphere side : both_sides) {
      const auto index = static_cast<std::size_t>(side == Hemisphere::East ? 1 : 0);
      for (int c = 0; c < s.channels(); ++c) {
        layout_.one_hot[index].push_back(allocator_.buffer(side, width));
      }
      for (int q = 0; q < s.q_vectors() * s.pack_heads; ++q) {
        (index == 0 ? q_west_ : q_east_)
            .push_back(allocator_.buffer(side, width, BufferUse::LoopInput));
        if (width == 2) {
          (index == 0 ? rest_west_ : rest_east_)
              .push_back(allocator_.buffer(side, width, BufferUse::LoopInput));
        }
      }
      layout_.mask[index] =
          allocator_.mask_table(side, layout_.blocks_per_slot + 1 + layout_.spare_blocks);
      const int rows = layout_.score_stride * (layout_.blocks_per_slot + layout_.spare_blocks);
      const Rows table = allocator_.score_table(side, rows);
      for (int q = 0; q < layout_.score_stride; ++q) {
        Rows row = table;
        for (Place& place : row) place.row += q;
        (index == 0 ? score_west_ : score_east_).push_back(row);
      }
    }
    for (int q = 0; q < layout_.score_stride; ++q) {
      const Hemisphere side = q % 2 == 0 ? Hemisphere::West : Hemisphere::East;
      layout_.maxima.push_back(allocator_.buffer(side, 4, BufferUse::LoopState));
    }
    layout_.q_heads = q_west_;
    layout_.q_heads.insert(layout_.q_heads.end(), q_east_.begin(), q_east_.end());
    layout_.q_rests = rest_west_;
    layout_.q_rests.insert(layout_.q_rests.end(), rest_east_.begin(), rest_east_.end());
    layout_.scores = score_west_;
    layout_.scores.insert(layout_.scores.end(), score_east_.begin(), score_east_.end());
  }

  const Geometry& geometry_;
  StageLayout& layout_;
  RowAllocator allocator_;
  bool turn_ = false;
  std::vector<Rows> q_west_, q_east_, rest_west_, rest_east_, score_west_, score_east_;
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

TokenRegisters single_token_registers(const Geometry& geometry) {
  TokenRegisters registers;
  registers.key_ports = host_register::column_ports;
  registers.value_ports = host_register::column_ports + geometry.weight_streams_per_plane;
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
                        std::int64_t max_context) {
  if (geometry.lanes() != geometry.plane_columns || geometry.lanes() != geometry.plane_rows ||
      geometry.banks != 2 || geometry.planes % 2 != 0) {
    throw ModelError("lpu.compiler: needs square planes as wide as a vector, and two banks");
  }
  StageLayout layout;
  layout.stage = stage;
  layout.network = dense_decoder_of(stage.network, "lpu.compiler");
  layout.shape = shape_of(geometry, stage, layout.network);
  layout.slots = slots;
  layout.blocks_per_slot = std::max(1, ceil_div(max_context, geometry.lanes()));
  layout.spare_blocks = std::min(layout.blocks_per_slot, most_blocks_per_iteration) - 1;
  LayoutMaker(geometry, layout).make();
  return layout;
}

}  // namespace tandem::lpu
