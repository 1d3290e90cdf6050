// From items with cycles to words with NOPs.
#include <stdexcept>

#include "tests/lpu/random_program.hpp"

namespace tandem::lpu::testing {
namespace {

Instruction control(Opcode op, std::int64_t count = 0) {
  Instruction word;
  word.op = op;
  word.count = static_cast<std::uint16_t>(count);
  return word;
}

}  // namespace

ProgramImage emit(const RandomProgram& program, const Geometry& geometry) {
  ProgramImage image;
  image.program.queues.resize(static_cast<std::size_t>(geometry.queue_count()));
  image.program.maps = program.maps;
  image.program.register_limits[1] = static_cast<std::uint16_t>(program.register_limit);
  image.rows = program.rows;
  bool first = true;
  for (const auto& [queue, items] : program.items) {
    QueueProgram& words = image.program.queues[static_cast<std::size_t>(queue)];
    if (first) words.push_back(control(Opcode::Notify));
    first = false;
    words.push_back(control(Opcode::Sync));
    std::int64_t cycle = release_cycle;
    for (const QueueItem& item : items) {
      if (item.start < cycle) throw std::logic_error("items of a queue overlap");
      if (item.start > cycle) words.push_back(control(Opcode::Nop, item.start - cycle));
      words.insert(words.end(), item.words.begin(), item.words.end());
      cycle = item.end;
      if (item.words.back().op != Opcode::Loop && item.end - item.start > 1 &&
          item.words.size() == 1) {
        words.push_back(control(Opcode::Nop, item.end - item.start - 1));
      }
    }
  }
  return image;
}

}  // namespace tandem::lpu::testing
