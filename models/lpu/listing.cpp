#include "models/lpu/listing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <vector>

namespace tandem::lpu {
namespace {

using Out = std::back_insert_iterator<std::string>;

std::string list_access(const MemAccess& access) {
  using Kind = MemAccess::Kind;
  const char* verb = access.kind == Kind::Read     ? "read"
                     : access.kind == Kind::Write  ? "write"
                     : access.kind == Kind::Gather ? "gather"
                                                   : "scatter";
  std::string text = fmt::format("{} {}:{}", verb, access.bank, access.row);
  if (access.reg != 0) text += fmt::format("+r{}", access.reg);
  if (access.generated) text += "+ag";
  text += fmt::format(" {}", name_of(access.stream));
  if (access.kind == Kind::Gather || access.kind == Kind::Scatter) {
    text += fmt::format(" map {}", name_of(access.map));
  }
  return text;
}

std::string list_operand(const AluOperand& operand, std::uint32_t immediate) {
  switch (operand.kind) {
    case AluOperand::Kind::None:
      return "none";
    case AluOperand::Kind::Stream:
      return name_of(operand.stream);
    case AluOperand::Kind::Alu:
      return fmt::format("alu{}", operand.alu);
    case AluOperand::Kind::Immediate:
      return fmt::format("#{:08x}", immediate);
  }
  return "none";
}

std::string list_alu(const Instruction& i) {
  std::string text = fmt::format("alu {}", name_of(i.alu_op));
  if (i.alu_op == AluOp::Convert || i.from != Type::Float32) {
    text += fmt::format(":{}", name_of(i.from));
  }
  text += fmt::format(" {} {}", name_of(i.type), list_operand(i.x, i.immediate));
  if (operand_count(i.alu_op) == 2) text += fmt::format(" {}", list_operand(i.y, i.immediate));
  if (i.has_out) text += fmt::format(" -> {}", name_of(i.out));
  return text;
}

std::string list_loop(const Instruction& i) {
  std::string text = i.op == Opcode::LoopReg ? fmt::format("loopreg r{}", i.reg)
                                             : fmt::format("{} {}", name_of(i.op), i.count);
  if (i.op != Opcode::Repeat) text += fmt::format(" width {}", i.width);
  text += fmt::format(" interval {}", i.interval);
  if (i.stride != 0) text += fmt::format(" stride {}", i.stride);
  return text;
}

std::string list_control(const Instruction& i) {
  switch (i.op) {
    case Opcode::Sync:
    case Opcode::Notify:
    case Opcode::Deskew:
      return std::string(name_of(i.op));
    case Opcode::Nop:
    case Opcode::Config:
    case Opcode::RuntimeDeskew:
      return fmt::format("{} {}", name_of(i.op), i.count);
    case Opcode::Select:
      return fmt::format("select r{} blocks {} width {} interval {}", i.reg, i.count, i.width,
                         i.interval);
    case Opcode::AGen:
      return fmt::format("agen step {} iters {} countdown {}", i.stride, i.count, i.width);
    case Opcode::Ifetch:
      return fmt::format("ifetch {}", name_of(i.in));
    case Opcode::Flag:
      return fmt::format("flag r{} {}", i.reg, name_of(i.in));
    default:
      return list_loop(i);
  }
}

std::string list_matrix(const Instruction& i) {
  switch (i.op) {
    case Opcode::LoadWeights:
      return fmt::format("lw plane {} group {} {}", i.plane, i.column_group, name_of(i.in));
    case Opcode::InstallWeights:
      return fmt::format("iw plane {}", i.plane);
    case Opcode::Activate:
      return fmt::format("abc plane {} {} {} acc {}{}{}", i.plane, name_of(i.type), name_of(i.in),
                         i.accumulator, i.add ? " add" : "", i.halves == 2 ? " halves 2" : "");
    default:
      return fmt::format("acc plane {} acc {} {} -> {}", i.plane, i.accumulator, name_of(i.type),
                         name_of(i.out));
  }
}

// Cycle of first issue of each word, as far as a listing can tell it.
struct Cursor {
  std::int64_t cycle = 0;
  bool after_sync = false;
  std::vector<std::int64_t> starts;

  std::string step(const Instruction& word) {
    starts.push_back(cycle);
    const std::string at = fmt::format("{}{}", after_sync ? "+" : "", cycle);
    switch (word.op) {
      case Opcode::Nop:
      case Opcode::RuntimeDeskew:
        cycle += word.count;
        return fmt::format("to {}{}", after_sync ? "+" : "", cycle);
      case Opcode::Repeat:
        cycle += std::int64_t{word.interval} * word.count;
        return fmt::format("last at {}{}", after_sync ? "+" : "", cycle - 1);
      case Opcode::Loop:
      case Opcode::LoopReg: {
        const std::size_t body =
            starts.size() - 1 - std::min<std::size_t>(word.width, starts.size() - 1);
        cycle = starts[body] + std::int64_t{word.interval} * (word.count + 1);
        return fmt::format("body from {}{}, to {}{}", after_sync ? "+" : "", starts[body],
                           after_sync ? "+" : "", cycle);
      }
      case Opcode::Deskew:
        return fmt::format("to the next HAC overflow after {}", at);
      case Opcode::Select:
        return fmt::format("blocks from {}", at);
      case Opcode::Sync:
        after_sync = true;
        cycle = 0;
        return at;
      default:
        cycle += queue_cycles(word);
        return at;
    }
  }
};

// The lines that say to which operator the words below belong.
class OperatorLines {
 public:
  OperatorLines(const ProgramMarks& marks, std::size_t queue) : marks_(marks) {
    if (queue < marks.queues.size()) spans_ = marks.queues[queue];
  }
  void list(std::size_t word, Out out) {
    for (; next_ < spans_.size() && spans_[next_].first_word == word; ++next_) {
      const std::uint16_t mark = spans_[next_].mark;
      if (mark == no_operator) {
        fmt::format_to(out, " of none\n");
      } else {
        fmt::format_to(out, " of {:<46} ; {}\n", mark, marks_.operators[mark]);
      }
    }
  }

