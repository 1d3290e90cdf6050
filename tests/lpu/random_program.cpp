#include "tests/lpu/random_program.hpp"

#include "tests/lpu/random_flows.hpp"

namespace tandem::lpu::testing {
namespace {

class Maker : public UnusualFlows {
 public:
  using UnusualFlows::UnusualFlows;

  RandomProgram make() {
    const int flows = 4 + below(9);
    for (int tries = 0, made = 0; made < flows && tries < 200; ++tries) {
      const auto before = *this_state();
      try {
        flow();
        ++made;
      } catch (const Conflict&) {
        restore(before);
      }
    }
    for (auto& [queue, items] : program_.items) {
      std::sort(items.begin(), items.end(),
                [](const QueueItem& a, const QueueItem& b) { return a.start < b.start; });
    }
    std::sort(program_.inbound.begin(), program_.inbound.end(),
              [](const LinkVector& a, const LinkVector& b) { return a.cycle < b.cycle; });
    return std::move(program_);
  }

 private:
  void flow() {
    switch (below(15)) {
      case 0:
        return copy_once();
      case 1:
        return copy_repeated();
      case 2:
        return copy_in_a_loop();
      case 3:
        return compute();
      case 4:
        return switch_lanes();
      case 5:
        return multiply();
      case 6:
        return gather();
      case 7:
        return send();
      case 8:
        return receive();
      case 9:
        return write_and_read_again();
      case 10:
        return pair_of_copies();
      case 11:
        return scatter();
      case 12:
        return transpose();
      case 13:
        return transmit();
      default:
        return generate();
    }
  }

  void copy_once() {
    const int source = any_slice(), target = any_slice(), id = below(32);
    const std::int64_t issue = start();
    Place from{source, below(2), 0};
    from.row = new_row(source, from.bank, 4);
    for (int i = 0; i < 4; ++i) fill({from.slice, from.bank, from.row + i});
    MemAccess read = access(MemAccess::Kind::Read, from, toward(source, target, id));
    const bool by_register = below(2) == 0;
    if (by_register) read.reg = 1;
    add(Role::Reader, source, issue, 1, {mem(read)});
    const Place to = write_from(source, issue, issue + read_latency, read.stream, target);
    if (!by_register) program_.copies.emplace_back(from, to);
  }

  void copy_repeated() {
    const int source = any_slice(), target = any_slice(), id = below(32);
    const int count = 2 + below(6), interval = 1 + below(5);
    const std::int64_t issue = start();
    Place from{source, below(2), 0}, to{target, below(2), 0};
    from.row = new_row(source, from.bank, count);
    to.row = new_row(target, to.bank, count);
    const StreamRef stream = toward(source, target, id);
    const std::int64_t length = std::int64_t{interval} * (count - 1) + 1;
    add(Role::Reader, source, issue, length,
        {mem(access(MemAccess::Kind::Read, from, stream)), repeat(count - 1, interval, 1)});
    std::int64_t there = 0;
    for (int i = 0; i < count; ++i) {
      const std::int64_t each = issue + std::int64_t{interval} * i;
      const std::int64_t arrives = fly(source, each, each + read_latency, target, id);
      if (i == 0) there = arrives;
      note_copy(from, to, i);
    }
    add(Role::Consumer, target, there, length,
        {mem(access(MemAccess::Kind::Write, to, stream)), repeat(count - 1, interval, 1)});
  }
  void note_copy(Place from, Place to, int i) {
    from.row += i;
    to.row += i;
    fill(from);
    program_.copies.emplace_back(from, to);
    program_.targets.push_back(to);
  }

  // Read, NOP, Read, all of it `count` times.
  void copy_in_a_loop() {
    const int source = any_slice(), target = any_slice(), id = below(32);
    const int gap = 1 + below(3), count = 2 + below(3), interval = gap + 2 + below(4);
    const std::int64_t issue = start();
    Place from{source, below(2), 0}, to{target, below(2), 0};
    from.row = new_row(source, from.bank, 2 * count);
    to.row = new_row(target, to.bank, 2 * count);
    const StreamRef stream = toward(source, target, id);
    const auto body = [&](MemAccess::Kind kind, Place place) {
      Instruction nop, loop;
      nop.count = static_cast<std::uint16_t>(gap);
      loop.op = Opcode::Loop;
      loop.count = static_cast<std::uint16_t>(count - 1);
      loop.width = 3;
      loop.interval = static_cast<std::uint16_t>(interval);
      loop.stride = 2;
      const Instruction first = mem(access(kind, place, stream));
      ++place.row;
      return std::vector<Instruction>{first, nop, mem(access(kind, place, stream)), loop};
    };
    const std::int64_t length = std::int64_t{interval} * count;
    const std::int64_t last = std::int64_t{interval} * (count - 1) + gap + 1;
    add(Role::Loop, source, issue, length, body(MemAccess::Kind::Read, from), last);
    std::int64_t there = 0;
    for (int i = 0; i < 2 * count; ++i) {
      const std::int64_t each = issue + std::int64_t{interval} * (i / 2) + (gap + 1) * (i % 2);
      const std::int64_t arrives = fly(source, each, each + read_latency, target, id);
      if (i == 0) there = arrives;
      note_copy(from, to, i);
    }
    add(Role::Loop, target, there, length, body(MemAccess::Kind::Write, to), last);
  }

