#include "models/lpu/compiler/gemm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "models/lpu/compiler/emitter.hpp"
#include "models/lpu/compiler/pieces.hpp"
#include "models/lpu/compiler/row_allocator.hpp"
#include "models/lpu/compiler/work.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"

namespace tandem::lpu {
namespace {

// Places of all operands.
void lay_out(const Geometry& geometry, CompiledGemm& gemm) {
  StageLayout rows;
  RowAllocator allocator(geometry, rows);
  const int width = streams_of(gemm.shape.type);
  const int units = geometry.planes / width;
  for (int n = 0; n < gemm.n_tiles; ++n) {
    for (int k = 0; k < gemm.k_tiles; ++k) {
      gemm.weights.push_back(allocator.weights(n % units * width, gemm.shape.type));
    }
  }
  const auto side_of = [](std::int64_t i) {
    return i % 2 == 0 ? Hemisphere::West : Hemisphere::East;
  };
  for (std::int64_t i = 0; i < gemm.shape.m * gemm.k_tiles; ++i) {
    for (const int side : {0, 1}) {
      gemm.activations[index_of(side)].push_back(
          allocator.buffer(side_of(side), width, BufferUse::Activation));
    }
  }
  for (std::int64_t row = 0; row < gemm.shape.m; ++row) {
    for (int n = 0; n < gemm.n_tiles; ++n) {
      gemm.outputs.push_back(allocator.outer_buffer(geometry.plane_hemisphere(n % units * width)));
    }
  }
  if (rows.deepest_bank() > geometry.rows_per_bank) {
    throw ModelError(
        fmt::format("lpu.gemm: operands need {} rows in the fullest bank, the chip has {}",
                    rows.deepest_bank(), geometry.rows_per_bank));
  }
  for (const int used : rows.rows_used) {
    gemm.program.rows_used.push_back(static_cast<std::uint16_t>(used));
  }
}

// Tiles of neighbouring planes of a hemisphere go together, both hemispheres step by step. Rows
// take the accumulators in turn, over all blocks: a block is shorter than the accumulators by the
// tiles along k, so that the last outputs of a block can leave in the cycles in which the next
// block's tiles are installed.
class GemmScheduler {
 public:
  GemmScheduler(const Geometry& geometry, const LatencyTable& latencies, CompiledGemm& gemm)
      : geometry_(geometry),
        gemm_(gemm),
        scheduler_(geometry, latencies, latencies.barrier),
        width_(streams_of(gemm.shape.type)),
        held_back_(std::min(gemm.k_tiles, geometry.accumulators / 4)),
        block_(std::min<std::int64_t>(gemm.shape.m, geometry.accumulators - held_back_)) {
    for (int plane = 0; plane < geometry.planes; plane += lane_planes) lanes_.push_back(plane);
  }

  const Scheduler& run() {
    const int per_round = geometry_.planes / width_;
    for (int n = 0; n < gemm_.n_tiles; n += per_round) {
      for (std::int64_t row = 0; row < gemm_.shape.m; row += block_) {
        blocks_.push_back({n, row, std::min(block_, gemm_.shape.m - row)});
      }
    }
    scheduler_.begin_operator("product");
    load(blocks_.front(), 0);
    for (std::size_t b = 0; b < blocks_.size(); ++b) multiply(b);
    while (!pending_.empty()) emit_oldest();
    return scheduler_;
  }

 private:
  static constexpr int lane_planes = 2;

  // Rows that share the tiles of one round: as many tiles along n as there are planes for.
  struct Block {
    int n;
    std::int64_t row;
    std::int64_t rows;
  };
  // A row of a block that waits in the accumulators. Rows take them in turn, over all blocks.
  struct Pending {
    std::int64_t row;
    int n;
    std::int64_t turn;
  };

  [[nodiscard]] bool is_wide() const { return geometry_.has_wide_weight_path(); }
  [[nodiscard]] int accumulator_of(std::int64_t turn) const {
    return static_cast<int>(turn % geometry_.accumulators);
  }

  // The planes of a lane (two neighbours) that have a tile in the round that begins with tile `n`.
  [[nodiscard]] std::vector<int> planes_of(int lane, int n) const {
    std::vector<int> planes;
    for (int plane = lane; plane < lane + lane_planes; plane += width_) {
      if (n + plane / width_ < gemm_.n_tiles) planes.push_back(plane);
    }
    return planes;
  }

  // The next tile of every plane, byte by byte.
  [[nodiscard]] std::vector<Scheduler::TileOnPlane> tiles(const std::vector<int>& planes, int n,
                                                          int k) const {
    std::vector<Scheduler::TileOnPlane> result;
    for (const int plane : planes) {
      const int tile = n + plane / width_;
      for (int byte = 0; byte < width_; ++byte) {
        ColumnTile part = gemm_.weights[index_of(tile * gemm_.k_tiles + k)];
        part.bank += byte;
        part.bytes = 1;
        result.emplace_back(part, plane + byte);
      }
    }
    return result;
  }

  // On a narrow path a plane's load leaves streams for activations only while its neighbour does
  // not load. Few rows: both load all the time, half a tile apart, and each gets its activation
  // while the other installs. Many rows: one loads after the other. A pair for two-byte types
  // installs as one, so with few rows it loads as one.
  [[nodiscard]] bool staggers() const { return !is_wide() && (width_ == 1 || many_rows()); }
  [[nodiscard]] bool many_rows() const { return block_ > 2 * std::int64_t{geometry_.lw_issues()}; }
  [[nodiscard]] bool plane_by_plane() const { return !is_wide() && width_ == 1 && !many_rows(); }

