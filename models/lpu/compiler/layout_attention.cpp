// Where grouped attention keeps its matrices, its KV packs and the vectors between its steps.
#include <algorithm>

#include "models/lpu/compiler/layout_maker.hpp"

namespace tandem::lpu {

void LayoutMaker::make_mixer(LayerLayout& layer) {
  if (!layer.kind.has_mixer()) return;
  if (std::holds_alternative<GatedDelta>(layer.kind.mixer)) {
    make_delta(layer);
  } else if (layout_.latent) {
    make_latent(layer);
  } else {
    make_grouped_attention(layer);
  }
}

void LayoutMaker::make_mixer_vectors(int t) {
  if (!layout_.mixes()) return;
  layout_.latent ? make_latent_vectors(t) : make_attention_vectors(t);
}

void LayoutMaker::make_mixer_buffers(int t) {
  if (!layout_.mixes()) return;
  layout_.latent ? make_latent_buffers(t) : make_attention_buffers(t);
}

void LayoutMaker::make_grouped_attention(LayerLayout& layer) {
  const StageShape& s = layout_.shape;
  layer.q = matrix(s.q_vectors(), s.hidden_vectors);
  layer.k = matrix(s.packs, s.hidden_vectors);
  const auto& attention = std::get<GroupedAttention>(layer.kind.mixer);
  if (!attention.keys_are_values) layer.v = matrix(s.packs, s.hidden_vectors);
  if (attention.output_gate) layer.output_gate = matrix(s.q_vectors(), s.hidden_vectors);
  begin_at_even_plane();
  layer.o = matrix(s.hidden_vectors, s.q_vectors());
}

void LayoutMaker::make_head_vectors(LayerLayout& layer, const GroupedAttention& attention) {
  const StageShape& s = layout_.shape;
  layer.q_vectors.resize(static_cast<std::size_t>(s.q_vectors()));
  layer.k_vectors.resize(static_cast<std::size_t>(s.packs));
  for (auto* vectors : {&layer.q_vectors, &layer.k_vectors}) {
    for (HeadVectors& heads : *vectors) {
      if (attention.qkv_bias) heads.bias = fp32();
      if (attention.qkv_bias) heads.partner_bias = fp32();
      if (attention.qk_norm != QkNorm::None) heads.norm = fp32();
      if (attention.qk_norm != QkNorm::None) heads.partner_norm = fp32();
    }
  }
  for (int j = 0; j < s.packs && attention.qkv_bias; ++j) layer.v_bias.push_back(fp32());
  for (int k = 0; k < s.hidden_vectors && attention.output_bias; ++k) {
    layer.o_bias.push_back(fp32());
  }
  for (int h = 0; h < s.q_vectors() * s.pack_heads && attention.sinks; ++h) {
    layer.sinks.push_back(fp32());
  }
  const int normed = attention.qk_norm == QkNorm::None ? 0 : s.q_vectors() + s.packs;
  const int values = attention.value_norm ? s.q_vectors() + 2 * s.packs : 0;
  for (int t = 0; t < layout_.tokens; ++t) {
    TokenBuffers& token = layout_.token(t);
    for (int i = static_cast<int>(token.rotated.size()); i < std::max(normed, values); ++i) {
      token.rotated.push_back(fp32());
      token.inverse_rms.push_back(fp32());
    }
  }
  if (attention.qk_norm == QkNorm::AllHeads) make_square_sums();
}

// In a gang the sums of a token's queries and keys follow each other in stripes of as many vectors
// as a tray has chips.
void LayoutMaker::make_square_sums() {
  if (!layout_.square_sums[0].empty()) return;
  const int chips = layout_.tray_chips;
  const int vectors = (2 * layout_.tokens + chips - 1) / chips * chips;
  StripedBlocks& blocks = layout_.norm_exchange;
  if (layout_.ranks > 1) blocks = striped_blocks(vectors);
  for (int t = 0; t < layout_.tokens; ++t) {
    TokenBuffers& token = layout_.token(t);
    for (int which = 0; which < 2; ++which) {
      auto& sums = token.square_sums[static_cast<std::size_t>(which)];
      if (layout_.ranks == 1) {
        sums = {fp32()};
        continue;
      }
      const int index = 2 * t + which;
      sums = {blocks.input[0].at(index), blocks.input[1].at(index)};
      token.summed_squares[static_cast<std::size_t>(which)] = blocks.output.at(index);
    }
  }
}

// Assigns packs to planes, turn by turn over layers so that both hemispheres fill evenly.
void LayoutMaker::make_kv() {
  if (layout_.latent) return make_latent_cache();
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

// Tiles of keys and values take turns on the groups of slices, so that all have room for as many
// blocks.
void LayoutMaker::place_kv(Hemisphere side, int tiles) {
  const Type type = layout_.shape.kv;
  int groups = std::max(1, std::min(allocator_.moving_groups(type), 2 * tiles));
  while (2 * tiles % groups != 0) --groups;
  layout_.kv_groups = groups;
  // One unit and one staging area more than requests need: what must not be kept goes there. The
  // last iteration of a loop may read blocks behind it.
  const int units = layout_.units() + 1 + layout_.spare_blocks;
  // Latents are keys too: what turns them into values reads them from there.
  const int areas = layout_.latent ? 0 : layout_.staging_areas() + 1;
  int rows = 0;
  std::vector<ColumnTile> cache, staging;
  for (int group = 0; group < groups; ++group) {
    ColumnTile tile = allocator_.moving_tiles(side, type, group, rows);
    layout_.unit_rows = (2 * tiles + groups - 1) / groups * rows;
    layout_.staging_rows = areas > 0 ? (tiles + groups - 1) / groups * rows : 0;
    tile.row = allocator_.reserve_moving(tile, units * layout_.unit_rows);
    cache.push_back(tile);
    if (group >= tiles || areas == 0) continue;
    tile.row = allocator_.reserve_moving(tile, areas * layout_.staging_rows);
    staging.push_back(tile);
  }
  const auto nth = [&](const std::vector<ColumnTile>& first, int index) {
    const int turns = static_cast<int>(first.size());
    ColumnTile tile = first[static_cast<std::size_t>(index % turns)];
    tile.row += index / turns * rows;
    return tile;
  };
  int index = 0;
  for (LayerLayout& layer : layout_.layers) {
    for (PackLayout& pack : layer.packs) {
      if (pack.side != side) continue;
      pack.keys = nth(cache, 2 * index);
      pack.values = nth(cache, 2 * index + 1);
      pack.staged = areas > 0 ? nth(staging, index) : pack.keys;
      layout_.kv_rows += std::int64_t{2 * units + areas} * rows *
                         geometry_.weight_streams_per_plane * (pack.keys.spread ? 1 : 2);
      ++index;
    }
  }
}

void LayoutMaker::make_attention_vectors(int t) {
  const StageShape& s = layout_.shape;
  TokenBuffers& token = layout_.token(t);
  token.cosine = fp32();
  token.sine = fp32();
  make_activations(token.attended, t, s.q_vectors(), s.channels(), false);
  const bool gates = std::ranges::any_of(
      layout_.layers, [](const LayerLayout& layer) { return layer.output_gate.n_tiles > 0; });
  for (int q = 0; gates && q < s.q_vectors(); ++q) token.output_gates.push_back(fp32());
}

// Masks and one-hot vectors are the same for all tokens.
void LayoutMaker::make_attention_buffers(int t) {
  const StageShape& s = layout_.shape;
  TokenBuffers& token = layout_.token(t);
  if (t == 0) {
    for (int p = 0; p < s.pack_heads; ++p) layout_.head_mask.push_back(fp32());
    layout_.score_stride = s.q_vectors() * s.pack_heads;
  }
  for (const Hemisphere side : both_sides) {
    if (t == 0) make_one_hot(side);
    make_heads(token, side);
    make_tables(token, side);
  }
  for (int i = 0; i < (1 + layout_.spare_blocks) * layout_.score_stride; ++i) {
    const int q = i % layout_.score_stride / s.pack_heads;
    const BufferUse use =
        s.is_late(q, geometry_.planes) ? BufferUse::LateState : BufferUse::LoopState;
    token.maxima.push_back(allocator_.buffer(both_sides[static_cast<std::size_t>(i % 2)], 4, use));
  }
}

void LayoutMaker::make_one_hot(Hemisphere side) {
  for (int c = 0; c < layout_.shape.channels(); ++c) {
    layout_.one_hot[side == Hemisphere::East ? 1 : 0].push_back(
        allocator_.buffer(side, streams_of(layout_.shape.kv)));
  }
}

void LayoutMaker::make_heads(TokenBuffers& token, Hemisphere side) {
  const int width = streams_of(layout_.shape.kv);
  for (int q = 0; q < layout_.score_stride; ++q) {
    const bool late = layout_.shape.is_late(q / layout_.shape.pack_heads, geometry_.planes);
    const BufferUse use = late ? BufferUse::LateInput : BufferUse::LoopInput;
    token.q_heads.push_back(allocator_.buffer(side, width, use));
    if (width == 2) token.q_rests.push_back(allocator_.buffer(side, width, use));
  }
}

void LayoutMaker::make_tables(TokenBuffers& token, Hemisphere side) {
  const std::size_t index = side == Hemisphere::East ? 1 : 0;
  const int spare = layout_.spare_blocks;
  if (layout_.sees_all()) {
    token.mask[index] = allocator_.mask_table(side, layout_.blocks_per_slot + 1 + spare);
  }
  if (layout_.window.exists()) {
    token.window_mask[index] = allocator_.mask_table(side, layout_.window.blocks + spare);
  }
  const int blocks = layout_.longest_loop() + spare;
  const Rows table = allocator_.score_table(side, layout_.score_stride * blocks);
  for (int q = 0; q < layout_.score_stride; ++q) {
    Rows row = table;
    for (Place& place : row) place.row += q;
    token.scores.push_back(row);
  }
}

std::vector<std::uint16_t> rope_partners(const StageShape& shape, const ops::Rope& rope) {
  constexpr std::uint16_t no_lane = 0xffff;
  std::vector<std::uint16_t> map(static_cast<std::size_t>(shape.lanes), no_lane);
  const bool whole = rope.partial == ops::PartialRotary::Proportional || rope.rotated == 0;
  const int rotated = whole ? shape.head_dim : static_cast<int>(rope.rotated);
  const int half = rotated / 2;
  for (int lane = 0; lane < shape.channels(); ++lane) {
    const int within = lane % shape.head_dim;
    int partner = lane ^ 1;
    if (rope.layout == RopeLayout::HalfSplit) partner = within < half ? lane + half : lane - half;
    if (within >= rotated) partner = lane;
    map[static_cast<std::size_t>(lane)] = static_cast<std::uint16_t>(partner);
  }
  return map;
}

}  // namespace tandem::lpu