 private:
  const ProgramMarks& marks_;
  std::span<const OperatorSpan> spans_;
  std::size_t next_ = 0;
};

void list_head(const ProgramImage& image, const Geometry& geometry, Out out) {
  const Program& program = image.program;
  if (!program.chip.empty()) fmt::format_to(out, "chip {}\n", program.chip);
  for (std::size_t i = 0; i < program.register_limits.size(); ++i) {
    if (program.register_limits[i] != 0) {
      fmt::format_to(out, "limit r{} {}\n", i, program.register_limits[i]);
    }
  }
  for (const auto& map : program.maps) {
    fmt::format_to(out, "map");
    for (const auto lane : map) {
      if (lane == 0xffff) {
        fmt::format_to(out, " -");
      } else {
        fmt::format_to(out, " {}", lane);
      }
    }
    fmt::format_to(out, "\n");
  }
  for (std::size_t queue = 0; queue < program.preloaded.size(); ++queue) {
    fmt::format_to(out, "preload {} {}\n", geometry.queue_name(static_cast<int>(queue)),
                   program.preloaded[queue]);
  }
  if (!program.rows_used.empty()) fmt::format_to(out, "rows_used\n");
  for (std::size_t i = 0; i < program.rows_used.size(); ++i) {
    if (program.rows_used[i] == 0) continue;
    const auto banks = static_cast<std::size_t>(geometry.banks);
    fmt::format_to(out, "rows {} {} {}\n", i / banks, i % banks, program.rows_used[i]);
  }
  for (const std::string& name : program.marks.operators) {
    fmt::format_to(out, "operator {}\n", name);
  }
  for (const MemoryImageRow& row : image.rows) {
    fmt::format_to(out, "data {} {} {} ", row.slice, row.bank, row.row);
    for (const auto byte : row.bytes) fmt::format_to(out, "{:02x}", byte);
    fmt::format_to(out, "\n");
  }
}

}  // namespace

std::string list_instruction(const Instruction& i) {
  switch (i.op) {
    case Opcode::Mem: {
      std::string text = fmt::format("mem {}", list_access(i.access[0]));
      if (i.access[1].kind != MemAccess::Kind::None) {
        text += fmt::format(" | {}", list_access(i.access[1]));
      }
      return text;
    }
    case Opcode::Alu:
      return list_alu(i);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return list_matrix(i);
    case Opcode::Shift:
      return fmt::format("shift {} {} by {} -> {}", name_of(i.type), name_of(i.in), i.amount,
                         name_of(i.out));
    case Opcode::Permute:
    case Opcode::Distribute:
      return fmt::format("{} {} {} map {} -> {}", name_of(i.op), name_of(i.type), name_of(i.in),
                         i.map, name_of(i.out));
    case Opcode::Transpose16:
      return fmt::format("transpose {} -> {}", name_of(i.in), name_of(i.out));
    case Opcode::Rotate:
      return fmt::format("rotate {} by {} -> {}", name_of(i.in), i.amount, name_of(i.out));
    case Opcode::Sel3:
      return fmt::format("sel3 {} {} by {} map {} -> {}", name_of(i.type), name_of(i.in), i.amount,
                         i.map, name_of(i.out));
    case Opcode::Send:
      return fmt::format("send link {} {}", i.link, name_of(i.in));
    case Opcode::Recv:
      return fmt::format("recv link {} -> {}", i.link, name_of(i.out));
    case Opcode::Transmit:
      return fmt::format("transmit link {}", i.link);
    default:
      return list_control(i);
  }
}

std::string list_program(const ProgramImage& image, const Geometry& geometry) {
  const ProgramMarks& marks = image.program.marks;
  std::string text;
  const Out out(text);
  list_head(image, geometry, out);
  for (std::size_t queue = 0; queue < image.program.queues.size(); ++queue) {
    const QueueProgram& words = image.program.queues[queue];
    if (words.empty()) continue;
    fmt::format_to(out, "\nqueue {}\n", geometry.queue_name(static_cast<int>(queue)));
    Cursor cursor;
    OperatorLines operators(marks, queue);
    for (const Instruction& word : words) {
      operators.list(cursor.starts.size(), out);
      const std::string line = list_instruction(word);
      fmt::format_to(out, "  {:<48} ; {}\n", line, cursor.step(word));
    }
  }
  return text;
}

std::string list_program(const Program& program, const Geometry& geometry) {
  return list_program(ProgramImage{program, {}}, geometry);
}

}  // namespace tandem::lpu