  void load(const Block& block, int k) {
    for (const int lane : lanes_) load(tiles(planes_of(lane, block.n), block.n, k));
  }
  void load(const std::vector<Scheduler::TileOnPlane>& tiles) {
    if (tiles.empty()) return;
    if (!staggers()) {
      static_cast<void>(scheduler_.load(tiles));
      return;
    }
    const int apart = many_rows() ? geometry_.lw_issues() : geometry_.lw_issues() / 2;
    std::int64_t earliest = 0;
    for (const auto& tile : tiles) earliest = scheduler_.load({tile}, earliest) + apart;
  }

  void install(const Block& block, int k) {
    for (const int lane : lanes_) {
      const auto all = tiles(planes_of(lane, block.n), block.n, k);
      if (!plane_by_plane()) {
        scheduler_.install(all);
        continue;
      }
      for (const auto& tile : all) scheduler_.install({tile});
    }
  }

  // The tile that follows, of this block or the next, gets its cycles before the activations of
  // this one, so that these fill the gaps that loads leave.
  void multiply(std::size_t index) {
    const Block& block = blocks_[index];
    const bool ahead = is_wide() || staggers();
    while (!pending_.empty() &&
           pending_.front().turn < turn_ + block.rows - geometry_.accumulators) {
      emit_oldest();
    }
    const std::size_t older = pending_.size();
    for (int k = 0; k < gemm_.k_tiles; ++k) {
      install(block, k);
      if (ahead) load_after(index, k);
      for (std::int64_t i = 0; i < block.rows; ++i) {
        for (const int lane : lanes_)
          activate(planes_of(lane, block.n), block.row + i, k, turn_ + i);
      }
      if (!ahead) load_after(index, k);
    }
    for (std::int64_t i = 0; i < block.rows; ++i) {
      pending_.push_back({block.row + i, block.n, turn_ + i});
    }
    turn_ += block.rows;
    for (std::size_t i = 0; i < older; ++i) emit_oldest();
  }

  void load_after(std::size_t index, int k) {
    if (k + 1 < gemm_.k_tiles) return load(blocks_[index], k + 1);
    if (index + 1 < blocks_.size()) load(blocks_[index + 1], 0);
  }

  void activate(const std::vector<int>& planes, std::int64_t row, int k, std::int64_t turn) {
    if (planes.empty()) return;
    const bool last_half =
        gemm_.shape.k - std::int64_t{k} * geometry_.lanes() > geometry_.lanes() / 2;
    const int halves = width_ == 2 && last_half ? 2 : 1;
    std::vector<Work::Target> targets;
    for (const int plane : planes) {
      targets.push_back({plane, accumulator_of(turn), k > 0, halves, gemm_.shape.type});
    }
    const Hemisphere side = geometry_.plane_hemisphere(planes.front());
    const bool from_east = (side == Hemisphere::East) != is_wide();
    const Rows& rows = gemm_.activations[from_east ? 1 : 0][index_of(row * gemm_.k_tiles + k)];
    if (!plane_by_plane()) {
      Work work(scheduler_);
      work.activate_rows(rows, targets);
      work.place();
      return;
    }
    for (const Work::Target& target : targets) {
      Work work(scheduler_);
      work.activate_rows(rows, {target});
      work.place();
    }
  }

  void emit_oldest() {
    const Pending& oldest = pending_.front();
    for (const int lane : lanes_) {
      const std::vector<int> planes = planes_of(lane, oldest.n);
      // With many rows both planes miss the same cycle; with few, each finds its own gap in the
      // loads.
      if (many_rows()) {
        emit(oldest, planes);
        continue;
      }
      for (const int plane : planes) emit(oldest, {plane});
    }
    pending_.pop_front();
  }
  void emit(const Pending& pending, const std::vector<int>& planes) {
    if (planes.empty()) return;
    Work work(scheduler_);
    for (const int plane : planes) {
      const std::int64_t n = pending.n + plane / width_;
      work.store_accumulator(plane, accumulator_of(pending.turn),
                             gemm_.outputs[index_of(pending.row * gemm_.n_tiles + n)]);
    }
    work.place();
  }

  const Geometry& geometry_;
  CompiledGemm& gemm_;
  Scheduler scheduler_;
  const int width_;
  const int held_back_;
  const std::int64_t block_;
  std::vector<int> lanes_;  // their first planes
  std::vector<Block> blocks_;
  std::deque<Pending> pending_;
  std::int64_t turn_ = 0;
};

}  // namespace

std::int64_t CompiledGemm::tile_steps(const Geometry& geometry) const {
  const int units = geometry.planes / streams_of(shape.type);
  return std::int64_t{pieces_of(n_tiles, units)} * k_tiles;
}

CompiledGemm compile_gemm(const Geometry& geometry, const LatencyTable& latencies,
                          const std::string& chip, const GemmShape& shape) {
  require_square_planes(geometry);
  CompiledGemm gemm;
  gemm.shape = shape;
  gemm.k_tiles = pieces_of(shape.k, geometry.lanes());
  gemm.n_tiles = pieces_of(shape.n, geometry.lanes());
  lay_out(geometry, gemm);
  GemmScheduler scheduler(geometry, latencies, gemm);
  const Scheduler& schedule = scheduler.run();
  gemm.program.chip = chip;
  emit_queues(schedule, gemm.program);
  gemm.cycles = predict_cycles(schedule).base;
  return gemm;
}

}  // namespace tandem::lpu
