// Inside of the skewed machine. Included by its own sources only.
#pragma once

#include <array>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "models/lpu/machine_vxm.hpp"
#include "models/lpu/skew_machine.hpp"

namespace tandem::lpu {

class SkewMachine::Core {
 public:
  Core(const Geometry& geometry, const LatencyTable& latency);
  void load(const ProgramImage& image);
  void set_register(int index, std::uint16_t value);
  [[nodiscard]] std::vector<std::uint8_t> read_row(int slice, int bank, int row) const;
  RunResult run(std::span<const LinkVector> inbound);

 private:
  using Bytes16 = std::vector<std::uint8_t>;  // one superlane of a vector
  struct Event {                              // an issue, in the order of execution
    Issue issue;
    int queue;
  };
  struct Cell {
    bool valid = false;
    Bytes16 bytes;
  };
  struct Arrival {  // a result on its way to a cell
    StreamRef stream;
    int position;
    Bytes16 bytes;
    int queue;
    std::size_t exchange;  // index + 1 where the bytes come from other superlanes, else 0
    std::size_t part;      // which stream of the exchange's result
  };
  // What superlanes deliver to an operation that mixes them: operands by stream, all lanes.
  struct Exchange {
    const Instruction* instruction;
    int delivered = 0;
    std::vector<std::vector<std::uint8_t>> operands;
  };
  struct PlaneTile {  // a superlane's rows of a plane: [column][row]
    std::vector<std::uint8_t> shadow, active, shadow_present, active_present;
  };
  struct Product {  // an ABC whose sums pass from superlane to superlane
    const Instruction* instruction;
    int delivered = 0;
    std::vector<std::int64_t> integers;
    std::vector<std::array<double, 8>> sums;  // four interleaved sums of either half
    std::vector<std::uint8_t> present;
  };
  struct Tile {  // one superlane
    std::int64_t frame = 0;
    std::vector<Cell> cells;
    std::map<std::int64_t, std::vector<Arrival>> arrivals;  // by frame
    std::unique_ptr<AluRegisters> alus;
    std::vector<PlaneTile> planes;
    std::size_t next_event = 0;
    std::set<std::size_t> filled;  // cells that got a vector this cycle
  };

  void expand(std::vector<Event>& events);
  void start_run(std::span<const LinkVector> inbound);
  void tick(int superlane);
  void deliver(int superlane, const Arrival& arrival);
  void execute(int superlane, std::size_t event);

  void execute_mem(int superlane, const Event& event);
  void execute_alu(int superlane, const Event& event);
  void execute_matrix(int superlane, std::size_t event);
  void execute_switch(int superlane, std::size_t event);
  void execute_link(int superlane, std::size_t event);
  void load_weights(int superlane, const Instruction& instruction,
                    const std::vector<const Bytes16*>& columns);
  void activate(int superlane, std::size_t event, const std::vector<const Bytes16*>& operand);
  void multiply_lane(Product& product, std::size_t column, std::size_t row,
                     std::uint32_t activation, std::uint32_t weight) const;
  void finish_product(const Product& product);
  [[nodiscard]] Bytes16 exchanged(const Exchange& exchange, int superlane, std::size_t part) const;

  [[nodiscard]] std::size_t cell_index(StreamRef stream, int position, std::int64_t frame) const;
  const Bytes16& consume(int superlane, StreamRef stream);
  std::vector<const Bytes16*> consume_group(int superlane, StreamRef first, int streams);
  void produce(int superlane, StreamRef stream, int latency, Bytes16 bytes,
               std::size_t exchange = 0, std::size_t part = 0);
  [[nodiscard]] int position() const { return geometry_.queue_position(queue_); }
  std::uint8_t* sram(int slice, int bank, std::int64_t row, int superlane);
  [[noreturn]] void fail(const char* rule, const std::string& message) const;
  [[nodiscard]] std::size_t lanes() const {
    return static_cast<std::size_t>(geometry_.lanes_per_superlane);
  }

  Geometry geometry_;
  LatencyTable latency_;
  Program program_;
  HostRegisters registers_{};
  std::map<std::array<std::int64_t, 3>, std::vector<std::uint8_t>> rows_;

  std::vector<Event> events_;
  std::vector<Tile> tiles_;
  std::map<std::size_t, Exchange> exchanges_;                          // by event
  std::map<std::size_t, Product> products_;                            // by event
  std::vector<std::vector<std::vector<std::uint32_t>>> accumulators_;  // [plane][index][column]
  std::map<std::pair<int, std::int64_t>, std::vector<std::uint8_t>> inbound_;
  std::map<std::size_t, LinkVector> outbound_;  // by event
  int queue_ = 0;                               // of the instruction being executed
  std::int64_t cycle_ = 0;                      // of its issue
};

}  // namespace tandem::lpu
