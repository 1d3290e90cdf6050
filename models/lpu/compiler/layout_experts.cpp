// Where the weights of experts lie, and the vectors of routing.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "models/lpu/compiler/layout_maker.hpp"
#include "models/lpu/compiler/pieces.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
// A few rows of tiles leave planes idle; they are cut along their inputs until those that are
// multiplied at once fill all pairs of planes, which take their activations together.
std::vector<MatrixLayout> LayoutMaker::parts(int rows, int at_once) const {
  const int pairs = geometry_.planes / 2;
  const int inputs = layout_.shape.hidden_vectors;
  const int count = std::min(inputs, pairs / std::gcd(at_once, pairs));
  std::vector<MatrixLayout> result;
  for (int s = 0; s < count; ++s) {
    const int first = inputs * s / count;
    result.push_back(matrix_shape(rows, inputs * (s + 1) / count - first));
    result.back().first_k = first;
  }
  return result;
}

// One vector of outputs of gate and up.
void LayoutMaker::add_wide_row(ExpertsLayout& experts, int& position) {
  for (std::size_t s = 0; s < experts.gate.size(); ++s) {
    add_tiles(experts.gate[s], position++);
    add_tiles(experts.up[s], position++);
  }
}

void LayoutMaker::add_down_tiles(ExpertsLayout& experts, int first, int count) {
  MatrixLayout& down = experts.down;
  for (int n = 0; n < down.n_tiles; ++n) {
    for (int k = first; k < first + count; ++k) {
      down.tiles[index_of(n * down.k_tiles + k)] =
          allocator_.weights(down.plane[index_of(n)], down.type);
    }
  }
}

// Tiles of a chosen expert: those of the best one at another register.
void LayoutMaker::add_chosen(ExpertsLayout& experts, int chosen) {
  const int reg = host_register::chosen_experts + chosen;
  const int best = experts.shared_vectors;
  const int first = best + chosen * experts.vectors;
  for (auto* matrices : {&experts.gate, &experts.up}) {
    for (MatrixLayout& part : *matrices) {
      for (int i = 0; i < experts.vectors; ++i) {
        if (chosen > 0) part.plane.push_back(part.plane[index_of(best + i)]);
        for (int k = 0; k < part.k_tiles; ++k) {
          ColumnTile tile = part.tile(best + i, k);
          tile.reg = reg;
          if (chosen > 0) {
            part.tiles.push_back(tile);
          } else {
            part.tiles[index_of((first + i) * part.k_tiles + k)] = tile;
          }
        }
      }
    }
  }
  MatrixLayout& down = experts.down;
  for (int n = 0; n < down.n_tiles; ++n) {
    for (int i = 0; i < experts.vectors; ++i) {
      ColumnTile& tile = down.tiles[index_of(n * down.k_tiles + first + i)];
      tile = down.tile(n, best + i);
      tile.reg = reg;
    }
  }
}

void LayoutMaker::make_experts(LayerLayout& layer) {
  const Experts& kind = *layer.kind.ffn.experts;
  const StageShape& s = layout_.shape;
  const int chosen = static_cast<int>(kind.router.top_k);
  if (kind.router.top_k >= kind.router.experts || chosen > host_register::most_chosen_experts) {
    throw ModelError(fmt::format(
        "lpu.compiler: {} of {} experts; fewer than all of them are chosen, and at most {}", chosen,
        kind.router.experts, host_register::most_chosen_experts));
  }
  ExpertsLayout& experts = layer.experts.emplace();
  const int router_vectors = pieces_of(kind.router.experts, s.lanes - 1);
  if (router_vectors > 1 && kind.router.groups > 1) {
    throw ModelError("lpu.compiler: groups of experts over several vectors");
  }
  experts.per_vector = pieces_of(kind.router.experts, router_vectors);
  experts.vectors = pieces_of(kind.intermediate, s.lanes);
  experts.shared_vectors = kind.shared > 0 ? pieces_of(kind.shared_intermediate, s.lanes) : 0;
  const int vectors = experts.shared_vectors + chosen * experts.vectors;
  const int width = streams_of(s.weights);
  experts.router = parts(router_vectors, router_vectors);
  for (int v = 0; v < router_vectors; ++v) {
    for (std::size_t p = 0; p < experts.router.size(); ++p) {
      add_tiles(experts.router[p], (v + static_cast<int>(p)) * 2 / width);
    }
  }
  experts.gate = parts(vectors, experts.vectors * width);
  experts.up = experts.gate;
  experts.down = matrix_shape(s.hidden_vectors, vectors);
  experts.down.tiles.resize(index_of(s.hidden_vectors * vectors));
  const int planes = geometry_.planes / width;
  for (int n = 0; n < s.hidden_vectors; ++n) experts.down.plane.push_back(n % planes * width);
  int position = 0;
  for (int i = 0; i < experts.shared_vectors; ++i) add_wide_row(experts, position);
  add_down_tiles(experts, 0, experts.shared_vectors);
  const std::vector<int> before = layout_.rows_used;
  position = 0;
  for (int i = 0; i < experts.vectors; ++i) add_wide_row(experts, position);
  add_down_tiles(experts, experts.shared_vectors, experts.vectors);
  const int beside = static_cast<int>(s.lanes / std::max<std::int64_t>(1, kind.intermediate));
  experts.side_by_side = std::max(1, beside);
  const int units = pieces_of(kind.router.experts, experts.side_by_side);
  experts.unit_rows = allocator_.repeat_since(before, units);
  for (int j = 0; j < chosen; ++j) add_chosen(experts, j);
}

