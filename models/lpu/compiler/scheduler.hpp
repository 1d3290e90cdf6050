// Reservation tables of one chip: which cycle of every port, queue, stream and plane is taken, and
// the instructions placed so far. Time is virtual: loops count as one iteration.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/lpu/compiler/timeline.hpp"
#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

/// One row of SRAM; `reg` is the host register added to it.
struct Place {
  int slice = 0;
  int bank = 0;
  int row = 0;
  int reg = 0;
  /// Other registers may point at the same row: after a write the port rests until the row may be
  /// read, whoever reads (H9 compares rows of two registers at their worst).
  bool alone = false;
  bool operator==(const Place&) const = default;
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

/// A loop of a finished schedule. Every queue loops by itself, from its own first instruction on,
/// so iterations overlap wherever a queue's part of one is shorter than the whole.
struct Loop {
  int reg = 0;                      ///< host register with the further iterations
  std::int64_t interval = 0;        ///< cycles from iteration to iteration
  std::map<int, int> strides;       ///< MEM rows per iteration, by slice; absent = 0
  std::vector<std::int64_t> first;  ///< by queue: the cycle in which its loop begins
};

/// Cycles of a queue from its first instruction to behind its last.
struct QueueWindow {
  std::int64_t first = 0;
  std::int64_t end = 0;  ///< not after `first`: nothing yet
  [[nodiscard]] bool empty() const { return end <= first; }
};

/// Thrown where a loop body cannot be scheduled at an interval.
class LoopDoesNotFit : public ModelError {
 public:
  using ModelError::ModelError;
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
/// A schedule is straight code with loops in it. The body of a loop is a Scheduler of its own,
/// whose resources repeat every interval; append_loop() slides it as early into the straight code
/// as everything allows. What follows may overlap the loop's last iteration.
///
/// Contract:
///  - a reservation that turns out useless must be released by its owner
///  - a loop body uses no pinned ALU
class Scheduler {
 public:
  Scheduler(const Geometry& geometry, const LatencyTable& latencies, std::int64_t first_cycle);
  /// The body of a loop with an iteration every `interval` cycles.
  [[nodiscard]] static Scheduler loop_body(const Geometry& geometry, const LatencyTable& latencies,
                                           std::int64_t interval);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] const LatencyTable& latencies() const { return latencies_; }

  /// What is added from now on belongs to this operator.
  void begin_operator(std::string name);
  [[nodiscard]] const std::vector<OperatorMark>& operators() const { return operators_; }

  /// Adds a loop whose body is complete, with an iteration every `interval` cycles: at most that of
  /// the body, not less than the cycles between any two uses of a resource.
  void append_loop(const Scheduler& body, std::int64_t interval, int reg,
                   const std::map<int, int>& strides);
  /// Throws LoopDoesNotFit where iterations of this body would meet: a row that stands still is
  /// read before the last iteration has written it, or weights change while the last one
  /// multiplies.
  void check_carried(const std::map<int, int>& strides) const;
  /// Cycles of a body from its first instruction until its last result has landed.
  [[nodiscard]] std::int64_t span() const;
  /// Of a body: cycles between iterations. 0: straight code.
  [[nodiscard]] std::int64_t interval() const { return interval_; }
  /// Makes a queue's window hold [first, end). False, and nothing changes, where a loop's interval
  /// is too short for that.
  [[nodiscard]] bool widen(int queue, std::int64_t first, std::int64_t end);
  [[nodiscard]] QueueWindow& window(int queue) { return windows_[static_cast<std::size_t>(queue)]; }

  /// First cycle in which anything may happen now.
  [[nodiscard]] std::int64_t segment_begin() const { return begin_; }
  [[nodiscard]] std::int64_t first_cycle() const { return first_cycle_; }
  [[nodiscard]] const std::vector<Loop>& loops() const { return loops_; }
  [[nodiscard]] const std::vector<MemEvent>& mem_events() const { return mem_; }
  [[nodiscard]] const std::vector<QueueEvent>& queue_events() const { return queue_; }

