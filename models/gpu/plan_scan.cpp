#include "models/gpu/plan_scan.hpp"

#include <algorithm>

#include "models/gpu/lane_units.hpp"
#include "models/gpu/plan_even.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

constexpr std::int64_t scan_width = 2;  ///< bytes of an activation
/// Rows and columns of an output tile, and turn along the chunk: the autotuned kernels offer tiles
/// of 32 to 256.
constexpr std::int64_t scan_tile_rows = 64;
constexpr std::int64_t tile_columns = 64;
constexpr std::int64_t turn = 32;

/// Tiles in blocks of `units`: sums of decays, states of chunks, states that enter chunks, C B^T,
/// x, B, C.
enum ScanBlock { Decays, ChunkStates, Products = 3, X, B, C, States };

/// A unit is one chunk of one head.
struct Scan {
  StateSpaceScanKernel shape;
  std::int64_t chunks = 0, units = 0;
  std::int64_t rows = 0;  ///< tokens of a chunk, on average: absent ones are masked, not loaded
  std::int64_t states_read = 0;  ///< sequences that bring a state
  KernelWork work;
  [[nodiscard]] std::int64_t tile(ScanBlock block) const { return block * units; }
  [[nodiscard]] std::int64_t tiles() const {
    const std::int64_t pieces = ceil_div(shape.head_dim * shape.state_dim, 1024);
    return tile(States) + 2 * (pieces + 1) * (units + shape.heads * chunks);
  }
  [[nodiscard]] std::int64_t heads_per_group() const {
    return std::max<std::int64_t>(1, shape.heads / std::max<std::int64_t>(1, shape.groups));
  }
  [[nodiscard]] std::int64_t state_bytes() const {
    return shape.head_dim * shape.state_dim * accumulator;
  }
};

struct ScanParts {
  std::vector<std::int64_t> matrix, vector, special;
};

/// Weights follow the terms of work_of (kernel_work_delta.cpp), per chunk and head.
ScanParts parts_of(const Scan& s) {
  const std::int64_t c = s.shape.chunk;
  const std::int64_t p = s.shape.head_dim;
  const std::int64_t n = s.shape.state_dim;
  const std::int64_t pairs = c * (c + 1) / 2;
  const std::vector<std::int64_t> matrix = {
      0, 2 * c * n * p, 0, 2 * c * c * n / s.heads_per_group(), 2 * c * c * p + 2 * c * n * p};
  const std::vector<std::int64_t> vector = {4 * c, c * (2 + n), 2 * n * p, 0,
                                            3 * pairs + 4 * c * p};
  const std::vector<std::int64_t> special = {2 * c, c, 1, 0, pairs + c};
  return {split_by(s.work.matrix.count(), matrix), split_by(s.work.vector.count(), vector),
          split_by(s.work.special.count(), special)};
}

EvenGrid grid_of(const Scan& s, const ScanParts& parts, std::size_t phase, std::int64_t ctas) {
  EvenGrid grid;
  grid.ctas = std::max<std::int64_t>(1, ctas);
  grid.tiles = s.tiles();
  grid.tensor = grid.tensor_padded = Flops(parts.matrix[phase]);
  grid.vector = Flops(parts.vector[phase]);
  grid.special = Flops(parts.special[phase]);
  return grid;
}

PlanPhase scan_phase(const GpuParams& params, EvenGrid grid, const CtaDemand& demand,
                     std::int64_t stages) {
  PlanPhase phase;
  phase.ctas_per_sm = std::max<std::int64_t>(1, ctas_per_sm(params, demand));
  phase.program = even_program(std::move(grid));
  phase.stages = stages;
  phase.has_equal_ctas = true;
  phase.is_launched = true;
  return phase;
}

/// Softplus of dt and its running sums times A: a column of a [tokens][heads] array.
PlanPhase decay_sums(const GpuParams& params, const Scan& s, const ScanParts& parts) {
  EvenGrid grid = grid_of(s, parts, 0, s.units);
  grid.loads = {{Operand::Activation, s.tile(X), Bytes(s.rows * scan_width), 1, 0}};
  grid.workspace = Bytes(2 * s.rows * accumulator);
  grid.first_workspace = s.tile(Decays);
  grid.issue = tile_issue_slots(s.shape.chunk / warp * 40 + 60, s.rows * 2);
  return scan_phase(params, std::move(grid), {Bytes(0), Bytes(0), 128}, 1);
}

