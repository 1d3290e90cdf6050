#include "models/lpu/compiler/lane_reduction.hpp"

#include "models/lpu/compiler/compiler.hpp"

namespace tandem::lpu {
namespace {

std::vector<std::uint16_t> rotation(int lanes, int distance) {
  std::vector<std::uint16_t> map(static_cast<std::size_t>(lanes));
  for (int lane = 0; lane < lanes; ++lane) {
    map[static_cast<std::size_t>(lane)] = static_cast<std::uint16_t>((lane + distance) % lanes);
  }
  return map;
}

// Copies that come back in the same cycle as the others wait in an ALU until they are needed.
Value combine(Work& work, const std::vector<Value>& copies, AluOp operation) {
  const std::size_t radix = copies.size();
  const Value first = work.op(operation, copies[0], copies[1]);
  if (radix == 2) return first;
  if (radix == 3) return work.op(operation, first, work.op(AluOp::Pass, copies[2]));
  const Value second = work.op(operation, copies[2], copies[3]);
  const Value last = radix == 5 ? work.op(AluOp::Pass, copies[4]) : Value{};
  const Value four = work.op(operation, first, second);
  return radix == 5 ? work.op(operation, four, last) : four;
}

}  // namespace

Value reduce_lanes(Work& work, Value value, AluOp operation, Hemisphere side, int lanes,
                   const AddMap& add_map) {
  int distance = lanes;
  for (const int radix : reduction_radices(lanes)) {
    distance /= radix;
    std::vector<Value> copies;
    for (int i = 0; i < radix; ++i) {
      copies.push_back(work.permuted(value, side, add_map(rotation(lanes, i * distance))));
    }
    value = combine(work, copies, operation);
  }
  return value;
}

}  // namespace tandem::lpu
