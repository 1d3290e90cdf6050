#include "models/lpu/encoding.hpp"

#include <fmt/format.h>

#include <type_traits>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

constexpr int word_bits = 8 * instruction_bytes;
constexpr int opcode_bits = 5;

std::uint64_t low_mask(int bits) {
  return (std::uint64_t{1} << bits) - 1;
}

// Appends fields to a word, lowest bits first.
class BitWriter {
 public:
  template <class T>
  void field(const T& value, int bits, std::uint64_t /*values*/ = 0) {
    put(raw(value, bits), bits);
  }
  [[nodiscard]] const EncodedInstruction& word() const { return word_; }

 private:
  template <class T>
  static std::uint64_t raw(const T& value, int bits) {
    const auto wide = static_cast<std::uint64_t>(value);
    if constexpr (std::is_signed_v<T>) return wide & low_mask(bits);
    if (wide > low_mask(bits)) {
      throw ModelError(fmt::format("lpu.encoding: {} does not fit in {} bits", wide, bits));
    }
    return wide;
  }
  void put(std::uint64_t value, int bits) {
    for (int i = 0; i < bits; ++i, ++at_) {
      const auto bit = static_cast<unsigned>((value >> i) & 1);
      auto& byte = word_[static_cast<std::size_t>(at_ / 8)];
      byte = static_cast<std::uint8_t>(byte | (bit << (at_ % 8)));
    }
  }
  EncodedInstruction word_{};
  int at_ = 0;
};

// Takes fields from a word, lowest bits first.
class BitReader {
 public:
  explicit BitReader(std::span<const std::uint8_t, instruction_bytes> word) : word_(word) {}
  template <class T>
  void field(T& value, int bits, std::uint64_t values = 0) {
    const std::uint64_t raw = get(bits);
    if (values != 0 && raw >= values) {
      throw ModelError(fmt::format("lpu.encoding: field value {} is not one of {}", raw, values));
    }
    value = static_cast<T>(raw);
  }
  void expect_rest_is_zero() {
    while (at_ < word_bits) {
      if (get(1) != 0) throw ModelError("lpu.encoding: a bit that the opcode does not use is set");
    }
  }

 private:
  std::uint64_t get(int bits) {
    std::uint64_t value = 0;
    for (int i = 0; i < bits; ++i, ++at_) {
      const unsigned byte = word_[static_cast<std::size_t>(at_ / 8)];
      value |= std::uint64_t{(byte >> (at_ % 8)) & 1U} << i;
    }
    return value;
  }
  std::span<const std::uint8_t, instruction_bytes> word_;
  int at_ = 0;
};

template <class Codec, class Value>
void stream(Codec& codec, Value& value) {
  codec.field(value.direction, 1);
  codec.field(value.id, stream_id_bits);
}

// 3 + 4 + 12 + 1 + 16 + 11 + 11 = 58 bits, so two accesses and the opcode take 121.
template <class Codec, class Access>
void mem_access(Codec& codec, Access& access) {
  codec.field(access.kind, 3, 5);
  codec.field(access.bank, 4);
  codec.field(access.reg, host_register_bits);
  codec.field(access.generated, 1);
  codec.field(access.row, 16);
  stream(codec, access.stream);
  stream(codec, access.map);
}

template <class Codec, class Operand>
void alu_operand(Codec& codec, Operand& operand) {
  codec.field(operand.kind, 2);
  if (operand.kind == AluOperand::Kind::Stream) stream(codec, operand.stream);
  if (operand.kind == AluOperand::Kind::Alu) codec.field(operand.alu, stream_id_bits);
}

// At most 5 + 5 + 3 + 3 + 13 + 13 + 32 + 12 = 86 bits.
template <class Codec, class Value>
void alu_fields(Codec& codec, Value& v) {
  codec.field(v.alu_op, 5, alu_op_count);
  codec.field(v.from, 3, type_count);
  codec.field(v.type, 3, type_count);
  alu_operand(codec, v.x);
  alu_operand(codec, v.y);
  codec.field(v.immediate, 32);
  codec.field(v.has_out, 1);
  if (v.has_out) stream(codec, v.out);
}

