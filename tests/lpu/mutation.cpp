#include "tests/lpu/mutation.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "models/lpu/verifier.hpp"

namespace tandem::lpu::testing {
namespace {

using Image = std::optional<ProgramImage>;

// One attempt: a copy of the program in which something is changed. Members return false where the
// program has nothing to change.
class Mutation {
 public:
  Mutation(const RandomProgram& program, const ProgramImage& original, RandomStream& random,
           const Geometry& geometry)
      : program_(program), original_(original), random_(random), g_(geometry) {}

  bool apply(int hazard) {
    switch (hazard) {
      case 1:
        return break_queue();
      case 2:
        return break_bank();
      case 3:
        return overwrite(false);
      case 4:
        return break_operand();
      case 5:
        return break_plane();
      case 6:
        return break_link();
      case 7:
        return below(4) == 0 ? move_weight_streams() : overwrite(true);
      case 8:
        return break_capacity();
      case 9:
        return read_too_soon();
      default:
        return true;  // H10 changes words, not items
    }
  }
  Image image(int hazard) {
    ProgramImage result = emit(program_, g_);
    if (limit_ > 0) result.program.register_limits[1] = static_cast<std::uint16_t>(limit_);
    result.program.rows_used = rows_used_;
    if (hazard == 10 && !break_sync(result.program)) return std::nullopt;
    if (result.program == original_.program) return std::nullopt;
    return result;
  }

 private:
  int below(int n) { return static_cast<int>(random_.integer(0, n - 1)); }

  QueueItem* find(int queue, std::int64_t start) {
    auto& items = program_.items[queue];
    const auto found = std::find_if(items.begin(), items.end(),
                                    [&](const QueueItem& item) { return item.start == start; });
    return found == items.end() ? nullptr : &*found;
  }
  // A random item of one of the roles, with its queue.
  std::pair<int, QueueItem*> pick(std::initializer_list<Role> roles) {
    std::vector<std::pair<int, std::int64_t>> fitting;
    for (const auto& [role, queue, start] : program_.roles) {
      if (std::find(roles.begin(), roles.end(), role) != roles.end()) {
        fitting.emplace_back(queue, start);
      }
    }
    if (fitting.empty()) return {0, nullptr};
    const auto [queue, start] =
        fitting[static_cast<std::size_t>(below(static_cast<int>(fitting.size())))];
    return {queue, find(queue, start)};
  }
  bool in_order(int queue) {
    auto& items = program_.items[queue];
    std::sort(items.begin(), items.end(),
              [](const QueueItem& a, const QueueItem& b) { return a.start < b.start; });
    std::int64_t free = release_cycle;
    for (const QueueItem& item : items) {
      if (item.start < free) return false;
      free = item.end;
    }
    return true;
  }
  bool move(int queue, QueueItem& item, std::int64_t by) {
    item.start += by;
    item.end += by;
    return in_order(queue);
  }
  bool remove(int queue, const QueueItem* item) {
    auto& items = program_.items[queue];
    items.erase(items.begin() + (item - items.data()));
    return true;
  }
  bool insert(int queue, std::int64_t start, const Instruction& word) {
    program_.items[queue].push_back({start, start + 1, {word}});
    return in_order(queue);
  }
  int shift() { return (1 + below(3)) * (below(2) == 0 ? 1 : -1); }

  bool break_queue() {
    if (below(3) == 0) {  // a Repeat that follows a NOP
      const auto [queue, item] = pick({Role::Reader, Role::Consumer});
      if (item == nullptr || item->words.back().op != Opcode::Repeat) return false;
      Instruction nop;
      nop.count = static_cast<std::uint16_t>(1 + below(3));
      item->words.insert(item->words.end() - 1, nop);
      return true;
    }
    const auto [queue, item] = pick({Role::Loop});
    if (item == nullptr) return false;
    Instruction& loop = item->words.back();
    const int body = item->words[1].count + 2;
    switch (below(3)) {
      case 0:
        loop.interval = static_cast<std::uint16_t>(1 + below(body - 1));
        return true;
      case 1:
        item->words[1].count = static_cast<std::uint16_t>(loop.interval - 1 + below(5));
        return true;
      default:
        loop.width = static_cast<std::uint16_t>(4 + below(3));
        return true;
    }
  }

  Instruction read_of(int bank, int row, StreamRef stream) {
    Instruction word;
    word.op = Opcode::Mem;
    word.access[0].kind = MemAccess::Kind::Read;
    word.access[0].bank = static_cast<std::uint8_t>(bank);
    word.access[0].row = static_cast<std::uint16_t>(row);
    word.access[0].stream = stream;
    return word;
  }
  StreamRef any_stream() {
    return {below(2) == 0 ? Direction::East : Direction::West,
            static_cast<std::uint16_t>(below(32))};
  }

