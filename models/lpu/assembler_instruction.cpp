// Instructions of the assembler, the mirror of listing.cpp.
#include <fmt/format.h>

#include <charconv>

#include "models/lpu/assembler_line.hpp"

namespace tandem::lpu {
namespace {

std::uint16_t word16(AssemblyLine& line, const char* what) {
  return static_cast<std::uint16_t>(line.number(what, 0, 65535));
}

std::uint8_t word8(AssemblyLine& line, const char* what) {
  return static_cast<std::uint8_t>(line.number(what, 0, 255));
}

// The enumerator whose name is `text`.
template <class Enum>
Enum enumerator(std::string_view text, int count, const char* what, const AssemblyLine& line) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const auto value = static_cast<Enum>(i);
    if (name_of(value) == text) return value;
    names.emplace_back(name_of(value));
  }
  const std::string near = closest_match(text, names);
  line.fail(fmt::format("unknown {} '{}'{}", what, text,
                        near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

Type parse_type(AssemblyLine& line) {
  return enumerator<Type>(line.word("an element type"), type_count, "type", line);
}

void parse_select(Instruction& i, AssemblyLine& line) {
  i.reg = line.host_register();
  line.expect("blocks");
  i.count = word16(line, "the number of blocks");
  line.expect("width");
  i.width = word16(line, "the width");
  line.expect("interval");
  i.interval = word16(line, "the interval");
}

void parse_generator(Instruction& i, AssemblyLine& line) {
  line.expect("step");
  i.stride = static_cast<std::int16_t>(line.number("the step", -32768, 32767));
  line.expect("iters");
  i.count = word16(line, "the steps");
  line.expect("countdown");
  i.width = word16(line, "the uses per step");
}

void parse_loop(Instruction& i, AssemblyLine& line) {
  if (i.op == Opcode::LoopReg) {
    i.reg = line.host_register();
  } else {
    i.count = word16(line, "the count");
  }
  if (i.op != Opcode::Repeat) {
    line.expect("width");
    i.width = word16(line, "the width");
  }
  line.expect("interval");
  i.interval = word16(line, "the interval");
  if (line.accept("stride")) {
    i.stride = static_cast<std::int16_t>(line.number("the stride", -32768, 32767));
  }
}

void parse_control(Instruction& i, AssemblyLine& line) {
  switch (i.op) {
    case Opcode::Sync:
    case Opcode::Notify:
    case Opcode::Deskew:
      return;
    case Opcode::Nop:
    case Opcode::Config:
    case Opcode::RuntimeDeskew:
      i.count = word16(line, "the count");
      return;
    case Opcode::Select:
      return parse_select(i, line);
    case Opcode::AGen:
      return parse_generator(i, line);
    case Opcode::Flag:
      i.reg = line.host_register();
      [[fallthrough]];
    case Opcode::Ifetch:
      i.in = line.stream();
      return;
    default:
      return parse_loop(i, line);
  }
}

// "BANK:ROW", then "+rN" where a host register is added and "+ag" where the address generator is.
void parse_place(MemAccess& access, AssemblyLine& line) {
  std::string_view text = line.word("BANK:ROW");
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    line.fail(fmt::format("'{}' is not a place such as 0:100 or 1:20+r3", text));
  }
  access.bank =
      static_cast<std::uint8_t>(line.parse_number(text.substr(0, colon), "the bank", 0, 15));
  text.remove_prefix(colon + 1);
  access.generated = text.ends_with("+ag");
  if (access.generated) text.remove_suffix(3);
  if (const std::size_t plus = text.find("+r"); plus != std::string_view::npos) {
    access.reg = static_cast<std::uint16_t>(
        line.parse_number(text.substr(plus + 2), "the host register", 0, host_registers - 1));
    text = text.substr(0, plus);
  }
  access.row = static_cast<std::uint16_t>(line.parse_number(text, "the row", 0, 65535));
}

MemAccess parse_access(AssemblyLine& line) {
  using Kind = MemAccess::Kind;
  MemAccess access;
  const std::string_view verb = line.word("read, write, gather or scatter");
  if (verb == "read") {
    access.kind = Kind::Read;
  } else if (verb == "write") {
    access.kind = Kind::Write;
  } else if (verb == "gather") {
    access.kind = Kind::Gather;
  } else if (verb == "scatter") {
    access.kind = Kind::Scatter;
  } else {
    line.fail(fmt::format("'{}' where read, write, gather or scatter is needed", verb));
  }
  parse_place(access, line);
  access.stream = line.stream();
  if (access.kind == Kind::Gather || access.kind == Kind::Scatter) {
    line.expect("map");
    access.map = line.stream();
  }
  return access;
}

AluOperand parse_operand(AssemblyLine& line, std::uint32_t& immediate) {
  AluOperand operand;
  if (line.accept("none")) return operand;
  if (line.next_starts_with("alu")) {
    operand.kind = AluOperand::Kind::Alu;
    operand.alu = static_cast<std::uint8_t>(
        line.parse_number(line.word("an ALU").substr(3), "the ALU", 0, 255));
  } else if (line.next_starts_with("#")) {
    operand.kind = AluOperand::Kind::Immediate;
    const std::string_view digits = line.word("an immediate").substr(1);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), immediate, 16);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      line.fail(fmt::format("'#{}' is not a 32-bit hexadecimal immediate", digits));
    }
  } else {
    operand.kind = AluOperand::Kind::Stream;
    operand.stream = line.stream();
  }
  return operand;
}

