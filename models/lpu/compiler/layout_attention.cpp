// Where grouped attention keeps its matrices, its KV packs and the vectors between its steps.
#include <algorithm>

#include "models/lpu/compiler/layout_maker.hpp"

namespace tandem::lpu {

void LayoutMaker::make_grouped_attention(LayerLayout& layer) {
  const StageShape& s = layout_.shape;
  layer.q = matrix(s.q_vectors(), s.hidden_vectors);
  layer.k = matrix(s.packs, s.hidden_vectors);
  layer.v = matrix(s.packs, s.hidden_vectors);
  layer.o = matrix(s.hidden_vectors, s.q_vectors());
}

// Assigns packs to planes, turn by turn over layers so that both hemispheres fill evenly.
void LayoutMaker::make_kv() {
  const StageShape& s = layout_.shape;
  const int pairs = geometry_.planes / 2;
  std::array<int, 2> tiles{};
  for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
    const bool attends = std::holds_alternative<GroupedAttention>(layout_.layers[l].kind.mixer);
    for (int j = 0; attends && j < s.packs; ++j) {
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

void LayoutMaker::place_kv(Hemisphere side, int tiles) {
  int rows = 0;
  const ColumnTile model = allocator_.moving_tiles(side, layout_.shape.kv, rows);
  layout_.unit_rows = 2 * tiles * rows;
  layout_.staging_rows = tiles * rows;
  // One unit and one staging area more than requests need: what must not be kept goes there.
  const int cache = allocator_.reserve_moving(model, (layout_.units() + 1) * layout_.unit_rows);
  const int staging = allocator_.reserve_moving(model, (layout_.slots + 1) * layout_.staging_rows);
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

void LayoutMaker::make_attention_vectors() {
  const StageShape& s = layout_.shape;
  layout_.cosine = fp32();
  layout_.sine = fp32();
  make_activations(layout_.attended, s.q_vectors(), s.channels(), false);
}

void LayoutMaker::make_attention_buffers() {
  const StageShape& s = layout_.shape;
  for (int p = 0; p < s.pack_heads; ++p) layout_.head_mask.push_back(fp32());
  const int width = streams_of(s.kv);
  layout_.score_stride = s.q_vectors() * s.pack_heads;
  for (const Hemisphere side : both_sides) {
    const auto index = static_cast<std::size_t>(side == Hemisphere::East ? 1 : 0);
    for (int c = 0; c < s.channels(); ++c) {
      layout_.one_hot[index].push_back(allocator_.buffer(side, width));
    }
    for (int q = 0; q < s.q_vectors() * s.pack_heads; ++q) {
      (index == 0 ? q_west_ : q_east_).push_back(allocator_.buffer(side, width));
      if (width == 2) {
        (index == 0 ? rest_west_ : rest_east_).push_back(allocator_.buffer(side, width));
      }
    }
    layout_.mask[index] = allocator_.mask_table(side, layout_.blocks_per_slot + 1);
    const int rows = layout_.score_stride * layout_.blocks_per_slot;
    const Rows table = allocator_.score_table(side, rows);
    for (int q = 0; q < layout_.score_stride; ++q) {
      Rows row = table;
      for (Place& place : row) place.row += q;
      (index == 0 ? score_west_ : score_east_).push_back(row);
    }
  }
  for (int q = 0; q < layout_.score_stride; ++q) layout_.maxima.push_back(fp32());
  layout_.q_heads = q_west_;
  layout_.q_heads.insert(layout_.q_heads.end(), q_east_.begin(), q_east_.end());
  layout_.q_rests = rest_west_;
  layout_.q_rests.insert(layout_.q_rests.end(), rest_east_.begin(), rest_east_.end());
  layout_.scores = score_west_;
  layout_.scores.insert(layout_.scores.end(), score_east_.begin(), score_east_.end());
}

}  // namespace tandem::lpu