  bool break_bank() {
    const auto [queue, item] = pick({Role::Gather, Role::Pair});
    if (item == nullptr) return false;
    auto& access = item->words[0].access;
    if (access[1].kind != MemAccess::Kind::None) {
      access[1].bank = access[0].bank;
    } else if (below(2) == 0) {  // the cycle after the gather
      item->words.push_back(read_of(below(2), below(100), any_stream()));
    } else {  // two gathers in one word
      access[1] = access[0];
      access[1].bank = static_cast<std::uint8_t>(1 - access[0].bank);
      access[1].stream = any_stream();
    }
    return true;
  }

  // A slice on the way of a vector puts another one into its place before it is read.
  bool overwrite(bool weights) {
    std::vector<Flight> fitting;
    for (const Flight& flight : program_.flights) {
      if (flight.weights == weights) fitting.push_back(flight);
    }
    if (fitting.empty()) return false;
    const Flight& flight =
        fitting[static_cast<std::size_t>(below(static_cast<int>(fitting.size())))];
    const int from = g_.queue_position(flight.producer), to = g_.queue_position(flight.consumer);
    const int slice = below(g_.mem_slices());
    const int here = g_.mem_position(slice);
    if (slice == flight.producer || here < std::min(from, to) || here > std::max(from, to)) {
      return false;
    }
    const std::int64_t issue = flight.consumed - std::abs(to - here) - 2;
    constexpr int row = 4000;
    MemoryImageRow data;
    data.slice = static_cast<std::uint16_t>(slice);
    data.row = row;
    for (int i = 0; i < g_.vector_bytes(); ++i) {
      data.bytes.push_back(static_cast<std::uint8_t>(random_.next()));
    }
    program_.rows.push_back(std::move(data));
    return insert(slice, issue, read_of(0, row, flight.stream));
  }

  bool break_operand() {
    const auto [queue, item] = pick({Role::Consumer, Role::Alu, Role::Switch, Role::Activate});
    if (item == nullptr) return false;
    Instruction& word = item->words[0];
    StreamRef& operand = word.op == Opcode::Mem   ? word.access[0].stream
                         : word.op == Opcode::Alu ? word.x.stream
                                                  : word.in;
    switch (below(3)) {
      case 0:
        return move(queue, *item, shift());
      case 1:  // another half of the streams: results of one instruction lie in one half
        operand.id ^= 16U;
        break;
      default:
        operand.direction =
            operand.direction == Direction::East ? Direction::West : Direction::East;
    }
    return !is_carried(operand, queue, item->start);
  }
  // Whether some other flow has a vector in that cell: reading it is another program, not a broken
  // one, and no verifier can know which was meant.
  bool is_carried(StreamRef stream, int queue, std::int64_t cycle) const {
    const int direction = stream.direction == Direction::East ? 1 : -1;
    const std::int64_t key = cycle - direction * g_.queue_position(queue);
    return std::any_of(program_.flights.begin(), program_.flights.end(), [&](const Flight& flight) {
      return flight.stream == stream &&
             flight.consumed - direction * g_.queue_position(flight.consumer) == key;
    });
  }

  bool break_plane() {
    const auto [queue, item] = pick({Role::Load, Role::Install, Role::Activate, Role::Emit});
    if (item == nullptr) return false;
    Instruction& word = item->words[0];
    switch (word.op) {
      case Opcode::LoadWeights:
        return remove(queue, item);
      case Opcode::InstallWeights:
        if (below(2) == 0) return remove(queue, item);
        return move(queue, *item, below(2) == 0 ? -1 - below(6) : 1 + below(12));
      case Opcode::Activate:
        word.add = !word.add;
        return true;
      default:
        if (below(2) == 0) return move(queue, *item, -1 - below(12));
        word.accumulator = static_cast<std::uint8_t>((word.accumulator + 1 + below(126)) % 128);
        return true;
    }
  }

  bool break_link() {
    const auto [queue, item] = pick({Role::Send, Role::Receive});
    if (item == nullptr) return false;
    Instruction& word = item->words[0];
    if (below(4) == 0) {
      word.link = static_cast<std::uint8_t>((word.link + 1 + below(15)) % 16);
      return true;
    }
    if (word.op == Opcode::Recv) {
      return below(4) == 0 ? remove(queue, item) : move(queue, *item, shift());
    }
    // The second of two Sends, before the link is free again.
    auto& items = program_.items[queue];
    if (item == items.data()) return false;
    QueueItem& before = *(item - 1);
    const std::int64_t start = before.start + 1 + below(25);
    before.end = start;
    item->start = start;
    item->end = start + 27;
    return true;
  }

  bool move_weight_streams() {
    const auto [queue, item] = pick({Role::Load});
    if (item == nullptr) return false;
    StreamRef& stream = item->words[0].in;
    stream.id = static_cast<std::uint16_t>((stream.id + 1 + below(31)) % 32);
    return true;
  }

