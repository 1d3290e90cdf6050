#include "models/lpu/compiler/layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/compiler/layer_support.hpp"
#include "models/lpu/compiler/layout_maker.hpp"
#include "models/lpu/compiler/pieces.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

const LayerKind& layer_of(const Stage& stage, std::int64_t index) {
  return stage.network.layer(stage.first_layer + index);
}

void add_attention(const GroupedAttention& attention, StageShape& shape) {
  shape.head_dim = static_cast<int>(attention.shape.head_dim);
  shape.kv_heads = static_cast<int>(attention.shape.kv_heads);
  shape.group = static_cast<int>(attention.shape.heads / attention.shape.kv_heads);
  // One column of a V tile holds ones, so a pack fills at most lanes - 1 of them.
  shape.pack_heads = std::min(shape.kv_heads, (shape.lanes - 1) / shape.head_dim);
  if (shape.pack_heads < 1) {
    throw ModelError(fmt::format("lpu.compiler: heads of {} channels do not fit a vector of {}",
                                 shape.head_dim, shape.lanes));
  }
  shape.packs = pieces_of(shape.kv_heads, shape.pack_heads);
}

// One key for all heads; lanes of a head are those that rotate.
void add_attention(const LatentAttention& attention, StageShape& shape) {
  shape.head_dim = static_cast<int>(attention.shape.rope_dim);
  shape.kv_heads = shape.pack_heads = shape.packs = 1;
  shape.group = static_cast<int>(attention.shape.heads);
}

StageShape shape_of(const Geometry& geometry, const Stage& stage) {
  StageShape shape;
  shape.lanes = geometry.lanes();
  shape.weights = plane_type(stage.precision.weights);
  shape.kv = plane_type(stage.precision.kv_cache);
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const LayerKind& kind = layer_of(stage, l);
    const int inner = pieces_of(kind.ffn.intermediate, shape.lanes);
    shape.ffn_vectors = std::max(shape.ffn_vectors, inner);
    if (const auto* attention = std::get_if<GroupedAttention>(&kind.mixer)) {
      add_attention(*attention, shape);
    }
    if (const auto* attention = std::get_if<LatentAttention>(&kind.mixer)) {
      add_attention(*attention, shape);
    }
  }
  shape.hidden_vectors = pieces_of(stage.network.hidden, shape.lanes);
  shape.head_vectors = pieces_of(stage.head_end - stage.head_begin, shape.lanes);
  return shape;
}

// What the stage's attention layers share.
void take_attention(StageLayout& layout) {
  for (std::int64_t l = 0; l < layout.stage.layers; ++l) {
    const Mixer& mixer = layer_of(layout.stage, l).mixer;
    if (const auto* latent = std::get_if<LatentAttention>(&mixer)) layout.rope = latent->rope;
    const auto* attention = std::get_if<GroupedAttention>(&mixer);
    if (attention == nullptr) continue;
    layout.attention = attention->shape;
    layout.rotates = attention->rope.has_value();
    layout.rope = attention->rope.value_or(ops::Rope{});
    return;
  }
}

// The window that layers of the stage share; 0 where none has one.
std::int64_t window_of(const Stage& stage) {
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const auto* attention = std::get_if<GroupedAttention>(&layer_of(stage, l).mixer);
    if (attention != nullptr && attention->shape.window > 0) return attention->shape.window;
  }
  return 0;
}

// The lanes that the stage's Gated DeltaNet layers share.
std::optional<DeltaPlan> delta_of(const Stage& stage, int lanes) {
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const auto* delta = std::get_if<GatedDelta>(&layer_of(stage, l).mixer);
    if (delta != nullptr) return DeltaPlan(delta->shape, lanes, stage.revocable);
  }
  return std::nullopt;
}

// The lanes that the stage's layers of latent attention share.
std::optional<LatentPlan> latent_of(const Stage& stage, int lanes) {
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const auto* latent = std::get_if<LatentAttention>(&layer_of(stage, l).mixer);
    if (latent != nullptr) return LatentPlan(latent->shape, lanes);
  }
  return std::nullopt;
}

}  // namespace

Rows LayoutMaker::fp32() {
  turn_ = !turn_;
  return fp32(turn_ ? Hemisphere::East : Hemisphere::West);
}

