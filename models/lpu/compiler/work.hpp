// One rigid piece of schedule: vectors read from SRAM or accumulators, an expression over them on
// the vector unit, results to SRAM, planes or links. All times inside are fixed by the distance
// equation; only the start is free, and `place` looks for the earliest cycle where everything fits.
#pragma once

#include <cstdint>
#include <vector>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// A vector inside a Work: a source that can be brought to the VXM at any time, the result of an
/// operation, or an immediate.
struct Value {
  enum class Kind : std::uint8_t { None, Source, Node, Immediate, Register } kind = Kind::None;
  int index = 0;
  std::uint32_t bits = 0;
};

/// The last ALUs keep values over several operations; expressions use the ones before.
inline constexpr int pinned_alus = 6;

/// Whether an ALU executes special (ordinary) operations of expressions.
[[nodiscard]] bool serves_expressions(const Geometry& geometry, int alu, bool special);

/// An expression with its operands and results. Build it, then place it once.
class Work {
 public:
  explicit Work(Scheduler& scheduler) : scheduler_(&scheduler) {}

  // Sources
  [[nodiscard]] Value memory(const Rows& rows);
  /// The same after a lane permutation: the rows go out to the SXM of their hemisphere first.
  [[nodiscard]] Value memory_permuted(const Rows& rows, int map);
  /// The accumulator of a plane (of the pair that begins with it).
  [[nodiscard]] Value accumulator(int plane, int accumulator);
  /// The same after a lane permutation in the SXM that it passes.
  [[nodiscard]] Value accumulator_permuted(int plane, int accumulator, int map);
  /// The result of an operation, sent out to the SXM of `side` and back permuted.
  [[nodiscard]] Value permuted(Value node, Hemisphere side, int map);
  [[nodiscard]] static Value constant(float value);
  /// Whatever the output register of an ALU holds at that time; the caller orders the accesses.
  [[nodiscard]] static Value register_of(int alu) { return {Value::Kind::Register, alu, 0}; }

  struct Options {
    Type type = Type::Float32;         ///< of the result
    Type from = Type::Float32;         ///< Convert: of the operand
    std::int64_t earliest = -1000000;  ///< not before this cycle of the Work
    int pinned = -1;                   ///< on this ALU and no other
    bool special = false;              ///< on a special ALU, though any could do it
    int hold = 0;                      ///< cycles for which the ALU stays reserved afterwards
  };
  /// Operations start as soon as their operands have landed and no port is asked twice in a cycle;
  /// operands that land earlier are held in their ALU.
  Value op(AluOp operation, Value x, Value y, const Options& options);
  Value op(AluOp operation, Value x, Value y = {}) { return op(operation, x, y, Options{}); }
  Value convert(Value x, Type from, Type to);
  /// Cycle of the Work in which an operation issues.
  [[nodiscard]] std::int64_t time_of(Value node) const;

  // Results
  void store(Value node, const Rows& rows);
  /// Writes the same vector to many places: rows[b] are all the places of byte b.
  void store_all(Value node, const std::vector<Rows>& rows);
  /// Writes the raw sums of an accumulator to rows of its own hemisphere, on their way inward.
  void store_accumulator(int plane, int accumulator, const Rows& rows);
  struct Target {
    int plane = 0;  ///< of a pair: the even one
    int accumulator = 0;
    bool add = false;
    int halves = 1;
    Type type = Type::Float16;
  };
  /// Sends the result straight to a plane as an activation.
  void activate(Value node, const Target& target);
  /// Sends rows from SRAM to one or both planes of a hemisphere as an activation. Rows of the other
  /// hemisphere pass the vector unit on their way.
  void activate_rows(const Rows& rows, const std::vector<Target>& targets);
  /// Lane 0 of a 16-bit integer in SRAM becomes the value of a host register at the next release.
  /// Returns the cycle of the Work in which the flag issues.
  std::int64_t flag(const Rows& rows, int reg);
  /// Sends a row from SRAM over a link in cycle `offset` (plus a constant) of the Work.
  void send_row(const Place& place, int link, std::int64_t offset);
  /// Takes a vector that arrives over a link in cycle `offset` of the Work into a row.
  void receive_row(const Place& place, int link, std::int64_t offset);
  /// Cycle of the Work of the first read of SRAM; large where there is none.
  [[nodiscard]] std::int64_t first_read() const;
  /// Cycle of the program of the last write, once placed.
  [[nodiscard]] std::int64_t last_write() const;