void LayoutMaker::make_experts_vectors(ExpertsLayout& experts) {
  make_scale(experts.router.front());
  make_scale(experts.gate.front());
  make_scale(experts.up.front());
  make_scale(experts.down);
  for (auto* matrices : {&experts.router, &experts.gate, &experts.up}) {
    for (MatrixLayout& part : *matrices) part.scale = matrices->front().scale;
  }
  for (int v = 0; v < experts.router.front().n_tiles; ++v) {
    experts.offset.push_back(fp32());
    experts.lane_rows.push_back(fp32());
  }
}

// Rows of all experts behind each other, in pairs of slices by turns.
Rows LayoutMaker::expert_table(std::int64_t experts) {
  table_turn_ = (table_turn_ + 1) % (2 * allocator_.table_pairs());
  const Hemisphere side = table_turn_ % 2 == 0 ? Hemisphere::West : Hemisphere::East;
  return allocator_.table(side, table_turn_ / 2, static_cast<int>(experts));
}

void LayoutMaker::make_expert_tables(const Experts& kind, ExpertsLayout& experts) {
  if (kind.router_norm) experts.router_norm = fp32_vectors(layout_.shape.hidden_vectors);
  if (kind.expert_scale) experts.factor = expert_table(kind.router.experts);
  if (experts.side_by_side > 1) experts.own_lanes = expert_table(kind.router.experts);
  if (!kind.bias) return;
  for (int i = 0; i < experts.vectors; ++i) {
    experts.gate_bias.push_back(expert_table(kind.router.experts));
    experts.up_bias.push_back(expert_table(kind.router.experts));
  }
  for (int k = 0; k < layout_.shape.hidden_vectors; ++k) {
    experts.down_bias.push_back(expert_table(kind.router.experts));
  }
}

void LayoutMaker::make_routing_buffers() {
  const ExpertsLayout* widest = nullptr;
  int chosen = 0;
  int router_vectors = 0;
  for (const LayerLayout& layer : layout_.layers) {
    if (!layer.experts) continue;
    chosen = std::max(chosen, static_cast<int>(layer.kind.ffn.experts->router.top_k));
    router_vectors = std::max(router_vectors, layer.experts->router.front().n_tiles);
    if (widest == nullptr || layer.experts->down.k_tiles > widest->down.k_tiles) {
      widest = &*layer.experts;
    }
  }
  if (widest == nullptr) return;
  for (int t = 0; t < layout_.tokens; ++t) make_routing(t, router_vectors, chosen);
  const bool norms_router = std::ranges::any_of(layout_.layers, [](const LayerLayout& layer) {
    return layer.experts && !layer.experts->router_norm.empty();
  });
  for (int t = 0; t < layout_.tokens; ++t) {
    TokenBuffers& token = layout_.token(t);
    if (norms_router) {
      make_activations(token.router_input, t, layout_.shape.hidden_vectors,
                       layout_.network().hidden);
    }
    // Every vector may be full: what lies beyond an expert's width is zero in its tiles.
    make_activations(token.routed, t, widest->down.k_tiles, layout_.shape.lanes, false);
  }
}

// Constants are those of the first token.
void LayoutMaker::make_routing(int t, int router_vectors, int chosen) {
  const RoutingBuffers& first = layout_.routing;
  RoutingBuffers& routing = layout_.token(t).routing;
  for (const Hemisphere side : both_sides) {
    const std::size_t index = side == Hemisphere::East ? 1 : 0;
    routing.group[index] = fp32(side);
  }
  for (int v = 0; v < router_vectors; ++v) {
    routing.keys.push_back({fp32(Hemisphere::West), fp32(Hemisphere::East)});
    for (auto* rows : {&routing.score, &routing.rank}) rows->push_back(fp32());
    routing.lane_index.push_back(t == 0 ? fp32() : first.lane_index[index_of(v)]);
  }
  routing.beyond = t == 0 ? fp32() : first.beyond;
  for (Rows* rows : {&routing.inverse, &routing.shared_gate}) *rows = fp32();
  for (int j = 0; j < chosen; ++j) {
    routing.chosen.push_back(
        allocator_.buffer(j % 2 == 0 ? Hemisphere::East : Hemisphere::West, 2));
    routing.index.push_back(allocator_.buffer(j % 2 == 0 ? Hemisphere::West : Hemisphere::East, 2));
    routing.weight.push_back(fp32());
  }
}

}  // namespace tandem::lpu