MatrixLayout LayoutMaker::matrix_shape(int n_tiles, int k_tiles) const {
  MatrixLayout matrix;
  matrix.n_tiles = n_tiles;
  matrix.k_tiles = k_tiles;
  matrix.type = layout_.shape.weights;
  return matrix;
}

void LayoutMaker::add_tiles(MatrixLayout& matrix, int position) {
  const int pairs = geometry_.planes / 2;
  const int plane =
      streams_of(matrix.type) == 2 ? 2 * (position % pairs) : position % geometry_.planes;
  matrix.plane.push_back(plane);
  for (int k = 0; k < matrix.k_tiles; ++k) {
    matrix.tiles.push_back(allocator_.weights(plane, matrix.type));
  }
}

MatrixLayout LayoutMaker::matrix(int n_tiles, int k_tiles) {
  MatrixLayout result = matrix_shape(n_tiles, k_tiles);
  for (int n = 0; n < n_tiles; ++n) add_tiles(result, position_++);
  return result;
}

void LayoutMaker::make_scale(MatrixLayout& matrix) {
  if (streams_of(matrix.type) == 1) matrix.scale = fp32();
}

std::vector<Rows> LayoutMaker::fp32_vectors(int count) {
  std::vector<Rows> rows;
  for (int k = 0; k < count; ++k) rows.push_back(fp32());
  return rows;
}

std::vector<Rows> LayoutMaker::norm_weights() {
  const int sets = layout_.network().norm.kind == NormKind::Layer ? 2 : 1;
  return fp32_vectors(sets * layout_.shape.hidden_vectors);
}

void LayoutMaker::make_norms(LayerLayout& layer) {
  const bool mixes = layer.kind.has_mixer();
  if (mixes) layer.attention_norm = norm_weights();
  layer.ffn_norm = norm_weights();
  if (layer.kind.post_norms) {
    if (mixes) layer.attention_post_norm = norm_weights();
    layer.ffn_post_norm = norm_weights();
  }
  if (layer.experts && layer.kind.ffn.intermediate > 0) {
    layer.dense_post_norm = norm_weights();
    layer.experts_norm = norm_weights();
    layer.experts_post_norm = norm_weights();
  }
  if (!layer.kind.ffn.bias) return;
  layer.gate_bias = fp32_vectors(layer.gate.n_tiles);
  layer.up_bias = fp32_vectors(layer.up.n_tiles);
  layer.down_bias = fp32_vectors(layer.down.n_tiles);
}

