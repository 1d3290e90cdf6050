#include "models/gpu/plan_delta.hpp"

#include <algorithm>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_delta_state.hpp"
#include "models/gpu/plan_even.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t delta_width =
    2;  ///< bytes of an activation: Triton's dots take 16-bit operands
/// Columns of the state that one warp of the recurrent kernel holds (BV), state rows whole.
constexpr std::int64_t recurrent_columns = 8;

/// Tiles of a unit: products of its keys, inverse of their diagonal and whole, W with U, gates and
/// their sums, k, v, q, states.
enum Block { A, Diagonal, Inverse, W, RawGates, Gates, K, V, Q, State };

/// What all phases of the chunked form share. A unit is one chunk of one value head.
struct Chunked {
  ops::GatedDeltaShape shape;
  std::int64_t chunks = 0;
  std::int64_t units = 0;
  std::int64_t chunk = 64;
  KernelWork work;
  std::int64_t rows = 64;  ///< tokens of a chunk, on average: absent ones are masked, not loaded
  /// Tiles in blocks of `units`; blocks of columns of states and of new values behind them.
  [[nodiscard]] std::int64_t tile(int block) const { return block * units; }
  [[nodiscard]] std::int64_t column_blocks() const {
    return ceil_div(shape.value_dim, output_columns);
  }
  [[nodiscard]] std::int64_t new_value_tile() const {
    return tile(State) + column_blocks() * units;
  }
  [[nodiscard]] std::int64_t heads_per_key() const {
    return std::max<std::int64_t>(1,
                                  shape.value_heads / std::max<std::int64_t>(1, shape.key_heads));
  }
  /// The states that enter come last, one tile per column block and head.
  [[nodiscard]] std::int64_t tiles() const {
    return new_value_tile() + column_blocks() * units +
           shape.value_heads * ceil_div(shape.value_dim, state_columns);
  }
};

/// Parts of the kernel's totals that belong to the seven phases.
struct Parts {
  std::vector<std::int64_t> matrix, vector, special;
};

/// Weights follow the products of work_of (kernel_work_delta.cpp): K K^T; inverse; W and U; states;
/// outputs.
Parts parts_of(const Chunked& c) {
  const std::int64_t n = c.chunk;
  const std::int64_t k = c.shape.key_dim;
  const std::int64_t v = c.shape.value_dim;
  const std::int64_t pairs = n * (n - 1) / 2;
  const std::vector<std::int64_t> matrix = {0,
                                            2 * n * n * k,
                                            n * n * n / 12,
                                            n * n * n / 4,
                                            2 * n * n * (k + v),
                                            4 * n * k * v,
                                            2 * n * n * (k + v) + 2 * n * k * v};
  const std::vector<std::int64_t> vector = {
      n, 3 * pairs, 0, 0, n * (v + 2 * k), n * k + k * v + n, pairs + n * k};
  const std::vector<std::int64_t> special = {0, pairs, 0, 0, n, n, n};
  return {split_by(c.work.matrix.count(), matrix), split_by(c.work.vector.count(), vector),
          split_by(c.work.special.count(), special)};
}

EvenGrid unit_grid(const Chunked& c, const Parts& parts, std::size_t phase) {
  EvenGrid grid;
  grid.ctas = c.units;
  grid.tiles = c.tiles();
  grid.tensor = Flops(parts.matrix[phase]);
  grid.tensor_padded = grid.tensor;
  grid.vector = Flops(parts.vector[phase]);
  grid.special = Flops(parts.special[phase]);
  return grid;
}

PlanPhase phase_of(const GpuParams& params, EvenGrid grid, const CtaDemand& demand,
                   std::int64_t stages) {
  PlanPhase phase;
  phase.ctas_per_sm = std::max<std::int64_t>(1, ctas_per_sm(params, demand));
  phase.program = even_program(std::move(grid));
  phase.stages = stages;
  phase.has_equal_ctas = true;
  phase.is_launched = true;
  return phase;
}

