// The switch unit: vectors whose lanes change places.
#include <algorithm>

#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {
namespace {

constexpr int transposed_streams = 16;

int latency_of(Opcode op, const LatencyTable& latency) {
  switch (op) {
    case Opcode::Transpose16:
      return latency.sxm_transpose;
    case Opcode::Rotate:
      return latency.sxm_rotate;
    case Opcode::Distribute:
      return latency.sxm_distribute;
    default:
      return latency.sxm_cross;
  }
}

}  // namespace

void Machine::Core::execute_switch(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  counts_.sxm_ops += powered_;
  consume_group(instruction.in, switch_inputs(instruction), position(), issue.cycle);
  produce_group(instruction.out, switch_outputs(instruction), position(),
                issue.cycle + latency_of(instruction.op, latency_));
  if (!functional_) return;
  if (instruction.op == Opcode::Transpose16) return transpose();
  if (instruction.op == Opcode::Rotate) return rotate(instruction);
  switch_group(instruction);
}

// The lane whose value goes to `lane`; -1 or beyond the last lane where that is zero.
int Machine::Core::source_lane(const Instruction& instruction, int lane) const {
  if (instruction.op == Opcode::Shift) return lane - instruction.amount;
  const auto& map = program_.maps[instruction.map];
  const int per_superlane = geometry_.lanes_per_superlane;
  const int within = instruction.op == Opcode::Distribute ? lane % per_superlane : lane;
  const std::uint16_t entry = map[static_cast<std::size_t>(within)];
  if (entry == 0xffff) return -1;
  switch (instruction.op) {
    case Opcode::Permute:
      return entry;
    case Opcode::Distribute:
      return lane - within + entry;
    default: {  // Sel3
      constexpr std::array<int, 3> side = {0, -1, 1};
      return lane + side[entry] * instruction.amount;
    }
  }
}

void Machine::Core::switch_group(const Instruction& instruction) {
  const int lanes = geometry_.lanes();
  const auto width = static_cast<std::size_t>(streams_of(instruction.type));
  for (int lane = 0; lane < lanes; ++lane) {
    const int source = source_lane(instruction, lane);
    for (std::size_t i = 0; i < width; ++i) {
      out_[i][lane] = source >= 0 && source < lanes ? in_[i][source] : std::uint8_t{0};
    }
  }
}

void Machine::Core::rotate(const Instruction& instruction) {
  const int n = instruction.amount;
  const int per_superlane = geometry_.lanes_per_superlane;
  for (int turn = 0; turn < n * n; ++turn) {
    std::uint8_t* out = out_[static_cast<std::size_t>(turn)];
    std::fill_n(out, sram_.row_bytes(), std::uint8_t{0});
    for (int superlane = 0; superlane < geometry_.superlanes; ++superlane) {
      const int first = superlane * per_superlane;
      for (int place = 0; place < n * n; ++place) {
        const int row = (place / n + turn / n) % n;
        const int column = (place % n + turn % n) % n;
        out[first + place] = in_[0][first + n * row + column];
      }
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