  // One to four streams through one ALU, or two that feed each other.
  void compute() {
    static constexpr std::array<AluOp, 8> ops = {AluOp::Add, AluOp::Mul,  AluOp::Max,
                                                 AluOp::Neg, AluOp::Relu, AluOp::Rsqrt,
                                                 AluOp::Sub, AluOp::Tanh};
    Instruction word;
    word.op = Opcode::Alu;
    const bool converts = below(3) == 0;
    word.alu_op = converts ? AluOp::Convert : ops[static_cast<std::size_t>(below(8))];
    if (converts) word.from = static_cast<Type>(below(type_count));
    if (converts) word.type = static_cast<Type>(below(type_count));
    const int width = streams_of(converts ? word.from : word.type);
    const int out_width = streams_of(word.type);
    const bool special = is_special(word.alu_op);
    const int alu = special ? 3 + 4 * below(4) : below(16);
    const int queue = g_.vxm_queue(alu);
    const std::int64_t issue = start();
    const Direction side = below(2) == 0 ? Direction::East : Direction::West;
    const int id = width * below(32 / width), out = out_width * below(32 / out_width);
    for (int i = 0; i < width; ++i) {
      const int half = g_.mem_slices_per_hemisphere;
      const int slice = (side == Direction::East ? 0 : half) + below(half);
      (void)read_for(slice, queue, id + i, issue);
    }
    word.x = {AluOperand::Kind::Stream, {side, static_cast<std::uint16_t>(id)}, 0};
    if (operand_count(word.alu_op) == 2) {
      word.y.kind = AluOperand::Kind::Immediate;
      word.immediate = 0x40490fdbU;
    }
    word.has_out = true;
    word.out = {below(2) == 0 ? Direction::East : Direction::West, static_cast<std::uint16_t>(out)};
    add(Role::Alu, queue, issue, 1, {word});
    const std::int64_t landing = issue + (special ? special_latency : alu_latency);
    if (!cells_.emplace(Direction::East, 1000 + alu, landing).second) throw Conflict{};
    for (int i = 0; i < out_width; ++i) {
      const int half = g_.mem_slices_per_hemisphere;
      const int slice = (word.out.direction == Direction::East ? half : 0) + below(half);
      (void)write_from(queue, issue, landing,
                       {word.out.direction, static_cast<std::uint16_t>(out + i)}, slice);
    }
  }

  void switch_lanes() {
    static constexpr std::array<Opcode, 5> ops = {Opcode::Shift, Opcode::Permute,
                                                  Opcode::Distribute, Opcode::Sel3, Opcode::Rotate};
    Instruction word;
    word.op = ops[static_cast<std::size_t>(below(5))];
    const bool rotates = word.op == Opcode::Rotate;
    if (!rotates) word.type = Type::Int8;
    if (word.op == Opcode::Shift || word.op == Opcode::Sel3) {
      word.amount = static_cast<std::int16_t>(below(61) - 30);
    }
    if (word.op == Opcode::Distribute) word.map = 1;
    if (word.op == Opcode::Sel3) word.map = 2;
    if (rotates) word.amount = static_cast<std::int16_t>(3 + below(2));
    const auto side = below(2) == 0 ? Hemisphere::West : Hemisphere::East;
    const int queue = g_.sxm_queue(side, below(rotates ? 2 : g_.sxm_queues_per_hemisphere));
    const std::int64_t issue = start();
    const int id = below(32), out = rotates ? 16 * below(2) : below(32);
    const int base = side == Hemisphere::West ? 0 : g_.mem_slices_per_hemisphere;
    (void)read_for(base + below(g_.mem_slices_per_hemisphere), queue, id, issue);
    word.in = {outward(side), static_cast<std::uint16_t>(id)};
    word.out = {inward(side), static_cast<std::uint16_t>(out)};
    add(Role::Switch, queue, issue, 1, {word});
    const int latency = rotates                         ? transpose_latency
                        : word.op == Opcode::Distribute ? distribute_latency
                                                        : cross_latency;
    const int turns = rotates ? word.amount * word.amount : 1;
    const int kept = below(turns);
    for (int i = 0; i < turns; ++i) {
      if (i == kept) continue;
      const int travelled = word.out.direction == Direction::East ? at(queue) : -at(queue);
      if (!cells_.emplace(word.out.direction, out + i, issue + latency - travelled).second) {
        throw Conflict{};
      }
    }
    (void)write_from(queue, issue, issue + latency,
                     {word.out.direction, static_cast<std::uint16_t>(out + kept)},
                     base + below(g_.mem_slices_per_hemisphere));
  }

