// Flows through the less usual instructions: rows scattered by a map, 16 vectors transposed, a
// cycle transmitted, both banks in one word. Inside of random_program().
#pragma once

#include "tests/lpu/flow_builder.hpp"

namespace tandem::lpu::testing {

class UnusualFlows : public FlowBuilder {
 public:
  using FlowBuilder::FlowBuilder;

 protected:
  // A vector into four rows, superlane by superlane, by a map whose rows are 0..3.
  void scatter() {
    const int slice = any_slice(), id = 2 * below(16), data = below(32);
    const std::int64_t issue = start();
    const int half = g_.mem_slices_per_hemisphere;
    const int base = slice < half ? 0 : half;
    const int maps = base + below(half), more = base + below(half), source = any_slice();
    if (toward(maps, slice, id).direction != toward(more, slice, id).direction) throw Conflict{};
    (void)read_for(maps, slice, id, issue);
    for (auto& byte : program_.rows.back().bytes) byte &= 3U;
    (void)read_for(more, slice, id + 1, issue);
    program_.rows.back().bytes.assign(static_cast<std::size_t>(g_.vector_bytes()), 0);
    (void)read_for(source, slice, data, issue);
    Place place{slice, below(2), 0};
    place.row = new_row(slice, place.bank, 4);
    for (int i = 0; i < 4; ++i) program_.targets.push_back({slice, place.bank, place.row + i});
    MemAccess word = access(MemAccess::Kind::Scatter, place, toward(source, slice, data));
    word.map = toward(maps, slice, id);
    add(Role::Gather, slice, issue, 2, {mem(word)}, 0);
  }

  // All 16 results exist; one of them is kept.
  void transpose() {
    static constexpr int vectors = 16;
    const auto side = below(2) == 0 ? Hemisphere::West : Hemisphere::East;
    const int half = g_.mem_slices_per_hemisphere;
    const int base = side == Hemisphere::West ? 0 : half;
    const int queue = g_.sxm_queue(side, below(2));
    const std::int64_t issue = start() + 20;
    Instruction word;
    word.op = Opcode::Transpose16;
    word.in = {outward(side), static_cast<std::uint16_t>(vectors * below(2))};
    word.out = {inward(side), static_cast<std::uint16_t>(vectors * below(2))};
    const int first = below(half - vectors);
    for (int i = 0; i < vectors; ++i)
      (void)read_for(base + first + i, queue, word.in.id + i, issue);
    add(Role::Switch, queue, issue, 1, {word});
    const int kept = below(vectors);
    const std::int64_t there = issue + transpose_latency;
    for (int i = 0; i < vectors; ++i) {
      if (i == kept) continue;
      const int travelled = word.out.direction == Direction::East ? at(queue) : -at(queue);
      if (!cells_.emplace(word.out.direction, word.out.id + i, there - travelled).second) {
        throw Conflict{};
      }
    }
    (void)write_from(queue, issue, there,
                     {word.out.direction, static_cast<std::uint16_t>(word.out.id + kept)},
                     base + below(half));
  }

  // Both banks of a slice in one word.
  void pair_of_copies() {
    const int source = any_slice();
    const std::int64_t issue = start();
    std::array<MemAccess, 2> reads;
    std::array<Place, 2> from;
    std::array<int, 2> targets{any_slice(), any_slice()};
    for (int bank = 0; bank < 2; ++bank) {
      const auto i = static_cast<std::size_t>(bank);
      from[i] = {source, bank, new_row(source, bank)};
      fill(from[i]);
      reads[i] = access(MemAccess::Kind::Read, from[i], toward(source, targets[i], below(32)));
    }
    add(Role::Pair, source, issue, 1, {mem(reads[0], reads[1])});
    for (std::size_t i = 0; i < 2; ++i) {
      const Place to = write_from(source, issue, issue + read_latency, reads[i].stream, targets[i]);
      program_.copies.emplace_back(from[i], to);
    }
  }

  // Has no operand: what leaves is the cycle.
  void transmit() {
    const int link = below(g_.link_count());
    const std::int64_t issue = start();
    Instruction word;
    word.op = Opcode::Transmit;
    word.link = static_cast<std::uint8_t>(link);
    add(Role::Transmit, g_.c2c_queue(link), issue, link_interval, {word}, 0);
  }
};

}  // namespace tandem::lpu::testing