/// Running sums of the gates: a column of a [tokens][heads] array, so a line per token both ways.
PlanPhase gate_sums(const GpuParams& params, const Chunked& c, const Parts& parts) {
  EvenGrid grid = unit_grid(c, parts, 0);
  grid.loads = {{Operand::Activation, c.tile(RawGates), Bytes(c.rows * accumulator), 1, 0}};
  grid.workspace = Bytes(c.rows * accumulator);
  grid.first_workspace = c.tile(Gates);
  grid.issue = tile_issue_slots(100, 2 * c.rows);
  return phase_of(params, std::move(grid), {Bytes(0), Bytes(0), warp}, 1);
}

/// A = beta K K^T with the decay between its rows and columns, below the diagonal, in float.
PlanPhase key_products(const GpuParams& params, const Chunked& c, const Parts& parts) {
  EvenGrid grid = unit_grid(c, parts, 1);
  const std::int64_t keys = c.chunk * c.shape.key_dim;
  const std::int64_t pairs = c.chunk * c.chunk;
  grid.tensor_padded = Flops(2 * pairs * c.shape.key_dim * c.units);
  grid.loads = {{Operand::Activation, c.tile(K), Bytes(c.rows * c.shape.key_dim * delta_width),
                 c.heads_per_key(), 0},
                {Operand::Workspace, c.tile(Gates), Bytes(c.rows * accumulator), 1, 0}};
  grid.workspace = Bytes(c.rows * c.chunk * accumulator);
  grid.first_workspace = c.tile(A);
  grid.chain = dot_chain(params, 1, c.shape.key_dim);
  // Scaling of k: unpack, multiply, pack, store for the tensor unit; decay: difference, test,
  // exponential (8), product, mask.
  grid.issue = tile_issue_slots(
      keys / warp * 4 + pairs / warp * 14 + 300,
      c.rows * (2 + (c.shape.key_dim * delta_width + c.chunk * accumulator) / line));
  return phase_of(params, std::move(grid), {Bytes(3 * keys * delta_width), Bytes(0), 128}, 1);
}

/// Four blocks of 16 x 16 by forward substitution: 15 rows one after the other, each a load, a
/// product with the rows above, their sum and a selection.
PlanPhase diagonal_inverse(const GpuParams& params, const Chunked& c, const Parts& parts) {
  constexpr std::int64_t block = 16;
  EvenGrid grid = unit_grid(c, parts, 2);
  const std::int64_t blocks = ceil_div(c.rows, block);
  const std::int64_t rows = std::min(block, c.rows);
  grid.loads = {{Operand::Workspace, c.tile(A), Bytes(c.rows * block * accumulator), 1, 0}};
  grid.workspace = Bytes(c.rows * block * accumulator);
  grid.first_workspace = c.tile(Diagonal);
  grid.issue = tile_issue_slots(blocks * ((rows - 1) * 60 + 200), 2 * c.rows);
  grid.chain = dot_chain(params, rows - 1, 0) / 2;
  return phase_of(params, std::move(grid), {Bytes(0), Bytes(0), blocks * warp}, 1);
}

/// The six blocks below the diagonal: 16 products of 16 x 16 x 16 in float on CUDA cores, three
/// levels deep with two products each.
PlanPhase merged_inverse(const GpuParams& params, const Chunked& c, const Parts& parts) {
  EvenGrid grid = unit_grid(c, parts, 3);
  grid.loads = {
      {Operand::Workspace, c.tile(A), Bytes(c.rows * c.chunk * accumulator * 3 / 8), 1, 0},
      {Operand::Workspace, c.tile(Diagonal), Bytes(c.rows * 16 * accumulator), 1, 0}};
  grid.workspace = Bytes(c.rows * c.chunk * delta_width);
  grid.first_workspace = c.tile(Inverse);
  // Per product 128 warp FMAs, about as many loads from shared memory, and both conversions.
  grid.issue = tile_issue_slots(16 * 290 + 500, 3 * c.rows);
  grid.chain = dot_chain(params, 6 * 2, 0);
  return phase_of(params, std::move(grid), {Bytes(16 * 1024), Bytes(128 * 128 * 4), 128}, 1);
}