  // A tile of 16 columns, one or two activations, the sum out and into SRAM.
  void multiply() {
    const int plane = below(g_.planes);
    if (!cells_.emplace(Direction::East, 2000 + plane, 0).second) throw Conflict{};
    const auto side = g_.plane_hemisphere(plane);
    const int base = side == Hemisphere::West ? 0 : g_.mem_slices_per_hemisphere;
    const int weights = g_.mxm_weights_queue(plane), compute = g_.mxm_compute_queue(plane);
    const std::int64_t load = start() + 20;
    Instruction lw, iw, abc, acc;
    lw.op = Opcode::LoadWeights;
    iw.op = Opcode::InstallWeights;
    abc.op = Opcode::Activate;
    acc.op = Opcode::Emit;
    lw.plane = iw.plane = abc.plane = acc.plane = static_cast<std::uint8_t>(plane);
    lw.column_group = static_cast<std::uint8_t>(below(g_.lw_issues()));
    lw.in = {outward(side), static_cast<std::uint16_t>(16 * below(2))};
    const int first_slice = below(g_.mem_slices_per_hemisphere - 16);
    for (int i = 0; i < 16; ++i) {
      (void)read_for(base + first_slice + i, weights, lw.in.id + i, load, true);
      make_finite();
    }
    add(Role::Load, weights, load, 1, {lw});
    const std::int64_t install = load + 1 + below(3);
    add(Role::Install, weights, install, 1, {iw});
    abc.type = static_cast<Type>(below(3));
    abc.accumulator = acc.accumulator = static_cast<std::uint8_t>(below(g_.accumulators));
    std::int64_t last = install;
    for (int i = 0; i < 1 + below(2); ++i) {
      last += 1 + below(4);
      abc.in = {outward(side), static_cast<std::uint16_t>(below(32))};
      abc.add = i > 0;
      (void)read_for(base + below(g_.mem_slices_per_hemisphere), compute, abc.in.id, last);
      make_finite();
      add(Role::Activate, compute, last, 1, {abc});
    }
    acc.type = abc.type == Type::Int8 ? Type::Int32 : Type::Float32;
    acc.out = {inward(side), static_cast<std::uint16_t>(4 * below(8))};
    const std::int64_t emitted = last + result_latency + below(6);
    add(Role::Emit, compute, emitted, 1, {acc});
    for (int i = 0; i < 4; ++i) {
      (void)write_from(compute, emitted, emitted,
                       {acc.out.direction, static_cast<std::uint16_t>(acc.out.id + i)},
                       base + below(g_.mem_slices_per_hemisphere));
    }
  }

  // A row per superlane, by a map whose rows are 0..3.
  void gather() {
    const int slice = any_slice(), id = 2 * below(16), out = below(32);
    const std::int64_t issue = start();
    const int half = g_.mem_slices_per_hemisphere;
    const int maps = (slice < half ? 0 : half) + below(half),
              more = (slice < half ? 0 : half) + below(half);
    if (toward(maps, slice, id).direction != toward(more, slice, id).direction) throw Conflict{};
    (void)read_for(maps, slice, id, issue);
    for (auto& byte : program_.rows.back().bytes) byte &= 3U;
    (void)read_for(more, slice, id + 1, issue);
    program_.rows.back().bytes.assign(static_cast<std::size_t>(g_.vector_bytes()), 0);
    Place place{slice, below(2), 0};
    place.row = new_row(slice, place.bank, 4);
    for (int i = 0; i < 4; ++i) fill({slice, place.bank, place.row + i});
    const int target = any_slice();
    MemAccess word = access(MemAccess::Kind::Gather, place, toward(slice, target, out));
    word.map = toward(maps, slice, id);
    add(Role::Gather, slice, issue, 2, {mem(word)}, 0);
    (void)write_from(slice, issue, issue + gather_latency, word.stream, target);
  }