/// X^T (decay dt B) of every chunk, in turns along it.
PlanPhase chunk_states(const GpuParams& params, const Scan& s, const ScanParts& parts) {
  EvenGrid grid = grid_of(s, parts, 1, s.units);
  const std::int64_t p = s.shape.head_dim;
  const std::int64_t n = s.shape.state_dim;
  const std::int64_t tiles = ceil_div(p, scan_tile_rows) * ceil_div(n, tile_columns);
  grid.steps = static_cast<int>(std::max<std::int64_t>(1, ceil_div(s.rows, turn)));
  const std::int64_t rows = std::min(s.rows, turn);
  grid.tensor_padded = Flops(2 * p * n * turn * grid.steps * s.units);
  grid.loads = {
      {Operand::Workspace, s.tile(Decays), Bytes(2 * s.rows * accumulator), 1, 0},
      {Operand::Activation, s.tile(X), Bytes(s.rows * p * scan_width), 1, 0},
      {Operand::Activation, s.tile(B), Bytes(s.rows * n * scan_width), s.heads_per_group(), 0}};
  grid.workspace = Bytes(s.state_bytes());
  grid.first_workspace = s.tile(ChunkStates);
  grid.chain = dot_chain(params, 1, turn);
  // Per element of B: unpack, scale, pack, store; per turn the factors of its rows (exponential,
  // difference, product) and the masks of partial tiles.
  grid.issue = tile_issue_slots(
      tiles * (turn * tile_columns / warp * 5 + 250) + p * n / warp * 4 / grid.steps,
      tiles * rows * (scan_tile_rows + tile_columns) * scan_width / line + 2 * rows * tiles);
  return scan_phase(params, std::move(grid),
                    {Bytes(32 * 1024), Bytes(128 * 168 * 4 * tiles), 128 * tiles}, 2);
}

/// S <- e^a S + the chunk's own, chunk after chunk, element-wise. A hardware CTA holds 64 elements
/// in 128 threads; a CTA of the plan stands for the 16 of them that fill an SM. Each chunk waits
/// for its state.
PlanPhase recurrence(const GpuParams& params, const Scan& s, const ScanParts& parts) {
  constexpr std::int64_t elements = 64;
  constexpr std::int64_t threads = 128;
  const std::int64_t together = std::max<std::int64_t>(1, params.max_threads / threads);
  const std::int64_t blocks = ceil_div(s.shape.head_dim * s.shape.state_dim, elements * together);
  const auto sequences = static_cast<std::int64_t>(s.shape.spans.size());
  EvenGrid grid = grid_of(s, parts, 2, sequences * s.shape.heads * blocks);
  grid.steps = static_cast<int>(ceil_div(s.chunks, std::max<std::int64_t>(1, sequences)));
  grid.loads = {{Operand::Workspace, s.tile(ChunkStates), Bytes(s.state_bytes()), blocks,
                 EvenLoad::every_step, blocks}};
  if (s.states_read > 0) {
    grid.loads.push_back(
        {Operand::Kv, s.tile(Products), Bytes(s.state_bytes()), blocks, 0, blocks});
  }
  grid.step_workspace = Bytes(elements * together * scan_width);
  grid.first_workspace = s.tile(States);
  grid.issue =
      tile_issue_slots(together * threads / warp * 24, together * elements * accumulator / line);
  return scan_phase(params, std::move(grid), {Bytes(0), Bytes(0), params.max_threads}, 1);
}

