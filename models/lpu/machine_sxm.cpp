// The switch unit: vectors whose lanes change places.
#include <algorithm>

#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {
namespace {

constexpr int transposed_streams = 16;

}  // namespace

void Machine::Core::execute_switch(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  const int unit = queue_ - geometry_.sxm_queue(Hemisphere::West, 0);
  const auto side =
      unit < geometry_.sxm_queues_per_hemisphere ? Hemisphere::West : Hemisphere::East;
  const int position = geometry_.sxm_position(side);
  const bool transposes = instruction.op == Opcode::Transpose16;
  const int width = transposes ? transposed_streams : streams_of(instruction.type);
  const int latency = transposes                             ? latency_.sxm_transpose
                      : instruction.op == Opcode::Distribute ? latency_.sxm_distribute
                                                             : latency_.sxm_cross;
  ++counts_.sxm_ops;
  consume_group(instruction.in, width, position, issue.cycle);
  produce_group(instruction.out, width, position, issue.cycle + latency);
  if (!functional_) return;
  if (transposes) return transpose();
  switch_group(instruction);
}

void Machine::Core::switch_group(const Instruction& instruction) {
  const int lanes = geometry_.lanes();
  const int per_superlane = geometry_.lanes_per_superlane;
  const int width = streams_of(instruction.type);
  for (int lane = 0; lane < lanes; ++lane) {
    int source = -1;  // no lane: zero
    if (instruction.op == Opcode::Shift) {
      source = lane - instruction.amount;
    } else {
      const auto& map = program_.maps[instruction.map];
      const bool whole = instruction.op == Opcode::Permute;
      const int within = whole ? lane : lane % per_superlane;
      const std::uint16_t entry = map[static_cast<std::size_t>(within)];
      if (entry != 0xffff) source = whole ? entry : lane - within + entry;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(width); ++i) {
      out_[i][lane] = source >= 0 && source < lanes ? in_[i][source] : std::uint8_t{0};
    }
  }
}

void Machine::Core::transpose() {
  const int per_superlane = geometry_.lanes_per_superlane;
  for (int superlane = 0; superlane < geometry_.superlanes; ++superlane) {
    const int first = superlane * per_superlane;
    for (int j = 0; j < transposed_streams; ++j) {
      for (int i = 0; i < per_superlane; ++i) {
        out_[static_cast<std::size_t>(j)][first + i] = in_[static_cast<std::size_t>(i)][first + j];
      }
    }
  }
}

}  // namespace tandem::lpu