/// W = T (beta e^G K), U = T (beta V), in tiles of 64 columns one after the other.
PlanPhase keys_and_values(const GpuParams& params, const Chunked& c, const Parts& parts) {
  constexpr std::int64_t columns = 64;
  EvenGrid grid = unit_grid(c, parts, 4);
  const std::int64_t n = c.chunk;
  const std::int64_t both = c.shape.key_dim + c.shape.value_dim;
  grid.steps = static_cast<int>(std::max<std::int64_t>(2, ceil_div(both, columns)));
  grid.tensor_padded = Flops(2 * n * n * both * c.units);
  grid.loads = {{Operand::Workspace, c.tile(Inverse), Bytes(c.rows * n * delta_width), 1, 0},
                {Operand::Activation, c.tile(V),
                 Bytes(c.rows * (c.shape.value_dim * delta_width + accumulator)), 1, 0},
                {Operand::Activation, c.tile(K), Bytes(c.rows * c.shape.key_dim * delta_width),
                 c.heads_per_key(), grid.steps / 2}};
  grid.workspace = Bytes(c.rows * both * delta_width);
  grid.first_workspace = c.tile(W);
  grid.chain = dot_chain(params, 1, n);
  // Per input element: unpack, one or two factors, pack, store; per result: read, pack, store.
  grid.issue =
      tile_issue_slots((n * columns / warp * 9 + 250),
                       c.rows * (3 * columns * delta_width / line) + 2 * c.rows / grid.steps);
  return phase_of(params, std::move(grid), {Bytes(40 * 1024), Bytes(0), 128}, 1);
}

/// O = e^G Q S + (decay Q K^T) V', a CTA per chunk, head and 64 columns of V.
PlanPhase outputs(const GpuParams& params, const Chunked& c, const Parts& parts) {
  EvenGrid grid = unit_grid(c, parts, 6);
  const std::int64_t n = c.chunk;
  const std::int64_t k = c.shape.key_dim;
  const std::int64_t columns = std::min(output_columns, c.shape.value_dim);
  const std::int64_t halves = c.column_blocks();
  grid.ctas = c.units * halves;
  grid.steps = 2;
  grid.tensor_padded = Flops(2 * n * (k * columns + n * k + n * columns) * grid.ctas);
  grid.loads = {
      {Operand::Activation, c.tile(Q), Bytes(2 * c.rows * k * delta_width),
       halves * c.heads_per_key(), 0},
      {Operand::Workspace, c.tile(State), Bytes(k * columns * delta_width), 1, 0},
      {Operand::Workspace, c.new_value_tile(), Bytes(c.rows * columns * delta_width), 1, 1}};
  grid.output = Bytes(c.work.write_bytes.count());
  grid.chain = dot_chain(params, 1, k);
  // Decay of the scores as in K K^T; scaling and sum of the outputs.
  grid.issue = tile_issue_slots(
      (n * n / warp * 14 + n * columns / warp * 8 + 600) / 2,
      (2 * c.rows * k + k * columns + 2 * c.rows * columns) * delta_width / line / 2 + c.rows / 2);
  return phase_of(
      params, std::move(grid),
      {Bytes((2 * n * k + k * columns + n * columns + n * n) * delta_width), Bytes(0), 128}, 1);
}

