// Matrix-vector products and the feed-forward network.
#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

// Accumulators 0..63 serve products in turn; attention keeps its sums in the others.
constexpr int product_accumulators = 64;

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

int StageCompiler::next_accumulator(int plane) {
  int& turn = accumulator_turn_[index_of(plane)];
  turn = (turn + 1) % product_accumulators;
  return turn;
}

void StageCompiler::multiply(const std::vector<TileRow>& rows, const Activations& activations) {
  std::vector<const TileRow*> group;
  for (const TileRow& row : rows) {
    const int plane = row.matrix->plane[index_of(row.n)];
    const bool beside = !group.empty() && streams_of(row.matrix->type) == 1 &&
                        group.front()->matrix->plane[index_of(group.front()->n)] == plane - 1 &&
                        plane % 2 == 1 && group.size() == 1;
    if (!group.empty() && !beside) {
      multiply_rows(group, activations);
      group.clear();
    }
    group.push_back(&row);
  }
  if (!group.empty()) multiply_rows(group, activations);
}

// Rows of tiles on different planes of one hemisphere advance together and share activations.
void StageCompiler::multiply_rows(const std::vector<const TileRow*>& rows,
                                  const Activations& activations) {
  const MatrixLayout& matrix = *rows.front()->matrix;
  std::vector<Work::Target> targets;
  for (const TileRow* row : rows) {
    const int plane = row->matrix->plane[index_of(row->n)];
    targets.push_back({plane, next_accumulator(plane), false, 1, matrix.type});
  }
  const Hemisphere side = geometry_.plane_hemisphere(targets.front().plane);
  for (int k = 0; k < matrix.k_tiles; ++k) {
    std::vector<std::pair<ColumnTile, int>> tiles;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      tiles.emplace_back(rows[i]->matrix->tile(rows[i]->n, k), targets[i].plane);
    }
    if (streams_of(matrix.type) == 2) {
      scheduler_.load_tile(tiles.front().first, tiles.front().second);
    } else {
      scheduler_.load_tiles(tiles);
    }
    for (Work::Target& target : targets) {
      target.add = k > 0;
      target.halves = activations.halves[index_of(k)];
    }
    Work work(scheduler_);
    work.activate_rows(activations.side[side == Hemisphere::East ? 1 : 0][index_of(k)], targets);
    work.place();
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i]->done(targets[i].plane, targets[i].accumulator);
  }
}

Value StageCompiler::scaled(Work& work, const Output& output, Value value) const {
  if (output.matrix->scale.empty()) return value;
  return work.op(AluOp::Mul, value, work.memory(output.matrix->scale));
}

void StageCompiler::store_activation(Work& work, Value value, Type type, const Activations& to,
                                     int vector) {
  for (const auto& side : to.side) {
    work.store(work.convert(value, Type::Float32, type), side[index_of(vector)]);
  }
}

// hidden += W a
void StageCompiler::add_to_hidden(const MatrixLayout& matrix, const Activations& activations) {
  std::vector<TileRow> rows;
  for (int n = 0; n < matrix.n_tiles; ++n) {
    rows.push_back({&matrix, n, [this, &matrix, n](int plane, int accumulator) {
                      Work work(scheduler_);
                      const Output output{&matrix, plane, accumulator};
                      const Value product =
                          scaled(work, output, work.accumulator(plane, accumulator));
                      const Rows& hidden = layout_.hidden[index_of(n)];
                      work.store(work.op(AluOp::Add, product, work.memory(hidden)), hidden);
                      work.place();
                    }});
  }
  multiply(rows, activations);
}

// silu(gate) * up, silu(x) = x / (1 + exp(-x)).
void StageCompiler::gate(const Output& gate, const Output& up, int vector) {
  Work work(scheduler_);
  const Value x = scaled(work, gate, work.accumulator(gate.plane, gate.accumulator));
  const Value grown = work.op(AluOp::Exp, work.op(AluOp::Neg, x));
  const Value part = work.op(AluOp::Recip, work.op(AluOp::Add, grown, Work::constant(1.0F)));
  const Value silu = work.op(AluOp::Mul, x, part);
  const Value other = scaled(work, up, work.accumulator(up.plane, up.accumulator));
  const Value product = work.op(AluOp::Mul, silu, other);
  store_activation(work, product, layout_.shape.weights, layout_.gated, vector);
  work.place();
}

void StageCompiler::feed_forward(const LayerLayout& layer) {
  rms_norm(layer.ffn_norm);
  scheduler_.begin_operator("gate and up");
  std::vector<TileRow> rows;
  std::vector<Output> gates(index_of(layer.gate.n_tiles));
  for (int i = 0; i < layer.gate.n_tiles; ++i) {
    rows.push_back({&layer.gate, i, [&gates, &layer, i](int plane, int accumulator) {
                      gates[index_of(i)] = {&layer.gate, plane, accumulator};
                    }});
    rows.push_back({&layer.up, i, [this, &gates, &layer, i](int plane, int accumulator) {
                      gate(gates[index_of(i)], {&layer.up, plane, accumulator}, i);
                    }});
  }
  multiply(rows, layout_.normed);
  scheduler_.begin_operator("down");
  add_to_hidden(layer.down, layout_.gated);
}

}  // namespace tandem::lpu
