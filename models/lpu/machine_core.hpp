// Inside of the machine: the issue loop and the units it drives. Included by the machine's own
// sources only.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "models/lpu/issue_wheel.hpp"
#include "models/lpu/machine.hpp"
#include "models/lpu/machine_memory.hpp"
#include "models/lpu/machine_mxm.hpp"
#include "models/lpu/machine_streams.hpp"
#include "models/lpu/machine_vxm.hpp"

namespace tandem::lpu {

/// Executes issues in the order (cycle, producers without latency first, queue).
class Machine::Core {
 public:
  Core(const Geometry& geometry, const LatencyTable& latency, bool functional);

  void load(const Program& program, std::span<const MemoryImageRow> rows);
  void write_row(int slice, int bank, int row, std::span<const std::uint8_t> bytes);
  [[nodiscard]] std::vector<std::uint8_t> read_row(int slice, int bank, int row) const;
  void set_register(int index, std::uint16_t value);
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  void begin(const RunTimeline& timeline);
  bool advance(std::int64_t until);
  void deliver(const LinkVector& vector);
  [[nodiscard]] std::span<const LinkVector> sent() const { return outbound_; }
  RunResult finish();
  RunResult run(std::span<const LinkVector> inbound, const RunTimeline& timeline);

 private:
  static constexpr std::size_t widest_group = 256;
  struct Counts {  // vectors and operations in superlanes
    std::int64_t mem_reads = 0, mem_writes = 0, mxm_macs = 0, weight_vectors = 0, vxm_ops = 0,
                 sxm_ops = 0, c2c_vectors = 0, instructions = 0;
  };

  // The issue loop.
  void schedule(std::size_t queue);
  void read_ahead(int queue, std::int64_t limit);
  void read_run(const MemAccess& access, const Issue& issue, std::int64_t count,
                const Instruction* repeat);
  void release_parked(std::int64_t cycle);
  void execute(int queue, const Issue& issue);
  void check_end();
  void record(int queue, const Issue& issue);
  void execute_on_unit(const Issue& issue);
  void check_capacity(const Program& program);
  void check_flags(const Program& program);
  void check_row_address(int slice, int bank, int row) const;

  // Units; each executes one instruction at its cycle.
  void execute_mem(const Issue& issue);
  void read_row_to_stream(const MemAccess& access, const Issue& issue);
  void write_stream_to_row(const MemAccess& access, const Issue& issue);
  void gather(const MemAccess& access, const Issue& issue);
  void scatter(const MemAccess& access, const Issue& issue);
  void execute_alu(const Issue& issue);
  std::span<const std::uint32_t> alu_operand(const AluOperand& operand, const Issue& issue,
                                             LaneValues& space);
  std::span<const std::uint32_t> alu_register(int alu, std::int64_t cycle);
  void execute_matrix(const Issue& issue);
  void fetch(const Issue& issue);
  void set_flag(const Issue& issue);
  void execute_switch(const Issue& issue);
  void switch_group(const Instruction& instruction);
  void transpose();
  void rotate(const Instruction& instruction);
  [[nodiscard]] int source_lane(const Instruction& instruction, int lane) const;
  void execute_link(const Issue& issue);
  void receive(const Instruction& instruction, std::int64_t cycle);
  void take_link(int link, std::int64_t cycle);

  // Superlanes that Config has switched off: operands are zero there, and so are results.
  void switch_power();
  void clear_unpowered();
  const std::uint8_t* powered_part(const std::uint8_t* bytes);
  [[nodiscard]] std::size_t powered_lanes() const {
    return static_cast<std::size_t>(powered_ * geometry_.lanes_per_superlane);
  }

  // Streams with fault reports. Groups go through the scratch arrays below.
  void consume_group(StreamRef first, int streams, int position, std::int64_t cycle);
  void produce_group(StreamRef first, int streams, int position, std::int64_t cycle);
  const std::uint8_t* consume(StreamRef stream, int position, std::int64_t cycle);
  std::uint8_t* produce(StreamRef stream, int position, std::int64_t cycle);
  [[nodiscard]] int row_of(const MemAccess& access, const Issue& issue) const;
  [[nodiscard]] int mapped_row(int base, int superlane, const MemAccess& access) const;
  [[nodiscard]] int position() const { return positions_[static_cast<std::size_t>(queue_)]; }
  void take_bank(int bank, std::int64_t cycle);
  void check_readable(int bank, int row, std::int64_t cycle);
  [[noreturn]] void fail(const char* rule, const std::string& message) const;

  Geometry geometry_;
  LatencyTable latency_;
  bool functional_;
  Program program_;
  bool loaded_ = false;
  bool regular_ = true;        // no Config, no Flag: nothing changes what an issue means over time
  bool reads_ahead_ = true;    // in this run
  HostRegisters registers_{};  // as the host set them
  HostRegisters live_registers_{};     // in this run, as latched at the last release
  HostRegisters flagged_registers_{};  // to be latched at the next one

  SramBanks sram_;
  StreamRegisters streams_;
  AluRegisters alus_;
  MatrixPlanes planes_;
  int mem_queues_;
  IssueWheel wheel_;
  std::deque<std::int64_t> releases_;  // cycles in which parked queues go on
  std::vector<int> positions_;         // by queue
  std::vector<std::int64_t> link_free_;
  std::vector<std::deque<LinkVector>> arrivals_;

  std::vector<QueueWalk> walks_;
  std::vector<std::size_t> parked_;
  int queue_ = 0;           // of the instruction being executed
  std::int64_t cycle_ = 0;  // of the instruction being executed
  std::int64_t last_issue_ = -1;
  std::int64_t first_notify_ = -1;
  Counts counts_;
  std::vector<LinkVector> outbound_;
  RunTimeline timeline_;
  std::vector<std::optional<TimelineRecorder::Track>> tracks_;

  std::array<const std::uint8_t*, widest_group> in_{};
  std::array<std::uint8_t*, widest_group> out_{};
  LaneValues x_, y_, result_;

  int powered_ = 0;  // superlanes
  int next_powered_ = 0;
  std::int64_t powered_until_ = INT64_MAX;  // last cycle before next_powered_ holds
  std::deque<std::vector<std::uint8_t>> masked_;
  std::size_t masked_used_ = 0;
  std::vector<std::uint8_t*> produced_;
};

}  // namespace tandem::lpu