/// C B^T of every chunk and group, in float.
PlanPhase chunk_products(const GpuParams& params, const Scan& s, const ScanParts& parts) {
  EvenGrid grid = grid_of(s, parts, 3, ceil_div(s.units, s.heads_per_group()));
  const std::int64_t c = s.shape.chunk;
  const std::int64_t n = s.shape.state_dim;
  const std::int64_t tiles = ceil_div(c, scan_tile_rows) * ceil_div(c, tile_columns);
  grid.tensor_padded = Flops(2 * c * c * n * grid.ctas);
  grid.loads = {{Operand::Activation, s.tile(B), Bytes(s.rows * n * scan_width), 1, 0},
                {Operand::Activation, s.tile(C), Bytes(s.rows * n * scan_width), 1, 0}};
  grid.workspace = Bytes(s.rows * c * accumulator);
  grid.first_workspace = s.tile(Products);
  grid.chain = dot_chain(params, ceil_div(n, tile_columns), tile_columns);
  grid.issue = tile_issue_slots(
      tiles * (scan_tile_rows * tile_columns / warp * 6 + 500),
      tiles * 2 * scan_tile_rows * n * scan_width / line + s.rows * c * accumulator / line);
  return scan_phase(params, std::move(grid),
                    {Bytes(48 * 1024), Bytes(0), 128 * std::min<std::int64_t>(4, tiles)}, 1);
}

/// Y = e^a C S + (decay dt C B^T) X + D X, one CTA per tile of rows, turns along its visible part
/// of the chunk.
PlanPhase outputs(const GpuParams& params, const Scan& s, const ScanParts& parts) {
  const std::int64_t c = s.shape.chunk;
  const std::int64_t p = s.shape.head_dim;
  const std::int64_t n = s.shape.state_dim;
  const std::int64_t row_tiles = ceil_div(c, scan_tile_rows);
  EvenGrid grid = grid_of(s, parts, 4, s.units);
  // A CTA sees half of the turns on average.
  const std::int64_t visible = (row_tiles + 1) * scan_tile_rows / 2;
  grid.steps =
      static_cast<int>(1 + std::max<std::int64_t>(1, ceil_div(std::min(visible, s.rows), turn)));
  grid.tensor_padded = Flops((2 * c * n * p + 2 * c * c * p) * s.units);
  grid.loads = {
      {Operand::Activation, s.tile(C), Bytes(s.rows * n * scan_width), s.heads_per_group(), 0},
      {Operand::Workspace, s.tile(States), Bytes(n * p * scan_width), 1, 0},
      {Operand::Workspace, s.tile(Products), Bytes(s.rows * c * accumulator), s.heads_per_group(),
       1},
      {Operand::Activation, s.tile(X), Bytes(s.rows * p * scan_width), 1, 1}};
  grid.output = s.work.write_bytes;
  grid.chain = dot_chain(params, 1, turn);
  // Per pair of a turn: difference, exponential (8), two products, mask, pack, store; the frame.
  const std::int64_t pairs = row_tiles * scan_tile_rows * turn;
  grid.issue = tile_issue_slots(
      pairs / warp * 15 + row_tiles * (300 + scan_tile_rows * p / warp * 8 / grid.steps),
      row_tiles * (scan_tile_rows * turn * accumulator + turn * p * scan_width) / line);
  return scan_phase(
      params, std::move(grid),
      {Bytes(32 * 1024 * row_tiles), Bytes(128 * 168 * 4 * row_tiles), 128 * row_tiles}, 2);
}

}  // namespace

KernelPlan plan_scan(const GpuParams& params, const Kernel& kernel,
                     const StateSpaceScanKernel& shape) {
  Scan s;
  s.shape = shape;
  s.work = work_of(kernel);
  std::int64_t tokens = 0;
  for (const QuerySpan& span : shape.spans) {
    s.chunks += ceil_div(span.q_len, shape.chunk);
    tokens += span.q_len;
    s.states_read += span.earlier() > 0 ? 1 : 0;
  }
  s.chunks = std::max<std::int64_t>(1, s.chunks);
  s.units = s.chunks * shape.heads;
  s.rows = std::max<std::int64_t>(1, ceil_div(tokens, s.chunks));
  const ScanParts parts = parts_of(s);
  KernelPlan plan;
  plan.algorithm = "state-space scan";
  plan.phases = {decay_sums(params, s, parts), chunk_states(params, s, parts),
                 recurrence(params, s, parts), chunk_products(params, s, parts),
                 outputs(params, s, parts)};
  plan.phases.front().is_launched = false;
  return plan;
}

}  // namespace tandem::gpu
