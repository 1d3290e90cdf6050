// Links and instruction control: C2C, Ifetch, flags and the power of superlanes.
#include <fmt/format.h>

#include <algorithm>

#include "models/lpu/encoding.hpp"
#include "models/lpu/machine_core.hpp"

namespace tandem::lpu {

void Machine::Core::take_link(int link, std::int64_t cycle) {
  std::int64_t& free = link_free_[static_cast<std::size_t>(link)];
  if (cycle < free) fail("H6", fmt::format("link {} is busy until cycle {}", link, free));
  free = cycle + geometry_.link_class(link).cycles_per_vector;
  ++counts_.c2c_vectors;
  outbound_.push_back({link, cycle, {}});
}

void Machine::Core::execute_link(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  if (instruction.op == Opcode::Recv) return receive(instruction, issue.cycle);
  take_link(instruction.link, issue.cycle);
  std::vector<std::uint8_t>& sent = outbound_.back().bytes;
  if (instruction.op == Opcode::Transmit) {
    if (!functional_) return;
    sent.resize(sram_.row_bytes());
    for (std::size_t i = 0; i < sizeof issue.cycle; ++i) {
      sent[i] = static_cast<std::uint8_t>(static_cast<std::uint64_t>(issue.cycle) >> (8 * i));
    }
    return;
  }
  const std::uint8_t* bytes = consume(instruction.in, position(), issue.cycle);
  if (functional_) sent.assign(bytes, bytes + sram_.row_bytes());
}

void Machine::Core::receive(const Instruction& instruction, std::int64_t cycle) {
  auto& arrivals = arrivals_[instruction.link];
  if (arrivals.empty()) fail("H6", fmt::format("no vector arrives on link {}", instruction.link));
  if (arrivals.front().cycle != cycle) {
    fail("H6", fmt::format("the next vector on link {} arrives in cycle {}", instruction.link,
                           arrivals.front().cycle));
  }
  std::uint8_t* out = produce(instruction.out, position(), cycle);
  if (functional_) std::copy(arrivals.front().bytes.begin(), arrivals.front().bytes.end(), out);
  arrivals.pop_front();
}

// The bytes must be the words that the program says come next: what is issued, and when, does not
// depend on data.
void Machine::Core::fetch(const Issue& issue) {
  consume_group(issue.instruction->in, fetch_vectors, position(), issue.cycle);
  if (!functional_ || issue.fetched < 0) return;
  const QueueProgram& words = program_.queues[static_cast<std::size_t>(queue_)];
  const std::size_t per_vector = sram_.row_bytes() / instruction_bytes;
  for (std::size_t i = 0; i < fetch_vectors * per_vector; ++i) {
    const std::size_t word = static_cast<std::size_t>(issue.fetched) + i;
    const auto expected = word < words.size() ? encode(words[word]) : EncodedInstruction{};
    const std::uint8_t* found = in_[i / per_vector] + i % per_vector * instruction_bytes;
    if (!std::equal(expected.begin(), expected.end(), found)) {
      fail("H10", fmt::format("what ifetch brings is not word {} of the program", word));
    }
  }
}

// Timed-only runs know no data: the register keeps the host's value.
void Machine::Core::set_flag(const Issue& issue) {
  const Instruction& instruction = *issue.instruction;
  consume_group(instruction.in, 2, geometry_.vxm_position(), issue.cycle);
  if (!functional_) return;
  const auto value = static_cast<std::uint16_t>(in_[0][0] + 256 * in_[1][0]);
  const std::uint16_t limit = program_.register_limits[instruction.reg];
  if (value > limit) {
    fail("H10", fmt::format("flag sets register {} to {}; the program allows up to {}",
                            instruction.reg, value, limit));
  }
  flagged_registers_[instruction.reg] = value;
}

void Machine::Core::switch_power() {
  powered_ = next_powered_;
  powered_until_ = INT64_MAX;
  streams_.set_superlanes(powered_);
}

const std::uint8_t* Machine::Core::powered_part(const std::uint8_t* bytes) {
  if (masked_used_ == masked_.size()) masked_.emplace_back(sram_.row_bytes());
  std::vector<std::uint8_t>& copy = masked_[masked_used_++];
  std::fill(std::copy_n(bytes, powered_lanes(), copy.begin()), copy.end(), std::uint8_t{0});
  return copy.data();
}

void Machine::Core::clear_unpowered() {
  const std::size_t first = powered_lanes();
  for (std::uint8_t* bytes : produced_) {
    std::fill(bytes + first, bytes + sram_.row_bytes(), std::uint8_t{0});
  }
  produced_.clear();
  masked_used_ = 0;
}

}  // namespace tandem::lpu