template <class Codec, class Value>
void queue_fields(Codec& codec, Value& v) {
  const bool loops = v.op == Opcode::Loop || v.op == Opcode::LoopReg;
  const bool selects = v.op == Opcode::Select;
  const bool generates = v.op == Opcode::AGen;
  if (loops || selects || generates) codec.field(v.width, 16);
  if (v.op == Opcode::LoopReg || selects) codec.field(v.reg, host_register_bits);
  if (v.op != Opcode::LoopReg) codec.field(v.count, 16);
  if (loops || selects || v.op == Opcode::Repeat) codec.field(v.interval, 16);
  if (loops || generates || v.op == Opcode::Repeat) codec.field(v.stride, 16);
}

template <class Codec, class Value>
void link_fields(Codec& codec, Value& v) {
  codec.field(v.link, 8);
  if (v.op == Opcode::Send) stream(codec, v.in);
  if (v.op == Opcode::Recv) stream(codec, v.out);
}

template <class Codec, class Value>
void matrix_fields(Codec& codec, Value& v) {
  codec.field(v.plane, 8);
  if (v.op == Opcode::LoadWeights) {
    codec.field(v.column_group, 8);
    stream(codec, v.in);
  } else if (v.op != Opcode::InstallWeights) {
    codec.field(v.type, 3, type_count);
    codec.field(v.accumulator, 8);
    if (v.op == Opcode::Emit) return stream(codec, v.out);
    codec.field(v.add, 1);
    codec.field(v.halves, 2);
    stream(codec, v.in);
  }
}

template <class Codec, class Value>
void switch_fields(Codec& codec, Value& v) {
  const bool typed = v.op != Opcode::Transpose16 && v.op != Opcode::Rotate;
  const bool mapped = typed && v.op != Opcode::Shift;
  const bool moves = v.op == Opcode::Shift || v.op == Opcode::Sel3 || v.op == Opcode::Rotate;
  if (typed) codec.field(v.type, 3, type_count);
  if (moves) codec.field(v.amount, 16);
  if (mapped) codec.field(v.map, 16);
  stream(codec, v.in);
  stream(codec, v.out);
}

// The one description of the layout; it both writes and reads.
template <class Codec, class Value>
void fields(Codec& codec, Value& v) {
  codec.field(v.op, opcode_bits, opcode_count);
  switch (v.op) {
    case Opcode::Nop:
    case Opcode::Repeat:
    case Opcode::Loop:
    case Opcode::LoopReg:
    case Opcode::Select:
    case Opcode::Config:
    case Opcode::AGen:
    case Opcode::RuntimeDeskew:
      return queue_fields(codec, v);
    case Opcode::Sync:
    case Opcode::Notify:
    case Opcode::Deskew:
      return;
    case Opcode::Ifetch:
      return stream(codec, v.in);
    case Opcode::Flag:
      codec.field(v.reg, host_register_bits);
      return stream(codec, v.in);
    case Opcode::Mem:
      mem_access(codec, v.access[0]);
      return mem_access(codec, v.access[1]);
    case Opcode::Alu:
      return alu_fields(codec, v);
    case Opcode::LoadWeights:
    case Opcode::InstallWeights:
    case Opcode::Activate:
    case Opcode::Emit:
      return matrix_fields(codec, v);
    case Opcode::Shift:
    case Opcode::Permute:
    case Opcode::Distribute:
    case Opcode::Transpose16:
    case Opcode::Rotate:
    case Opcode::Sel3:
      return switch_fields(codec, v);
    case Opcode::Send:
    case Opcode::Recv:
    case Opcode::Transmit:
      return link_fields(codec, v);
  }
}

}  // namespace

EncodedInstruction encode(const Instruction& instruction) {
  BitWriter writer;
  fields(writer, instruction);
  if (decode(writer.word()) != instruction) {
    throw ModelError(fmt::format("lpu.encoding: a field that '{}' does not use is set",
                                 name_of(instruction.op)));
  }
  return writer.word();
}

Instruction decode(std::span<const std::uint8_t, instruction_bytes> bytes) {
  Instruction instruction;
  BitReader reader(bytes);
  fields(reader, instruction);
  reader.expect_rest_is_zero();
  return instruction;
}

}  // namespace tandem::lpu