  [[nodiscard]] Timeline& port(int slice, int bank) {
    return lines_[static_cast<std::size_t>(slice * geometry_.banks + bank)];
  }
  [[nodiscard]] Timeline& queue(int index) {
    return lines_[first_queue_ + static_cast<std::size_t>(index)];
  }
  /// Cycles in which a special ALU issues; queue() of its queue has those in which results land,
  /// less the latency of special operations.
  [[nodiscard]] Timeline& issues(int alu) {
    return lines_[first_issue_ + static_cast<std::size_t>(alu)];
  }
  /// Cycles in which a link still carries a vector.
  [[nodiscard]] Timeline& link(int index) {
    return lines_[first_link_ + static_cast<std::size_t>(index)];
  }
  /// Streams are named by the cycle `z` in which their vector is at position 0 (or would be).
  [[nodiscard]] Timeline& stream(Direction direction, int id, Hemisphere half);
  /// Resources and the cycles taken of them.
  using Taken = std::vector<std::pair<Timeline*, std::int64_t>>;
  /// A loop body remembers what it has taken.
  void keep(const Taken& taken) {
    if (interval_ != 0) taken_.insert(taken_.end(), taken.begin(), taken.end());
  }

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
  /// As late as possible instead: between these two, what is placed may activate the planes as if
  /// the tiles were there; then they are loaded and installed right before the first Activate.
  /// Throws LoopDoesNotFit where that finds no room.
  void expect_tile(const ColumnTile& tile, int plane);
  void load_expected(const ColumnTile& tile, int plane);

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
    std::int64_t first_use = 0;  ///< first cycle of an Activate since a tile was expected
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
  [[nodiscard]] RowState& row_state(const Place& place);
  [[nodiscard]] bool load_fits(const PlaneLoad& load, std::int64_t at);
  [[nodiscard]] bool widen_for(const PlaneLoad& load, std::int64_t at);
  [[nodiscard]] std::int64_t first_load(const PlaneLoad& load) const;
  void add_install(int plane, std::int64_t at);
  void check_rows(const std::map<int, int>& strides) const;
  void check_planes() const;
  [[nodiscard]] std::int64_t earliest_shift(const Scheduler& body) const;
  [[nodiscard]] std::int64_t plane_shift(const QueueEvent& event) const;
  [[nodiscard]] bool loop_fits(const Scheduler& body, std::int64_t interval, std::int64_t shift,
                               const std::vector<std::int64_t>& ends) const;
  void take_over(const Scheduler& body, std::int64_t shift);
  void close_windows(const Scheduler& body, std::int64_t shift,
                     const std::vector<std::int64_t>& queue_end_before, Loop& loop);
  void repeat_backwards(std::int64_t interval);
  [[nodiscard]] std::int64_t last_release() const {
    return releases_.empty() ? first_cycle_ : releases_.back().cycle;
  }
  void commit_load(const PlaneLoad& load, std::int64_t at);
  [[nodiscard]] std::vector<PlaneLoad> plane_loads(const std::vector<TileOnPlane>& tiles) const;

  Geometry geometry_;
  LatencyTable latencies_;
  std::int64_t first_cycle_;
  std::int64_t interval_ = 0;
  std::int64_t begin_;          ///< see segment_begin()
  std::int64_t horizon_ = 0;    ///< the next loop begins behind it
  std::int64_t loops_end_ = 0;  ///< every queue has left the last loop
  std::size_t first_queue_ = 0, first_link_ = 0, first_stream_ = 0, first_issue_ = 0;
  std::vector<Timeline> lines_;  ///< ports, queues, links, streams, issues
  std::vector<QueueWindow> windows_;
  std::vector<std::int64_t> queue_end_;                   ///< behind the last instruction
  std::vector<std::int64_t> moved_written_, moved_read_;  ///< by port: last, at a host register
  std::vector<std::vector<RowState>> rows_;
  std::vector<Plane> planes_;
  std::vector<AluRegister> registers_;
  std::vector<Loop> loops_;
  std::vector<OperatorMark> operators_;
  std::vector<Release> releases_;
  std::map<int, std::int64_t> available_;    ///< by host register that flags set
  std::map<int, std::int64_t> last_access_;  ///< at those registers
  std::vector<MemEvent> mem_;
  std::vector<QueueEvent> queue_;
  Taken taken_;
  std::int64_t landed_ = 0;  ///< first cycle in which nothing placed so far is in flight
};

}  // namespace tandem::lpu
