#include "models/lpu/isa.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

constexpr std::array<std::string_view, opcode_count> opcode_names = {"nop",        "repeat",
                                                                     "loop",       "loopreg",
                                                                     "sync",       "notify",
                                                                     "mem",        "alu",
                                                                     "lw",         "iw",
                                                                     "abc",        "acc",
                                                                     "shift",      "permute",
                                                                     "distribute", "transpose",
                                                                     "send",       "recv",
                                                                     "ifetch",     "select",
                                                                     "config",     "agen",
                                                                     "rotate",     "sel3",
                                                                     "deskew",     "runtime_deskew",
                                                                     "transmit",   "flag"};

constexpr std::array<std::string_view, type_count> type_names = {
    "int8", "fp8_e4m3", "fp8_e5m2", "float16", "bfloat16", "int32", "float32", "int16"};

constexpr std::array<std::string_view, alu_op_count> alu_names = {
    "add",  "sub",   "mul",   "max",  "min",     "gt",      "select",    "and",     "or",
    "xor",  "shl",   "shr",   "pass", "neg",     "abs",     "relu",      "convert", "exp",
    "tanh", "rsqrt", "recip", "log2", "acc_add", "acc_max", "acc_clear", "mask",    "eq"};

}  // namespace

std::string_view name_of(Opcode op) {
  return opcode_names[static_cast<std::size_t>(op)];
}
std::string_view name_of(Type type) {
  return type_names[static_cast<std::size_t>(type)];
}
std::string_view name_of(AluOp op) {
  return alu_names[static_cast<std::size_t>(op)];
}

std::string name_of(StreamRef stream) {
  return fmt::format("{}{}", stream.direction == Direction::East ? 'E' : 'W', stream.id);
}

bool is_queue_control(Opcode op) {
  return op <= Opcode::Sync || op == Opcode::Select || op == Opcode::Deskew ||
         op == Opcode::RuntimeDeskew;
}

int operand_count(AluOp op) {
  return op <= AluOp::ShiftRight || op == AluOp::CmpEqual ? 2 : 1;
}

bool is_special(AluOp op) {
  return op >= AluOp::Exp && op <= AluOp::Log2;
}

int switch_inputs(const Instruction& instruction) {
  if (instruction.op == Opcode::Rotate) return 1;
  if (instruction.op == Opcode::Transpose16) return 16;
  return streams_of(instruction.type);
}

int switch_outputs(const Instruction& instruction) {
  if (instruction.op == Opcode::Rotate) return instruction.amount * instruction.amount;
  return switch_inputs(instruction);
}

int queue_cycles(const Instruction& instruction) {
  return instruction.op == Opcode::Activate ? instruction.halves : 1;
}

Direction outward(Hemisphere side) {
  return side == Hemisphere::East ? Direction::East : Direction::West;
}

Direction inward(Hemisphere side) {
  return side == Hemisphere::East ? Direction::West : Direction::East;
}

ElementType element_type(Type type) {
  switch (type) {
    case Type::Int8:
      return ElementType::Int8;
    case Type::Fp8E4m3:
      return ElementType::Fp8E4m3;
    case Type::Fp8E5m2:
      return ElementType::Fp8E5m2;
    case Type::Float16:
      return ElementType::Float16;
    case Type::Bfloat16:
      return ElementType::Bfloat16;
    case Type::Int32:
      return ElementType::Int32;
    case Type::Float32:
      return ElementType::Float32;
    case Type::Int16:
      throw ModelError("lpu.isa: int16 is a format of the vector unit only");
  }
  return ElementType::Float32;
}

}  // namespace tandem::lpu
