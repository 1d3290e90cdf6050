// Matrix-vector products and the feed-forward network.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Accumulators 0..63 serve products in turn; attention keeps its sums in the others.
constexpr int product_accumulators = 64;

}  // namespace

int StageCompiler::next_accumulator(int plane) {
  int& turn = accumulator_turn_[index_of(plane)];
  turn = (turn + 1) % product_accumulators;
  return turn;
}

// Rows of one-byte tiles on the two planes of a hemisphere go together.
std::vector<StageCompiler::RowGroup> StageCompiler::row_groups(const std::vector<TileRow>& rows) {
  std::vector<RowGroup> groups;
  for (const TileRow& row : rows) {
    const int plane = row.matrix->plane[index_of(row.n)];
    const bool beside = !groups.empty() && groups.back().rows.size() == 1 &&
                        streams_of(row.matrix->type) == 1 && plane % 2 == 1 &&
                        groups.back().first_plane() == plane - 1 &&
                        groups.back().rows.front()->matrix->first_k == row.matrix->first_k;
    if (!beside) groups.emplace_back();
    groups.back().rows.push_back(&row);
    groups.back().targets.resize(index_of(turn_.end - turn_.first));
    for (auto& targets : groups.back().targets) {
      targets.push_back({plane, next_accumulator(plane), false, 1, row.matrix->type});
    }
  }
  return groups;
}

// Groups on different planes advance side by side, tile by tile. Outputs are taken up after the
// next groups have got their cycles on the weight path: the vector unit's accesses then fill the
// gaps between tiles instead of making new ones.
void StageCompiler::multiply(const std::vector<TileRow>& rows, ActivationsOf activations) {
  std::vector<RowGroup> groups = row_groups(rows);
  std::vector<Round> rounds;
  for (RowGroup& group : groups) {
    const auto shares = [&](const RowGroup* other) {
      return other->first_plane() / 2 == group.first_plane() / 2;
    };
    if (rounds.empty() || std::any_of(rounds.back().begin(), rounds.back().end(), shares)) {
      rounds.emplace_back();
    }
    rounds.back().push_back(&group);
  }
  load_round(rounds.front(), 0);
  for (std::size_t r = 0; r < rounds.size(); ++r) {
    multiply_round(rounds[r], r + 1 < rounds.size() ? &rounds[r + 1] : nullptr, activations);
    if (r > 0) finish_round(rounds[r - 1]);
  }
  finish_round(rounds.back());
}

void StageCompiler::finish_round(const Round& round) {
  for (int token = turn_.first; token < turn_.end; ++token) {
    for (const RowGroup* group : round) {
      const auto& targets = group->targets[index_of(token - turn_.first)];
      for (std::size_t i = 0; i < group->rows.size(); ++i) {
        group->rows[i]->done(token, targets[i].plane, targets[i].accumulator);
      }
    }
  }
}

// The next tile is loaded ahead of the product wherever the activation finds a way beside it: on a
// wide weight path, or in the cycle in which the other plane of the hemisphere installs.
void StageCompiler::multiply_round(const Round& round, const Round* next,
                                   ActivationsOf activations) {
  const MatrixLayout& matrix = *round.front()->rows.front()->matrix;
  const bool ahead = geometry_.has_wide_weight_path() || streams_of(matrix.type) == 1;
  int k_tiles = 0;
  for (const RowGroup* group : round) k_tiles = std::max(k_tiles, group->k_tiles());
  const auto load_next = [&](int k) {
    if (k + 1 < k_tiles) return load_round(round, k + 1);
    if (next != nullptr) load_round(*next, 0);
  };
  for (int k = 0; k < k_tiles; ++k) {
    for (const RowGroup* group : round) {
      if (k < group->k_tiles()) install_tiles(*group, k);
    }
    if (ahead) load_next(k);
    for (int token = turn_.first; token < turn_.end; ++token) {
      for (RowGroup* group : round) {
        if (k < group->k_tiles()) activate_tiles(*group, k, token, activations);
      }
    }
    if (!ahead) load_next(k);
  }
}

// Tiles of a chosen expert lie at the register of the token whose experts advance.
ColumnTile StageCompiler::tile_of_turn(ColumnTile tile) const {
  const int chosen = tile.reg - host_register::chosen_experts;
  if (chosen >= 0 && chosen < host_register::most_chosen_experts) {
    tile.reg = turn_token().registers.chosen_experts + chosen;
  }
  return tile;
}

void StageCompiler::load_round(const Round& round, int k) {
  for (const RowGroup* group : round) {
    if (k < group->k_tiles()) load_tiles(*group, k);
  }
}

// On a wide weight path both planes load in the same cycles, so that both banks of a slice rest in
// the same cycle. Elsewhere the second plane comes half a tile later: while one plane installs, its
// streams are free for the activation of the other.
void StageCompiler::load_tiles(const RowGroup& group, int k) {
  std::vector<Scheduler::TileOnPlane> tiles;
  for (std::size_t i = 0; i < group.rows.size(); ++i) {
    tiles.emplace_back(tile_of_turn(group.rows[i]->matrix->tile(group.rows[i]->n, k)),
                       group.targets.front()[i].plane);
  }
  if (geometry_.has_wide_weight_path()) {
    static_cast<void>(scheduler_.load(tiles));
    return;
  }
  std::int64_t earliest = 0;
  for (const auto& tile : tiles) {
    earliest = scheduler_.load({tile}, earliest) + geometry_.lw_issues() / 2;
  }
}

