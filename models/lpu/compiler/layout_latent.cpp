// Where latent attention keeps its matrices, its cache and the vectors between its steps.
#include <algorithm>

#include "models/lpu/compiler/layout_maker.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

std::vector<Rows> LayoutMaker::many(int count) {
  std::vector<Rows> rows;
  for (int i = 0; i < count; ++i) rows.push_back(fp32());
  return rows;
}

// Every head multiplies its own part of a vector of queries, so heads of one vector share tiles.
// Outputs of values take every second plane: rows of tiles with inputs of their own do not go side
// by side on the planes of a hemisphere.
void LayoutMaker::make_latent(LayerLayout& layer) {
  const LatentPlan& plan = *layout_.latent;
  LatentMatrices& latent = layer.latent;
  const int hidden = layout_.shape.hidden_vectors;
  if (plan.query_rank > 0) latent.query_down = matrix(plan.query_vectors, hidden);
  latent.kv_down = matrix(plan.key_vectors, hidden);
  begin_at_even_plane();
  latent.query_up = matrix(plan.nope_vectors + plan.rope_vectors,
                           plan.query_rank > 0 ? plan.query_vectors : hidden);
  begin_at_even_plane();
  for (int j = 0; j < plan.nope_vectors; ++j) {
    MatrixLayout shared = matrix(plan.latent_vectors, 1);
    for (int p = 0; p < plan.heads_of_nope(j); ++p) {
      shared.first_k = j * plan.nope_heads + p;
      latent.key_up.push_back(shared);
    }
  }
  const int step = streams_of(layout_.shape.weights) == 1 ? 2 : 1;
  for (int j = 0; j < plan.output_vectors; ++j) {
    MatrixLayout outputs = matrix_shape(1, plan.heads_of_output(j) * plan.latent_vectors);
    outputs.first_k = j * plan.value_heads * plan.latent_vectors;
    add_tiles(outputs, step * j);
    latent.value_up.push_back(std::move(outputs));
  }
  begin_at_even_plane();
  layer.o = matrix(hidden, plan.output_vectors);
}

// Both up-projections are one tensor with one factor.
void LayoutMaker::make_latent_weights(LayerLayout& layer) {
  if (!layout_.latent) return;
  LatentMatrices& latent = layer.latent;
  for (MatrixLayout* matrix : {&latent.query_down, &latent.kv_down, &latent.query_up}) {
    if (matrix->n_tiles > 0) make_scale(*matrix);
  }
  make_scale(latent.key_up.front());
  for (MatrixLayout& matrix : latent.key_up) matrix.scale = latent.key_up.front().scale;
  for (MatrixLayout& matrix : latent.value_up) matrix.scale = latent.key_up.front().scale;
  latent.query_norm = many(layout_.latent->query_vectors);
  latent.kv_norm = many(layout_.latent->latent_vectors);
}

// Vectors of a token take turns on the hemispheres: both work on one block.
void LayoutMaker::make_latent_cache() {
  std::array<int, 2> tiles{};
  for (LayerLayout& layer : layout_.layers) {
    for (int n = 0; n < layout_.latent->key_vectors; ++n) {
      PackLayout pack;
      pack.plane = n % 2 * geometry_.planes / 2;
      pack.side = geometry_.plane_hemisphere(pack.plane);
      tiles[pack.side == Hemisphere::East ? 1 : 0] += 1;
      layer.packs.push_back(pack);
    }
  }
  for (const Hemisphere side : both_sides) place_kv(side, std::max(tiles[0], tiles[1]));
}

void LayoutMaker::make_latent_vectors(int t) {
  const LatentPlan& plan = *layout_.latent;
  TokenBuffers& token = layout_.token(t);
  const int half = layout_.shape.lanes / 2;
  const bool is_wide = streams_of(layout_.shape.weights) == 2;
  const auto halves = [&](int lanes) { return is_wide && lanes > half ? 2 : 1; };
  token.cosine = fp32();
  token.sine = fp32();
  token.query_raw = many(plan.query_vectors);
  token.cache_raw = many(plan.latent_vectors);
  token.query_rms = fp32();
  token.cache_rms = fp32();
  token.rope_key = fp32();
  token.rope_queries = many(plan.heads);
  make_activations(token.query_latent, t, plan.query_vectors, plan.query_rank);
  make_activations(token.nope_queries, t, plan.heads, plan.lanes, false);
  make_activations(token.latent_outputs, t, plan.heads * plan.latent_vectors, plan.lanes, false);
  make_activations(token.attended, t, plan.output_vectors, plan.value_heads * plan.value, false);
  for (int h = 0; h < plan.heads; ++h) {
    token.nope_queries.halves[static_cast<std::size_t>(h)] =
        halves((h % plan.nope_heads + 1) * plan.nope);
    for (int v = 0; v < plan.latent_vectors; ++v) {
      token.latent_outputs.halves[static_cast<std::size_t>(h * plan.latent_vectors + v)] =
          halves(plan.latent_lanes(v));
    }
  }
  if (t > 0) return;
  layout_.nope_mask = many(plan.nope_heads);
  layout_.latent_mask = fp32();
}

// Tables and maxima of a block lie in the hemisphere of its turn in an iteration.
void LayoutMaker::make_latent_buffers(int t) {
  const LatentPlan& plan = *layout_.latent;
  TokenBuffers& token = layout_.token(t);
  layout_.score_stride = plan.heads;
  const int width = streams_of(layout_.shape.kv);
  for (int i = 0; i < plan.heads * plan.key_vectors; ++i) {
    const Hemisphere side = both_sides[static_cast<std::size_t>(i % plan.key_vectors % 2)];
    token.q_heads.push_back(allocator_.buffer(side, width, BufferUse::LoopInput));
    if (width == 2) token.q_rests.push_back(allocator_.buffer(side, width, BufferUse::LateInput));
  }
  for (const Hemisphere side : both_sides) {
    for (int c = 0; t == 0 && c < std::min(plan.rank, plan.lanes); ++c) {
      layout_.one_hot[side == Hemisphere::East ? 1 : 0].push_back(allocator_.buffer(side, width));
    }
    make_tables(token, side);
  }
  for (int i = 0; i < (1 + layout_.spare_blocks) * plan.heads; ++i) {
    const Hemisphere side = both_sides[static_cast<std::size_t>(i / plan.heads % 2)];
    token.maxima.push_back(allocator_.buffer(side, 4, BufferUse::LoopState));
  }
}

}  // namespace tandem::lpu
