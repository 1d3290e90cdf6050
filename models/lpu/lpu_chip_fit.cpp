// How many requests fit on an LPU, beside weights and programs, of one network or of several.
#include <algorithm>
#include <numeric>

#include "models/lpu/lpu_chip.hpp"
#include "models/lpu/stage_gang.hpp"

namespace tandem::lpu {

// The same whatever the number of requests.
Fit LpuChip::fit(const Stage& stage, std::int64_t /*sequences*/, std::int64_t max_context) const {
  const std::lock_guard lock(mutex_);
  return fit_alone(stage, max_context);
}

Fit LpuChip::fit_alone(const Stage& stage, std::int64_t max_context) const {
  const std::pair key{stage.key(), max_context};
  const auto found = fits_.find(key);
  if (found != fits_.end()) return found->second;
  return fits_[key] = measured_fit(stage, max_context);
}

bool LpuChip::may_hold(const Stage& stage, std::int64_t max_context) const {
  return layout_of_share(geometry_, stage, 1, max_context).deepest_bank() <=
         geometry_.rows_per_bank;
}

namespace {

// Rows of all banks that a further request takes, where it keeps no KV: its states.
std::int64_t state_rows_of(const Geometry& geometry, const Stage& stage) {
  const auto rows = [&](int slots) {
    const std::vector<int> used = layout_of_share(geometry, stage, slots, 1).rows_used;
    return std::accumulate(used.begin(), used.end(), std::int64_t{0});
  };
  return rows(2) - rows(1);
}

}  // namespace

// KV lies in column tiles, in the ports that can feed a plane, in whole blocks of whole requests;
// rows elsewhere cannot hold it. What is neither weights nor usable for KV (for states, where a
// stage keeps no KV) counts as workspace.
Fit LpuChip::measured_fit(const Stage& stage, std::int64_t max_context) const {
  Fit fit;
  fit.capacity = geometry_.sram();
  const std::int64_t vector = geometry_.vector_bytes();
  const std::int64_t banks = std::int64_t{geometry_.mem_slices()} * geometry_.banks;
  const StageLayout smallest = layout_of_share(geometry_, stage, 1, 1);
  fit.weights = Bytes(smallest.weight_rows * vector);
  const int least = smallest.deepest_bank();
  if (least > geometry_.rows_per_bank) {
    // Short by so many rows in the fullest bank, as if every bank were as full.
    fit.workspace =
        fit.capacity - fit.weights + Bytes((least - geometry_.rows_per_bank) * banks * vector);
    return fit;
  }
  const std::int64_t blocks = blocks_of(stage, max_context);
  const int room = room_for(stage, blocks);
  const StageLayout layout = layout_of_share(geometry_, stage, 1, max_context, room);
  fit.program = program_bytes(stage, room);
  if (!layout.mixes()) {
    for (const int rows : layout.rows_used) fit.workspace += Bytes(rows * vector);
    fit.workspace -= fit.weights;
    return fit;
  }
  const std::int64_t slots = largest_slot_count(stage, blocks, room);
  if (layout.unit_rows == 0) {
    fit.state_per_sequence = Bytes(state_rows_of(geometry_, stage) * vector);
    fit.workspace = fit.capacity - fit.weights - fit.program - fit.state_per_sequence * slots;
    return fit;
  }
  const int ports = geometry_.weight_streams_per_plane *
                    (streams_of(layout.shape.kv) == 2 && !geometry_.has_wide_weight_path() ? 2 : 1);
  const std::int64_t unit_bytes =
      2 * std::int64_t{layout.kv_groups} * ports * layout.unit_rows * vector;
  const std::int64_t lanes = geometry_.lanes();
  fit.kv_per_token = Bytes((unit_bytes + lanes - 1) / lanes);
  fit.kv_block = lanes;
  const std::int64_t tokens = slots * layout.blocks_per_slot * lanes;
  fit.workspace = fit.capacity - fit.weights - fit.program - fit.kv_per_token * tokens;
  return fit;
}

std::int64_t LpuChip::rows_beside(const Neighbours& neighbours, std::int64_t slots,
                                  std::int64_t max_context) const {
  const Stage& stage = neighbours.stage;
  const int room = room_for(stage, blocks_of(stage, max_context));
  const int rows =
      layout_of_share(geometry_, stage, static_cast<int>(slots), max_context, room).deepest_bank();
  return neighbours.copies * (rows + rows_of(program_bytes(stage, room)));
}

// Every network keeps the width of passes that it has alone. What requests of `max_context` tokens
// do not fill counts as workspace.
Fit LpuChip::fit_beside(const Stage& stage, const Neighbours& neighbours,
                        std::int64_t /*sequences*/, std::int64_t max_context) const {
  const std::lock_guard lock(mutex_);
  Fit fit = fit_alone(stage, max_context);
  const Fit own = fit_alone(neighbours.stage, max_context);
  fit.weights += own.weights * neighbours.copies;
  fit.program += own.program * neighbours.copies;
  if (!fit.holds_weights() || !own.holds_weights()) {
    fit.workspace = std::max(fit.workspace, own.workspace);
    return fit;
  }
  const std::int64_t blocks = blocks_of(stage, max_context);
  const std::int64_t slots =
      largest_slot_count(stage, blocks, room_for(stage, blocks), &neighbours);
  fit.kv_per_token += own.kv_per_token * neighbours.copies;
  fit.kv_block = std::max(fit.kv_block, own.kv_block);
  fit.state_per_sequence += own.state_per_sequence * neighbours.copies;
  fit.workspace =
      fit.capacity - fit.weights - fit.program - fit.bytes_of_sequence(max_context) * slots;
  return fit;
}

}  // namespace tandem::lpu