void LayoutMaker::make_vectors(LayerLayout& layer) {
  make_norms(layer);
  for (MatrixLayout* matrix :
       {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
    if (matrix->n_tiles > 0) make_scale(*matrix);
  }
  if (layer.output_gate.n_tiles > 0) layer.output_gate.scale = layer.q.scale;
  make_delta_vectors(layer);
  make_latent_weights(layer);
  if (const auto* attention = std::get_if<GroupedAttention>(&layer.kind.mixer)) {
    make_head_vectors(layer, *attention);
  }
  if (layer.experts) {
    make_experts_vectors(*layer.experts);
    make_expert_tables(*layer.kind.ffn.experts, *layer.experts);
  }
}

void LayoutMaker::make_layer(std::int64_t index) {
  LayerLayout layer;
  layer.kind = layer_of(layout_.stage, index);
  make_mixer(layer);
  begin_at_even_plane();
  if (layer.kind.ffn.intermediate > 0) make_dense_block(layer);
  begin_at_even_plane();
  if (layer.kind.ffn.experts) make_experts(layer);
  begin_at_even_plane();
  layout_.layers.push_back(std::move(layer));
}

// Gate and up tiles of one vector stand side by side, so that their planes finish together.
void LayoutMaker::make_dense_block(LayerLayout& layer) {
  const int hidden = layout_.shape.hidden_vectors;
  const int inner = pieces_of(layer.kind.ffn.intermediate, layout_.shape.lanes);
  if (layer.kind.ffn.gated) layer.gate = matrix_shape(inner, hidden);
  layer.up = matrix_shape(inner, hidden);
  for (int i = 0; i < inner; ++i) {
    if (layer.kind.ffn.gated) add_tiles(layer.gate, position_++);
    add_tiles(layer.up, position_++);
  }
  layer.down = matrix(hidden, inner);
}

void LayoutMaker::make_hidden(TokenBuffers& token) {
  for (int k = 0; k < layout_.shape.hidden_vectors; ++k) {
    token.hidden.push_back(allocator_.buffer(Hemisphere::West, 4, BufferUse::Updated));
    if (!is_last() && layout_.ranks == 1) token.outgoing.push_back(fp32(Hemisphere::East));
  }
  const auto any = [&](auto has) { return std::ranges::any_of(layout_.layers, has); };
  const int vectors = layout_.shape.hidden_vectors;
  const bool beside = any([](const LayerLayout& l) { return !l.experts_norm.empty(); });
  const bool normed = any([](const LayerLayout& l) { return l.kind.post_norms; });
  for (int k = 0; k < vectors && (beside || normed); ++k) {
    token.branch.push_back(fp32(Hemisphere::East));
  }
  for (int k = 0; k < vectors && beside; ++k) token.blend.push_back(fp32(Hemisphere::West));
}

void LayoutMaker::make_activations(Activations& activations, int token, int vectors,
                                   std::int64_t width, bool lanes_per_vector) {
  const StageShape& s = layout_.shape;
  for (int k = 0; k < vectors; ++k) {
    for (const Hemisphere side : both_sides) {
      activations.side[side == Hemisphere::East ? 1 : 0].push_back(
          allocator_.buffer(side, streams_of(s.weights), BufferUse::Activation, token));
    }
    const std::int64_t used = lanes_per_vector ? width - std::int64_t{k} * s.lanes : width;
    activations.halves.push_back(streams_of(s.weights) == 2 && used > s.lanes / 2 ? 2 : 1);
  }
}

std::int64_t LayoutMaker::intermediate() const {
  std::int64_t widest = 0;
  for (const LayerLayout& layer : layout_.layers) {
    widest = std::max(widest, layer.kind.ffn.intermediate);
  }
  return widest;
}

void LayoutMaker::make() {
  const StageShape& shape = layout_.shape;
  make_join();
  for (std::int64_t l = 0; l < layout_.stage.layers; ++l) make_layer(l);
  if (layout_.stage.has_head()) layout_.head = matrix(shape.head_vectors, shape.hidden_vectors);
  if (layout_.mixes()) make_kv();
  // Buffers come behind all column tiles: on chips where those need every slice, they begin at
  // the first row that is free in all of them.
  for (LayerLayout& layer : layout_.layers) make_vectors(layer);
  if (layout_.stage.has_head()) make_head_vectors();
  make_join_vectors();
  for (int t = 0; t < layout_.tokens; ++t) make_hidden(layout_.token(t));
  if (layout_.ranks > 1) make_exchange();
  for (int t = 0; t < layout_.tokens; ++t) {
    make_activations(layout_.token(t).normed, t, shape.hidden_vectors, layout_.network().hidden);
  }
  const std::int64_t rest = layout_.network().hidden % shape.lanes;
  if (layout_.network().norm.kind == NormKind::Layer && rest > 0) layout_.hidden_mask = fp32();
  if (layout_.stage.layers == 0) return;
  make_delta_buffers();
  for (int t = 0; t < layout_.tokens; ++t) {
    make_mixer_vectors(t);
    make_activations(layout_.token(t).gated, t, shape.ffn_vectors, intermediate());
    make_mixer_buffers(t);
  }
  make_routing_buffers();
}

StripedBlocks LayoutMaker::striped_blocks(int vectors) {
  const auto block = [&](Hemisphere side) {
    return VectorBlock{allocator_.buffer(side, 4, BufferUse::Any, 0, vectors), vectors};
  };
  StripedBlocks blocks;
  blocks.input = {block(Hemisphere::West), block(Hemisphere::East)};
  blocks.inbox = block(Hemisphere::West);
  blocks.output = block(Hemisphere::East);
  if (const int trays = layout_.ranks / layout_.tray_chips; trays > 1) {
    const int sums = vectors / layout_.tray_chips * trays;
    blocks.trays = {allocator_.buffer(Hemisphere::West, 4, BufferUse::Any, 0, sums), sums};
  }
  return blocks;
}

void LayoutMaker::make_exchange() {
  const int stripes =
      pieces_of(std::int64_t{layout_.tokens} * layout_.shape.hidden_vectors, layout_.tray_chips);
  const int vectors = stripes * layout_.tray_chips;
  layout_.exchange = striped_blocks(vectors);
  if (is_last()) return;
  layout_.shards = {allocator_.buffer(Hemisphere::East, 4, BufferUse::Any, 0, vectors), vectors};
}

TokenRegisters token_registers(const Geometry& geometry, int token) {
  const int ports = geometry.weight_streams_per_plane;
  TokenRegisters registers;
  registers.key_ports = host_register::column_ports;
  if (token > 0) {
    constexpr int bases = 8, choices = 2 * host_register::most_chosen_experts;
    const int first = host_register::further_tokens + (token - 1) * (bases + 2 * ports);
    registers.iterations = first;
    registers.slot_base = first + 1;
    registers.tail_base = first + 2;
    registers.staging_base = first + 3;
    registers.mask_start = first + 4;
    registers.window_iterations = first + 5;
    registers.window_base = first + 6;
    registers.window_mask_start = first + 7;
    registers.key_ports = first + bases;
    registers.chosen_experts = host_register::further_choices + (token - 1) * choices;
    registers.chosen_indices = registers.chosen_experts + host_register::most_chosen_experts;
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
          "lpu.compiler: programs have no weights and KV in {} yet; use float16, bfloat16 or fp8",
          name_of(type)));
  }
}