void parse_alu(Instruction& i, AssemblyLine& line) {
  std::string_view name = line.word("an ALU operation");
  if (const std::size_t colon = name.find(':'); colon != std::string_view::npos) {
    i.from = enumerator<Type>(name.substr(colon + 1), type_count, "type", line);
    name = name.substr(0, colon);
  }
  i.alu_op = enumerator<AluOp>(name, alu_op_count, "ALU operation", line);
  i.type = parse_type(line);
  i.x = parse_operand(line, i.immediate);
  if (operand_count(i.alu_op) == 2) i.y = parse_operand(line, i.immediate);
  i.has_out = line.accept("->");
  if (i.has_out) i.out = line.stream();
}

void parse_matrix(Instruction& i, AssemblyLine& line) {
  line.expect("plane");
  i.plane = word8(line, "the plane");
  switch (i.op) {
    case Opcode::LoadWeights:
      line.expect("group");
      i.column_group = word8(line, "the column group");
      i.in = line.stream();
      return;
    case Opcode::InstallWeights:
      return;
    case Opcode::Activate:
      i.type = parse_type(line);
      i.in = line.stream();
      line.expect("acc");
      i.accumulator = word8(line, "the accumulator");
      i.add = line.accept("add");
      if (line.accept("halves")) i.halves = static_cast<std::uint8_t>(line.number("halves", 1, 2));
      return;
    default:
      line.expect("acc");
      i.accumulator = word8(line, "the accumulator");
      i.type = parse_type(line);
      line.expect("->");
      i.out = line.stream();
  }
}

void parse_switch(Instruction& i, AssemblyLine& line) {
  const bool typed = i.op != Opcode::Transpose16 && i.op != Opcode::Rotate;
  if (typed) i.type = parse_type(line);
  i.in = line.stream();
  if (i.op == Opcode::Shift || i.op == Opcode::Sel3 || i.op == Opcode::Rotate) {
    line.expect("by");
    i.amount = static_cast<std::int16_t>(line.number("the amount", -32768, 32767));
  }
  if (typed && i.op != Opcode::Shift) {
    line.expect("map");
    i.map = word16(line, "the map");
  }
  line.expect("->");
  i.out = line.stream();
}

void parse_link(Instruction& i, AssemblyLine& line) {
  line.expect("link");
  i.link = word8(line, "the link");
  if (i.op == Opcode::Transmit) return;
  if (i.op == Opcode::Recv) line.expect("->");
  (i.op == Opcode::Send ? i.in : i.out) = line.stream();
}

}  // namespace

Instruction parse_instruction(std::string_view mnemonic, AssemblyLine& line) {
  Instruction i;
  i.op = enumerator<Opcode>(mnemonic, opcode_count, "instruction", line);
  switch (i.op) {
    case Opcode::Mem:
      i.access[0] = parse_access(line);
      if (line.accept("|")) i.access[1] = parse_access(line);
      break;
    case Opcode::Alu:
      parse_alu(i, line);
      break;
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      parse_matrix(i, line);
      break;
    case Opcode::Shift:
    case Opcode::Permute:
    case Opcode::Distribute:
    case Opcode::Transpose16:
    case Opcode::Rotate:
    case Opcode::Sel3:
      parse_switch(i, line);
      break;
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      parse_link(i, line);
      break;
    default:
      parse_control(i, line);
  }
  line.expect_end();
  return i;
}

}  // namespace tandem::lpu