void StageCompiler::install_tiles(const RowGroup& group, int k) {
  std::vector<Scheduler::TileOnPlane> tiles;
  for (std::size_t i = 0; i < group.rows.size(); ++i) {
    tiles.emplace_back(tile_of_turn(group.rows[i]->matrix->tile(group.rows[i]->n, k)),
                       group.targets.front()[i].plane);
  }
  if (geometry_.has_wide_weight_path()) return scheduler_.install(tiles);
  for (const auto& tile : tiles) scheduler_.install({tile});
}

// With a wide weight path every port of the planes' own hemisphere works for the next tile;
// activations come from the other one.
void StageCompiler::activate_tiles(RowGroup& group, int k, int token, ActivationsOf which) {
  const Activations& activations = layout_.token(token).*which;
  const bool is_wide = geometry_.has_wide_weight_path();
  const Hemisphere side = geometry_.plane_hemisphere(group.first_plane());
  const bool from_east = (side == Hemisphere::East) != is_wide;
  const int vector = group.rows.front()->matrix->first_k + k;
  const Rows& rows = activations.side[from_east ? 1 : 0][index_of(vector)];
  std::vector<Work::Target>& targets = group.targets[index_of(token - turn_.first)];
  for (Work::Target& target : targets) {
    target.add = k > 0;
    target.halves = activations.halves[index_of(vector)];
    if (is_wide) continue;
    Work work(scheduler_);
    work.activate_rows(rows, {target});
    work.place();
  }
  if (!is_wide) return;
  Work work(scheduler_);
  work.activate_rows(rows, targets);
  work.place();
}

// Brings the factor of a one-byte matrix into an ALU.
int StageCompiler::load_scale(const MatrixLayout& matrix, int turn) {
  const int alu = pinned_alu::scale(geometry_, turn);
  if (matrix.scale.empty()) return alu;
  Work work(scheduler_);
  Work::Options options;
  options.pinned = alu;
  work.op(AluOp::Pass, work.memory(matrix.scale), {}, options);
  work.place();
  return alu;
}

Value StageCompiler::scaled(Work& work, const Output& output, Value value) const {
  if (output.matrix->scale.empty()) return value;
  return work.op(AluOp::Mul, value, Work::register_of(output.scale));
}

void StageCompiler::store_activation(Work& work, Value value, Type type, const Activations& to,
                                     int vector) {
  for (const auto& side : to.side) {
    work.store(work.convert(value, Type::Float32, type), side[index_of(vector)]);
  }
}

Value StageCompiler::biased(Work& work, const Output& output, const std::vector<Rows>& bias,
                            int vector) const {
  const Value x = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  if (bias.empty()) return x;
  return work.op(AluOp::Add, x, work.memory(bias[index_of(vector)]));
}

void StageCompiler::gate(const LayerLayout& layer, const Output& gate, const Output& up, int vector,
                         int token) {
  Work work(scheduler_);
  const Value x = biased(work, gate, layer.gate_bias, vector);
  const Value y = curve(work, layer.kind.ffn.activation, x);
  const Value product = work.op(AluOp::Mul, y, biased(work, up, layer.up_bias, vector));
  store_activation(work, product, layout_.shape.weights, layout_.token(token).gated, vector);
  work.place();
}

void StageCompiler::dense_block(const LayerLayout& layer, const Residual& to) {
  scheduler_.begin_operator(layer.kind.ffn.gated ? "gate and up" : "up");
  if (layer.kind.ffn.gated) {
    gated_block(layer);
  } else {
    plain_block(layer);
  }
  scheduler_.begin_operator("down");
  add_to_hidden(layer.down, &TokenBuffers::gated, layer.down_bias, to);
}

void StageCompiler::gated_block(const LayerLayout& layer) {
  std::vector<TileRow> rows;
  std::vector<std::vector<Output>> gates(index_of(tokens_));
  for (auto& of_token : gates) of_token.resize(index_of(layer.gate.n_tiles));
  const int gate_scale = load_scale(layer.gate, 1);
  const int up_scale = load_scale(layer.up, 2);
  for (int i = 0; i < layer.gate.n_tiles; ++i) {
    rows.push_back(
        {&layer.gate, i, [&gates, &layer, i, gate_scale](int token, int plane, int accumulator) {
           gates[index_of(token)][index_of(i)] = {&layer.gate, plane, accumulator, gate_scale};
         }});
    rows.push_back(
        {&layer.up, i, [this, &gates, &layer, i, up_scale](int token, int plane, int accumulator) {
           gate(layer, gates[index_of(token)][index_of(i)],
                {&layer.up, plane, accumulator, up_scale}, i, token);
         }});
  }
  multiply(rows, &TokenBuffers::normed);
}

// Without a gate.
void StageCompiler::plain_block(const LayerLayout& layer) {
  std::vector<TileRow> rows;
  const int scale = load_scale(layer.up, 1);
  for (int i = 0; i < layer.up.n_tiles; ++i) {
    rows.push_back({&layer.up, i, [this, &layer, i, scale](int token, int plane, int accumulator) {
                      Work work(scheduler_);
                      const Output up{&layer.up, plane, accumulator, scale};
                      const Value x = biased(work, up, layer.up_bias, i);
                      store_activation(work, curve(work, layer.kind.ffn.activation, x),
                                       layout_.shape.weights, layout_.token(token).gated, i);
                      work.place();
                    }});
  }
  multiply(rows, &TokenBuffers::normed);
}

}  // namespace tandem::lpu
