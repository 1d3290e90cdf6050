// The machine: executes a binary program with its own latency table, functional (vectors carry
// bytes) or timed only. It has no interlocks and repairs nothing: a missing or mistimed operand, a
// bank or link used twice, or an order the hardware would get wrong ends the run.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/program_file.hpp"
#include "models/lpu/program_walk.hpp"
#include "sim/core/timeline.hpp"
#include "sim/core/units.hpp"

namespace tandem::lpu {

/// A vector at the chip's edge: when it leaves (cycle of its Send) or arrives (cycle in which its
/// Recv must issue). Cycles count from the start of the run, as everywhere; a vector sent at c
/// arrives at c + latency of the link's class, in the receiver's cycles.
struct LinkVector {
  int link = 0;
  std::int64_t cycle = 0;
  std::vector<std::uint8_t> bytes;  ///< empty in timed-only runs
  bool operator==(const LinkVector&) const = default;
};

/// What a run did. Timed-only and functional runs of one program give equal cycles and counts.
struct RunResult {
  /// From the issue of the first Notify (cycle 0 without one) to the end of the last instruction in
  /// the last superlane: last issue cycle - Notify cycle + superlanes. This is T = N + d_func +
  /// distance of the ISCA 2020 paper, eq. 4, for a program whose last instruction is a write.
  std::int64_t cycles = 0;
  /// mem_reads, mem_writes, stream_vector_hops, mxm_macs, weight_vectors_installed, vxm_ops,
  /// sxm_ops, c2c_vectors (sent), instructions (issued). What powered-down superlanes leave out
  /// is left out: half the superlanes make half a vector, and the sum is rounded down.
  std::map<std::string, std::int64_t> counts;
  std::vector<LinkVector> outbound;  ///< by cycle, then queue
};

/// Where a run's spans go. A null recorder records nothing.
struct RunTimeline {
  TimelineRecorder* recorder = nullptr;
  std::string group;  ///< name of the chip on the timeline
  Picoseconds start{};
};

/// One chip. SRAM contents survive runs and loading of another program; everything else starts anew
/// with each run.
///
/// Contract:
///  - load() first; it throws ScheduleError for an instruction that the chip cannot execute
///  - host calls only between runs, when all queues are parked
///  - run() throws ScheduleError (rule, queue, cycle, stream) at the first fault in time; the
///  machine
///    may then be loaded or run again
class Machine {
 public:
  /// Throws ModelError for latencies below 1 or beyond what the pipelines hold.
  Machine(const Geometry& geometry, const LatencyTable& latency, bool functional);
  ~Machine();
  Machine(Machine&&) noexcept;
  Machine& operator=(Machine&&) noexcept;

  void load(const Program& program, std::span<const MemoryImageRow> rows);
  void load(const ProgramImage& image) { load(image.program, image.rows); }
  /// Loads a program file; throws ConfigError as decode_program() does.
  void load(std::span<const std::uint8_t> file_bytes, std::string_view file_name);

  /// Host access to SRAM. Timed-only machines drop what is written and read zeros.
  void write_row(int slice, int bank, int row, std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::vector<std::uint8_t> read_row(int slice, int bank, int row) const;
  /// Sets a host register (1..4095). Throws ModelError above the program's limit for it.
  void set_register(int index, std::uint16_t value);

  /// Executes the program from cycle 0. Every inbound vector must be received in its very cycle.
  RunResult run(std::span<const LinkVector> inbound = {}, const RunTimeline& timeline = {});

  // The same run in steps, for several chips in one time base (rack/session.hpp): begin(), then
  // advance() and deliver() in turn, then finish().
  void begin(const RunTimeline& timeline = {});
  /// Executes every instruction that issues before cycle `until`; true while more will issue.
  bool advance(std::int64_t until);
  /// A vector that will arrive; per link in order of cycles, and before advance() reaches its
  /// cycle.
  void deliver(const LinkVector& vector);
  /// What was sent since begin(), by cycle, then queue.
  [[nodiscard]] std::span<const LinkVector> sent() const;
  RunResult finish();

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace tandem::lpu