  /// Places everything at the earliest possible start not before `earliest`; returns the start
  /// (cycle 0 of the Work; reads and emissions come before it).
  std::int64_t place(std::int64_t earliest = 0);
  /// Cycle of the program of something at cycle `relative` of this Work, once placed.
  [[nodiscard]] std::int64_t start() const { return start_; }

 private:
  struct Source {
    enum class Kind : std::uint8_t {
      Memory,
      MemoryPermuted,
      Accumulator,
      AccumulatorPermuted
    } kind;
    Rows rows;
    int plane = 0;
    int accumulator = 0;
    int map = 0;
  };
  struct OutwardUse {  // rows on their way to the SXM
    Place first;
    std::int64_t z;
    int flow;
  };
  struct Flow {  // an aligned group of streams; at position 0 in cycle z
    Direction direction;
    int width;
    bool west, east;
    std::int64_t z;
    int id = -1;
  };
  struct FlowUse {
    int source;
    std::int64_t z;
    int flow;
  };
  struct Node {
    AluOp op;
    Options options;
    Value x, y;
    int x_flow = -1, y_flow = -1;
    std::int64_t cycle = 0;
    std::int64_t hold = 0;  // cycles after landing until the last use
    int out_flow = -1;
    int alu = -1;
    int permuted_flow = -1;  // operation-less node: its value arrives on this flow
  };
  struct MemoryOp {
    std::int64_t cycle;
    Place place;
    MemAccess::Kind kind;
    int flow;
    int byte;
  };
  struct UnitOp {  // MXM, SXM or C2C
    std::int64_t cycle;
    int queue;
    int cycles;
    std::int64_t lands_after;
    Instruction instruction;
    int in_flow = -1;
    int out_flow = -1;
    int sxm_side = -1;  // any queue of that side's SXM
    int link = -1;      // Send: busy for the link's interval
  };

  Value add_source(Source source);
  int add_flow(Direction direction, int width, bool west, bool east, std::int64_t z);
  int flow_of(Value value, std::int64_t cycle);
  int memory_flow(const Rows& rows, std::int64_t z);
  int outward_flow(const Rows& rows, std::int64_t z);
  int permuted_memory_flow(const Source& source, std::int64_t z);
  int accumulator_flow(const Source& source, std::int64_t z);
  int permute(int in_flow, Hemisphere side, int map, std::int64_t cycle);
  int out_flow(int node, Hemisphere side);
  [[nodiscard]] bool share_a_port(const Value& x, const Value& y) const;
  [[nodiscard]] bool is_taken(const Place& place, std::int64_t cycle) const;
  [[nodiscard]] bool meets_a_port(const Value& value, std::int64_t cycle) const;
  [[nodiscard]] std::int64_t landing(const Value& value) const;
  void hold(const Value& value, std::int64_t cycle);
  [[nodiscard]] Instruction activation(const Target& target, std::int64_t& last) const;

  [[nodiscard]] std::int64_t lower_bound(std::int64_t earliest) const;
  [[nodiscard]] std::int64_t register_bound(const Node& node) const;
  [[nodiscard]] bool reserve(std::int64_t start);
  [[nodiscard]] bool reserve_alus(std::int64_t start);
  [[nodiscard]] bool reserve_flows(std::int64_t start);
  [[nodiscard]] bool alu_is_free(const Node& node, int alu, std::int64_t start) const;
  [[nodiscard]] int choose_alu(const Node& node, std::int64_t start) const;
  [[nodiscard]] bool take(Timeline& line, std::int64_t cycle);
  [[nodiscard]] bool widen(int queue, std::int64_t first, std::int64_t end);
  void roll_back();
  void commit(std::int64_t start);
  void commit_nodes(std::int64_t start);
  [[nodiscard]] AluOperand operand(const Value& value, int flow, Instruction& word) const;

  Scheduler* scheduler_;
  std::vector<Source> sources_;
  std::vector<Flow> flows_;
  std::vector<FlowUse> uses_;
  std::vector<OutwardUse> outward_;
  std::vector<Node> nodes_;
  std::vector<MemoryOp> memory_;
  std::vector<UnitOp> units_;
  Scheduler::Taken taken_;
  std::vector<std::pair<int, QueueWindow>> widened_;  // as they were before
  std::int64_t start_ = 0;
};

}  // namespace tandem::lpu
