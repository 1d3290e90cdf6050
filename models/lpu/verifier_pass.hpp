// One pass of the verifier, with fixed loop counts. Inside of the verifier.
//
// Queues are walked in slices of time, one queue after the other; what they do to shared resources
// is collected as events and judged, sorted, once the slice is complete.
#pragma once

#include <array>
#include <map>
#include <vector>

#include "models/lpu/program_walk.hpp"
#include "models/lpu/verifier.hpp"

namespace tandem::lpu {

class VerifierPass {
 public:
  VerifierPass(const Program& program, const Geometry& geometry, const LatencyTable& latency,
               const HostRegisters& loop_counts);
  std::vector<Violation> run();

 private:
  // A vector enters or is read from a stream cell. Along the direction of travel a vector keeps
  // cycle - travelled constant: its lane.
  struct StreamEvent {
    std::int64_t lane;
    int stream;  // id, westward ones behind the eastward ones
    int travelled;
    bool reads;
    Opcode op;
    int queue;
  };
  struct RegisterEvent {  // a result lands in an ALU's output register, or somebody reads it
    int alu;
    std::int64_t cycle;
    bool reads;
    int queue;
  };
  struct PlaneEvent {
    std::int64_t cycle;
    int queue;
    const Instruction* instruction;
  };
  struct RecentWrite {
    std::int64_t readable;
    MemAccess access;
    std::int64_t row;
    bool any_row;
  };
  struct SliceState {              // one MEM slice
    std::int64_t held_cycle = -1;  // all banks busy for Gather or Scatter
    std::vector<RecentWrite> writes;
  };
  struct AccumulatorState {
    bool set = false;
    bool waiting = false;  // set or added to since the last ACC
    std::int64_t complete = 0;
  };
  struct PlaneState {
    std::int64_t last_load = -1;
    std::int64_t last_install = -1;
    std::int64_t last_multiply = -1;
    bool load_since_install = false;
    std::vector<AccumulatorState> accumulators;
  };

  void check_words();
  void check_register_use();
  void open_queues();
  void walk_until(std::int64_t horizon);
  bool walk_queue(std::size_t queue, std::int64_t horizon);
  bool release_earliest(std::int64_t horizon);
  [[nodiscard]] std::int64_t next_cycle() const;
  void report_parked();
  void visit(int queue, const Issue& issue);

  void visit_mem(int queue, const Issue& issue);
  void visit_access(int queue, const Issue& issue, const MemAccess& access);
  void check_row_age(int queue, std::int64_t cycle, const MemAccess& access, std::int64_t row,
                     bool any_row);
  void visit_alu(int queue, const Issue& issue);
  void visit_switch(int queue, const Issue& issue);
  void visit_link(int queue, const Issue& issue);
  void note_plane(int queue, const Issue& issue);
  void note_stream(int queue, const Instruction& instruction, StreamRef first, int streams,
                   int position, std::int64_t cycle, bool reads);

  void judge_streams(std::int64_t horizon);
  void judge_lane(const StreamEvent* first, const StreamEvent* last);
  void judge_registers(std::int64_t horizon);
  void judge_planes();
  void judge_plane(const PlaneEvent& event);
  void judge_activate(const PlaneEvent& event);
  void add(const char* rule, int queue, std::int64_t cycle, std::string resource,
           std::string message);
  [[nodiscard]] bool full() const;
  [[nodiscard]] std::string cell_name(const StreamEvent& event) const;

  const Program& program_;
  const Geometry& geometry_;
  const LatencyTable& latency_;
  HostRegisters loop_counts_;
  std::vector<Violation> found_;
  std::map<const Instruction*, Illegality> illegal_;

  QueueProgram no_words_;  // stands for a queue that cannot be walked
  std::vector<QueueWalk> walks_;
  std::vector<bool> dead_;
  std::vector<std::int64_t> releases_;  // cycles in which parked queues go on
  std::vector<StreamEvent> stream_events_;
  std::vector<RegisterEvent> register_events_;
  std::vector<PlaneEvent> plane_events_;
  std::vector<SliceState> slices_;
  std::vector<PlaneState> planes_;
  std::vector<std::int64_t> register_filled_;  // last landing per ALU, -1 = never
  std::vector<bool> running_started_;
  std::vector<std::array<std::int64_t, 2>> link_next_;  // first cycle free to send, to receive
};

}  // namespace tandem::lpu
