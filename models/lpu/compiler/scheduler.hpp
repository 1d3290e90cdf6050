// Reservation tables of one chip: which cycle of every port, queue, stream and plane is taken, and
// the instructions placed so far. Time is virtual: loops count as one iteration.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

/// Cycles that are taken, one bit each; grows as needed. Cycles from -1024 on.
class Timeline {
 public:
  [[nodiscard]] bool busy(std::int64_t cycle) const {
    const auto bit = static_cast<std::size_t>(cycle + origin);
    return bit / 64 < words_.size() && ((words_[bit / 64] >> (bit % 64)) & 1U) != 0;
  }
  void take(std::int64_t cycle) {
    const auto bit = static_cast<std::size_t>(cycle + origin);
    if (bit / 64 >= words_.size()) words_.resize(bit / 64 + 64);
    words_[bit / 64] |= std::uint64_t{1} << (bit % 64);
  }
  void release(std::int64_t cycle) {
    const auto bit = static_cast<std::size_t>(cycle + origin);
    words_[bit / 64] &= ~(std::uint64_t{1} << (bit % 64));
  }

 private:
  static constexpr std::int64_t origin = 1024;
  std::vector<std::uint64_t> words_;
};

/// One row of SRAM; `reg` is the host register added to it.
struct Place {
  int slice = 0;
  int bank = 0;
  int row = 0;
  int reg = 0;
  /// Other registers may point at the same row: after a write the port rests until the row may be
  /// read, whoever reads (H9 compares rows of two registers at their worst).
  bool alone = false;
};

/// The rows of one vector value, lowest byte first: 1, 2 or 4 of them, all in one hemisphere.
using Rows = std::vector<Place>;

/// A plane's worth of columns in SRAM. Column c of byte b lies where `place` says; one LW issue
/// takes `weight_streams` columns from as many different ports.
struct ColumnTile {
  Hemisphere side = Hemisphere::West;
  int bytes = 1;        ///< bytes per element; byte b goes to plane `plane + b`
  int first_slice = 0;  ///< over the whole chip
  int bank = 0;         ///< spread: unused; else the bank of byte 0
  int row = 0;
  int reg = 0;
  bool spread = false;        ///< two banks of half as many slices, bytes in rows behind each other
  bool constant_row = false;  ///< every column is the same row
  [[nodiscard]] Place place(const Geometry& geometry, int byte, int column) const;
};

/// Host registers from here on stand for rows that differ between chips of one schedule. Those of a
/// pass's tokens come before.
inline constexpr int rank_registers = 3840;

struct MemEvent {
  std::int64_t cycle = 0;
  int slice = 0;
  MemAccess access;
};
struct QueueEvent {
  std::int64_t cycle = 0;
  int queue = 0;
  Instruction instruction;
};

/// A run of cycles: straight code, or a loop body whose further iterations host register `reg`
/// counts.
struct Segment {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  int reg = 0;                 ///< 0: straight
  std::map<int, int> strides;  ///< MEM rows per iteration, by slice; absent = 0
};

/// A cycle in which parked queues go on and values that flags have set become host registers.
struct Release {
  std::int64_t notify = 0;
  std::int64_t cycle = 0;
};

/// Where the instructions of an operator begin in the lists of events.
struct OperatorMark {
  std::string name;
  std::size_t mem_events = 0;
  std::size_t queue_events = 0;
};