KernelPlan plan_chunked(const GpuParams& params, const Kernel& kernel,
                        const GatedDeltaKernel& shape) {
  Chunked c;
  c.shape = shape.shape;
  c.chunk = shape.shape.chunk;
  c.work = work_of(kernel);
  std::int64_t tokens = 0;
  for (const QuerySpan& span : shape.spans) {
    c.chunks += ceil_div(span.q_len, c.chunk);
    tokens += span.q_len;
  }
  c.rows = ceil_div(tokens, std::max<std::int64_t>(1, c.chunks));
  c.units = std::max<std::int64_t>(1, c.chunks * c.shape.value_heads);
  const Parts parts = parts_of(c);
  const std::int64_t states = shape.shape.state_elements() * accumulator;
  KernelWork state_work;
  state_work.matrix = Flops(parts.matrix[5]);
  state_work.vector = Flops(parts.vector[5]);
  state_work.special = Flops(parts.special[5]);
  for (const QuerySpan& span : shape.spans) {
    if (span.earlier() > 0) state_work.read_bytes += Bytes(states);
    if (span.q_len > 0) state_work.write_bytes += Bytes(states);
  }
  c.work.write_bytes -= state_work.write_bytes;
  KernelPlan plan;
  plan.algorithm = "gated delta rule, chunked";
  plan.phases = {gate_sums(params, c, parts),
                 key_products(params, c, parts),
                 diagonal_inverse(params, c, parts),
                 merged_inverse(params, c, parts),
                 keys_and_values(params, c, parts),
                 delta_state_phase(params, shape, state_work,
                                   DeltaTiles{c.tile(W), c.tile(K), c.tile(Gates), c.tile(State),
                                              c.new_value_tile(), c.tiles(), c.rows}),
                 outputs(params, c, parts)};
  plan.phases.front().is_launched = false;
  return plan;
}

/// A warp per sequence, value head and eight columns: reads its part of the state, walks the
/// tokens, writes it back.
KernelPlan plan_recurrent(const GpuParams& params, const Kernel& kernel,
                          const GatedDeltaKernel& shape) {
  const KernelWork work = work_of(kernel);
  const ops::GatedDeltaShape& s = shape.shape;
  std::int64_t longest = 1;
  for (const QuerySpan& span : shape.spans) longest = std::max(longest, span.q_len);
  const std::int64_t warps =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(shape.spans.size()) * s.value_heads *
                                    ceil_div(s.value_dim, recurrent_columns));
  const std::int64_t resident = ctas_per_sm(params, {Bytes(0), Bytes(warp * 128 * 4), warp});
  const std::int64_t group = std::clamp<std::int64_t>(warps / (params.sms * 64), 1,
                                                      std::max<std::int64_t>(1, resident / 4));
  EvenGrid grid;
  grid.ctas = ceil_div(warps, group);
  grid.steps = static_cast<int>(longest);
  grid.tensor = grid.tensor_padded = work.matrix;
  grid.vector = work.vector;
  grid.special = work.special;
  grid.output = work.write_bytes;
  grid.tiles = grid.ctas + 1;
  grid.loads = {{Operand::Kv, 0, Bytes(ceil_div(work.read_bytes.count(), grid.ctas)), 1, 0}};
  const std::int64_t per_lane = ceil_div(s.key_dim * recurrent_columns, warp);
  // Per element: unpack, decay, product and sum with k, update, product and sum with q. Two sums
  // over the lanes per column: five exchanges and additions each. Rows of eight columns are a line
  // each, once in and once out.
  const std::int64_t instructions = 7 * per_lane + 2 * recurrent_columns * 10 + 100;
  grid.issue = issue_slots(group * instructions, group * 2 * ceil_div(s.key_dim, longest));
  PlanPhase phase;
  phase.ctas_per_sm = std::max<std::int64_t>(1, resident / group);
  phase.program = even_program(std::move(grid));
  phase.stages = 1;
  // The products of a token with the state run on CUDA cores.
  phase.pipe = MatrixPipe::Float32;
  phase.has_equal_ctas = true;
  KernelPlan plan;
  plan.algorithm = "gated delta rule, recurrent";
  plan.phases.push_back(phase);
  return plan;
}

}  // namespace

KernelPlan plan_delta(const GpuParams& params, const Kernel& kernel,
                      const GatedDeltaKernel& shape) {
  return shape.phase == DeltaPhase::Recurrent ? plan_recurrent(params, kernel, shape)
                                              : plan_chunked(params, kernel, shape);
}

}  // namespace tandem::gpu