void require_square_planes(const Geometry& geometry) {
  if (geometry.lanes() != geometry.plane_columns || geometry.lanes() != geometry.plane_rows ||
      geometry.banks != 2 || geometry.planes % 2 != 0) {
    throw ModelError("lpu.compiler: needs square planes as wide as a vector, and two banks");
  }
}

StageLayout make_layout(const Geometry& geometry, const Stage& stage, int slots,
                        std::int64_t max_context, int tokens, const GangShape& gang, int top) {
  require_square_planes(geometry);
  StageLayout layout;
  layout.stage = stage;
  layout.ranks = gang.ranks;
  layout.tray_chips = gang.tray_chips();
  layout.top = top;
  if (top < 0 || top > std::min<std::int64_t>(most_top_tokens, stage.head_end - stage.head_begin)) {
    throw ModelError(fmt::format("lpu.compiler: the best {} tokens; up to {} of the head are given",
                                 top, most_top_tokens));
  }
  check_supported(stage);
  take_attention(layout);
  layout.shape = shape_of(geometry, stage);
  layout.delta = delta_of(stage, geometry.lanes());
  layout.latent = latent_of(stage, geometry.lanes());
  if (std::max(streams_of(layout.shape.weights), streams_of(layout.shape.kv)) == 2 &&
      geometry.planes % 4 != 0) {
    throw ModelError("lpu.compiler: two-byte weights and KV need planes in multiples of four");
  }
  if (layout.delta && tokens > 1) {
    throw ModelError("lpu.compiler: Gated DeltaNet layers take one token per pass");
  }
  if (tokens < 1 || tokens > most_tokens) {
    throw ModelError(fmt::format("lpu.compiler: passes of {} tokens; 1 to {} are supported", tokens,
                                 most_tokens));
  }
  layout.slots = slots;
  layout.staged_blocks = stage.revocable > 0 ? 2 : 1;
  layout.tokens = tokens;
  layout.further_tokens.resize(static_cast<std::size_t>(tokens - 1));
  for (int t = 0; t < tokens; ++t) layout.token(t).registers = token_registers(geometry, t);
  layout.blocks_per_slot = std::max(1, pieces_of(max_context, geometry.lanes()));
  layout.spare_blocks = most_blocks_per_iteration - 1;
  if (const std::int64_t window = window_of(stage); window > 0) {
    layout.window = WindowLayout(window, geometry.lanes(), layout.blocks_per_slot);
  }
  LayoutMaker(geometry, layout).make();
  return layout;
}

}  // namespace tandem::lpu