  bool break_capacity() {
    const auto [queue, item] = pick({Role::Reader, Role::Consumer, Role::ReadAgain});
    if (item == nullptr) return false;
    const auto word = std::find_if(item->words.begin(), item->words.end(),
                                   [](const Instruction& w) { return w.op == Opcode::Mem; });
    MemAccess& access = word->access[0];
    const int rows = g_.rows_per_bank;
    Instruction& last = item->words.back();
    if (access.reg != 0 && below(2) == 0) {
      limit_ = rows - access.row + below(100);
    } else if (last.op == Opcode::Repeat && below(2) == 0) {
      last.stride = static_cast<std::int16_t>(rows + below(1000));
    } else if (below(4) == 0) {
      rows_used_.assign(static_cast<std::size_t>(g_.mem_slices() * g_.banks),
                        static_cast<std::uint16_t>(rows + below(2)));
    } else {
      access.row = static_cast<std::uint16_t>(rows + below(1000));
    }
    return true;
  }

  // A row read in the cycle after its write; one time in five two cycles after it, which is right.
  bool read_too_soon() {
    const auto [queue, item] = pick({Role::Consumer});
    if (item == nullptr || item->words.size() != 1) return false;
    const MemAccess& write = item->words[0].access[0];
    const std::int64_t start = item->start + (below(5) == 0 ? 2 : 1);
    return insert(queue, start, read_of(write.bank, write.row, any_stream()));
  }

  bool break_sync(Program& program) {
    std::vector<QueueProgram*> used;
    for (QueueProgram& words : program.queues) {
      if (!words.empty()) used.push_back(&words);
    }
    QueueProgram& words = *used[static_cast<std::size_t>(below(static_cast<int>(used.size())))];
    switch (below(4)) {
      case 0:  // no Notify
        used[0]->erase(used[0]->begin());
        return true;
      case 1: {  // no Sync
        words.erase(std::find_if(words.begin(), words.end(),
                                 [](const Instruction& w) { return w.op == Opcode::Sync; }));
        return true;
      }
      case 2: {  // one Sync more, that nobody ends
        Instruction sync;
        sync.op = Opcode::Sync;
        words.insert(words.end() - 1, sync);
        return true;
      }
      default: {  // a loop around the first Sync
        Instruction loop;
        loop.op = Opcode::Loop;
        loop.count = 1;
        loop.width = static_cast<std::uint16_t>(words.size());
        loop.interval = 60000;
        words.push_back(loop);
        return true;
      }
    }
  }

  RandomProgram program_;
  const ProgramImage& original_;
  RandomStream& random_;
  const Geometry& g_;
  int limit_ = 0;
  std::vector<std::uint16_t> rows_used_;
};

}  // namespace

std::optional<ProgramImage> mutate(const RandomProgram& program, const ProgramImage& original,
                                   int hazard, RandomStream& random, const Geometry& geometry) {
  Mutation mutation(program, original, random, geometry);
  if (!mutation.apply(hazard)) return std::nullopt;
  return mutation.image(hazard);
}

Outcome run_checked(const ProgramImage& image, const RandomProgram& program,
                    std::uint16_t register_value, const Geometry& geometry) {
  Outcome outcome;
  Machine machine(geometry, {}, true);
  try {
    machine.load(image);
    if (register_value != 0) machine.set_register(1, register_value);
    outcome.outbound = machine.run(program.inbound).outbound;
  } catch (const ScheduleError&) {
    outcome.faulted = true;
    return outcome;
  }
  for (const Place& place : program.targets) {
    outcome.rows.push_back(machine.read_row(place.slice, place.bank, place.row));
  }
  for (const MemoryImageRow& row : program.rows) {
    outcome.rows.push_back(machine.read_row(row.slice, row.bank, row.row));
  }
  return outcome;
}

Verdict judge(const ProgramImage& mutant, const ProgramImage& original,
              const RandomProgram& program, const Geometry& geometry, std::string& rule) {
  const auto found = verify(mutant.program, geometry, {});
  rule = found.empty() ? "" : found[0].rule;
  bool faults = false, differs = false;
  const std::uint16_t limit = mutant.program.register_limits[1];
  for (const std::uint16_t value : {std::uint16_t{0}, limit}) {
    const Outcome outcome = run_checked(mutant, program, value, geometry);
    faults = faults || outcome.faulted;
    if (faults || value > original.program.register_limits[1]) continue;
    differs = differs || outcome != run_checked(original, program, value, geometry);
  }
  if (found.empty()) {
    return faults ? Verdict::AcceptedAndFaults
                  : (differs ? Verdict::AcceptedAndDiffers : Verdict::AcceptedAndSame);
  }
  return faults ? Verdict::RejectedAndFaults
                : (differs ? Verdict::RejectedAndDiffers : Verdict::RejectedAndSame);
}

}  // namespace tandem::lpu::testing