  void send() {
    const int link = below(g_.link_count());
    const int queue = g_.c2c_queue(link);
    const auto side = g_.link_hemisphere(link);
    std::int64_t issue = start();
    for (int i = 0; i < 2; ++i) {
      Instruction word;
      word.op = Opcode::Send;
      word.link = static_cast<std::uint8_t>(link);
      word.in = {outward(side), static_cast<std::uint16_t>(below(32))};
      (void)read_for(any_slice(), queue, word.in.id, issue);
      add(Role::Send, queue, issue, link_interval, {word}, 0);
      issue += link_interval + below(4);
    }
  }

  void receive() {
    const int link = below(g_.link_count());
    const int queue = g_.c2c_queue(link);
    const std::int64_t issue = start();
    Instruction word;
    word.op = Opcode::Recv;
    word.link = static_cast<std::uint8_t>(link);
    word.out = {inward(g_.link_hemisphere(link)), static_cast<std::uint16_t>(below(32))};
    add(Role::Receive, queue, issue, link_interval, {word}, 0);
    fill(write_from(queue, issue, issue, word.out, any_slice()));  // bytes for the vector only
    program_.inbound.push_back({link, issue, program_.rows.back().bytes});
    program_.rows.pop_back();
  }

  void write_and_read_again() {
    const int source = any_slice(), middle = any_slice(), target = any_slice();
    const int id = below(32), again = below(32);
    const std::int64_t issue = start();
    Place from{source, below(2), 0};
    from = read_place(from, middle, id, issue, false);
    cells_.erase({toward(source, middle, id).direction, id, key_of(source, middle, id, issue)});
    program_.flights.pop_back();
    const Place kept =
        write_from(source, issue, issue + read_latency, toward(source, middle, id), middle);
    const std::int64_t read = program_.flights.back().consumed + 2 + below(3);
    const StreamRef stream = toward(middle, target, again);
    add(Role::ReadAgain, middle, read, 1, {mem(access(MemAccess::Kind::Read, kept, stream))});
    const Place to = write_from(middle, read, read + read_latency, stream, target);
    program_.copies.emplace_back(from, to);
  }
  std::int64_t key_of(int source, int consumer, int id, std::int64_t issue) const {
    const bool east = toward(source, consumer, id).direction == Direction::East;
    return issue + read_latency - (east ? at(source) : -at(source));
  }

  // Reads whose rows the slice's address generator gives.
  void generate() {
    const int source = any_slice(), target = any_slice(), id = below(32);
    const int count = 3 + below(5), step = 1 + below(3);
    const std::int64_t issue = start();
    Instruction agen;
    agen.op = Opcode::AGen;
    agen.stride = static_cast<std::int16_t>(step);
    agen.count = static_cast<std::uint16_t>(1 + below(3));
    agen.width = static_cast<std::uint16_t>(1 + below(3));
    Place from{source, below(2), 0}, to{target, below(2), 0};
    from.row = new_row(source, from.bank, 16);
    to.row = new_row(target, to.bank, count);
    MemAccess read = access(MemAccess::Kind::Read, from, toward(source, target, id));
    read.generated = true;
    add(Role::Reader, source, issue, count + 1, {agen, mem(read), repeat(count - 1, 1, 0)});
    for (int i = 0; i < 16; ++i) fill({source, from.bank, from.row + i});
    std::int64_t there = 0;
    for (int i = 0; i < count; ++i) {
      const std::int64_t each = issue + 1 + i;
      const std::int64_t arrives = fly(source, each, each + read_latency, target, id);
      if (i == 0) there = arrives;
      Place taken = from, put = to;
      taken.row += step * (i / agen.width % agen.count);
      put.row += i;
      program_.copies.emplace_back(taken, put);
      program_.targets.push_back(put);
    }
    add(Role::Consumer, target, there, count,
        {mem(access(MemAccess::Kind::Write, to, read.stream)), repeat(count - 1, 1, 1)});
  }
};

}  // namespace

RandomProgram random_program(RandomStream& random, const Geometry& geometry) {
  return Maker(random, geometry).make();
}

}  // namespace tandem::lpu::testing