/// What the compiler knows about one chip over virtual time.
///
/// Contract:
///  - segments follow each other; everything placed belongs to the open segment and nothing of it
///  is
///    in flight when the next one begins
///  - `take_*` reserve; a reservation that turns out useless must be released by its owner
class Scheduler {
 public:
  Scheduler(const Geometry& geometry, const LatencyTable& latencies, std::int64_t first_cycle);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] const LatencyTable& latencies() const { return latencies_; }

  /// What is added from now on belongs to this operator.
  void begin_operator(std::string name);
  [[nodiscard]] const std::vector<OperatorMark>& operators() const { return operators_; }

  /// Ends the open straight segment and opens a loop body.
  void begin_loop(int reg, std::map<int, int> strides);
  /// Ends the loop body and opens a straight segment.
  void end_loop();
  void finish();
  [[nodiscard]] std::int64_t segment_begin() const { return segments_.back().begin; }
  [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
  [[nodiscard]] const std::vector<MemEvent>& mem_events() const { return mem_; }
  [[nodiscard]] const std::vector<QueueEvent>& queue_events() const { return queue_; }

  [[nodiscard]] Timeline& port(int slice, int bank) {
    return ports_[static_cast<std::size_t>(slice * geometry_.banks + bank)];
  }
  [[nodiscard]] Timeline& queue(int index) { return queues_[static_cast<std::size_t>(index)]; }
  /// Cycles in which a link still carries a vector.
  [[nodiscard]] Timeline& link(int index) { return links_[static_cast<std::size_t>(index)]; }
  /// Streams are named by the cycle `z` in which their vector is at position 0 (or would be).
  [[nodiscard]] Timeline& stream(Direction direction, int id, Hemisphere half);

  /// First cycle in which a row may be read (written). Rows that depend on the chip's rank
  /// (registers from rank_registers on) are not tracked: whoever places them orders the accesses.
  [[nodiscard]] std::int64_t readable(const Place& place) const;
  [[nodiscard]] std::int64_t writable(const Place& place) const;

  void add(const MemEvent& event);
  void add(const QueueEvent& event, std::int64_t lands_after);

  /// A tile and the plane that takes its byte 0.
  using TileOnPlane = std::pair<ColumnTile, int>;
  /// Loads tiles into the shadow buffers of their planes, all in the same cycles, as early as
  /// possible but not before `earliest`; returns the cycle of the first LW.
  std::int64_t load(const std::vector<TileOnPlane>& tiles, std::int64_t earliest = 0);
  /// Makes the shadow buffers of these planes active, in one cycle, behind their last activation.
  void install(const std::vector<TileOnPlane>& tiles);
  /// Both at once.
  void load_tile(const ColumnTile& tile, int plane);

  /// Releases all queues once, as early as possible behind cycle `flagged`, in which the last of
  /// the flags of these registers issues; their rows may be accessed from the release on. Queues
  /// park as late as they can, so nothing else waits for it. Returns the cycle of the release.
  std::int64_t release(int first_register, int count, std::int64_t flagged);
  [[nodiscard]] const std::vector<Release>& releases() const { return releases_; }
  /// First cycle in which a host register has the value that this pass gives it.
  [[nodiscard]] std::int64_t available(int reg) const;
  /// Whether an instruction that occupies its queue for so long would keep it from parking.
  [[nodiscard]] bool crosses_release(std::int64_t cycle, int cycles) const;

  /// The output register of an ALU that keeps a value over many pieces of schedule.
  struct AluRegister {
    std::int64_t written = -1000000;  ///< first cycle in which it may be read
    std::int64_t last_read = -1000000;
  };
  [[nodiscard]] AluRegister& alu_register(int alu) {
    return registers_[static_cast<std::size_t>(alu)];
  }

  struct Accumulator {
    std::int64_t ready = 0;      ///< first cycle of an Emit
    std::int64_t last_emit = 0;  ///< the next setting Activate comes later
  };
  struct Plane {
    std::int64_t load_from = 0;  ///< first cycle of the next LW
    std::int64_t loaded = 0;     ///< first cycle of the next IW, as far as LW goes
    std::int64_t installed = 0;  ///< first cycle of an Activate
    std::int64_t last_use = 0;   ///< last cycle of an Activate
    std::vector<Accumulator> accumulators;
  };
  [[nodiscard]] Plane& plane(int index) { return planes_[static_cast<std::size_t>(index)]; }

 private:
  struct RowState {
    std::int64_t written = -1000000;
    std::int64_t read = -1000000;
  };
  struct PlaneLoad {
    const ColumnTile* tile;
    int byte;
    int plane;
    int offset;
  };
  void close_segment();
  [[nodiscard]] RowState& row_state(const Place& place);
  [[nodiscard]] bool load_fits(const PlaneLoad& load, std::int64_t at);
  void commit_load(const PlaneLoad& load, std::int64_t at);
  [[nodiscard]] std::vector<PlaneLoad> plane_loads(const std::vector<TileOnPlane>& tiles) const;

  Geometry geometry_;
  LatencyTable latencies_;
  std::vector<Timeline> ports_;
  std::vector<Timeline> queues_;
  std::vector<Timeline> links_;
  std::vector<Timeline> streams_;
  std::vector<std::vector<RowState>> rows_;
  std::vector<Plane> planes_;
  std::vector<AluRegister> registers_;
  std::vector<Segment> segments_;
  std::vector<OperatorMark> operators_;
  std::vector<Release> releases_;
  std::map<int, std::int64_t> available_;  ///< by host register that flags set
  std::int64_t last_flagged_access_ = 0;   ///< at any of those registers
  std::vector<MemEvent> mem_;
  std::vector<QueueEvent> queue_;
  std::int64_t landed_ = 0;  ///< first cycle in which nothing placed so far is in flight
};

}  // namespace tandem::lpu
