#include "models/lpu/machine_vxm.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/special.hpp"

namespace tandem::lpu {
namespace {

using Bits = std::uint32_t;

float as_float(Bits bits) {
  return std::bit_cast<float>(bits);
}
Bits as_bits(float value) {
  return std::bit_cast<Bits>(value);
}
std::int32_t as_int(Bits bits) {
  return std::bit_cast<std::int32_t>(bits);
}
Bits as_bits(std::int32_t value) {
  return std::bit_cast<Bits>(value);
}

constexpr Bits sign_bit = 0x80000000U;

Bits mask_of(Type type) {
  const int bits = 8 * streams_of(type);
  return bits == 32 ? ~Bits{0} : (Bits{1} << bits) - 1;
}

// int16 is known here only: conversion to it rounds to nearest even and saturates, NaN gives 0.
Bits encode_int16(float value) {
  if (std::isnan(value)) return 0;
  const float rounded = std::nearbyint(std::clamp(value, -32768.0F, 32767.0F));
  return static_cast<std::uint16_t>(static_cast<std::int16_t>(rounded));
}

Bits convert(Type from, Type to, Bits value) {
  value &= mask_of(from);
  if (from == to) return value;
  const float number = from == Type::Int16 ? static_cast<float>(static_cast<std::int16_t>(value))
                                           : decode_element(element_type(from), value);
  if (to == Type::Int16) return encode_int16(number);
  return encode_element(element_type(to), number) & mask_of(to);
}

Bits float_operation(AluOp op, float x, float y) {
  switch (op) {
    case AluOp::Add:
    case AluOp::AccAdd:
      return as_bits(x + y);
    case AluOp::Sub:
      return as_bits(x - y);
    case AluOp::Mul:
      return as_bits(x * y);
    case AluOp::Max:
    case AluOp::AccMax:
      return as_bits(x > y ? x : y);
    case AluOp::Min:
      return as_bits(x < y ? x : y);
    case AluOp::CmpGreater:
      return as_bits(x > y ? 1.0F : 0.0F);
    case AluOp::CmpEqual:
      return as_bits(x == y ? 1.0F : 0.0F);
    case AluOp::Mask:
      return x != 0.0F ? ~Bits{0} : 0;
    case AluOp::Neg:
      return as_bits(x) ^ sign_bit;
    case AluOp::Abs:
      return as_bits(x) & ~sign_bit;
    case AluOp::Relu:
      return as_bits(x > 0.0F ? x : 0.0F);
    case AluOp::Exp:
      return as_bits(special::exp(x));
    case AluOp::Tanh:
      return as_bits(special::tanh(x));
    case AluOp::Rsqrt:
      return as_bits(special::rsqrt(x));
    case AluOp::Recip:
      return as_bits(special::recip(x));
    case AluOp::Log2:
      return as_bits(special::log2(x));
    default:
      throw ModelError("lpu.vxm: not an arithmetic operation");
  }
}

Bits integer_operation(AluOp op, Bits x, Bits y) {
  switch (op) {
    case AluOp::Add:
    case AluOp::AccAdd:
      return x + y;
    case AluOp::Sub:
      return x - y;
    case AluOp::Mul:
      return x * y;
    case AluOp::Max:
    case AluOp::AccMax:
      return as_bits(std::max(as_int(x), as_int(y)));
    case AluOp::Min:
      return as_bits(std::min(as_int(x), as_int(y)));
    case AluOp::CmpGreater:
      return as_int(x) > as_int(y) ? as_bits(1.0F) : 0;
    case AluOp::CmpEqual:
      return x == y ? as_bits(1.0F) : 0;
    case AluOp::Mask:
      return x != 0 ? ~Bits{0} : 0;
    case AluOp::Neg:
      return 0U - x;
    case AluOp::Abs:
      return (x & sign_bit) != 0 ? 0U - x : x;
    case AluOp::Relu:
      return (x & sign_bit) != 0 ? 0U : x;
    default:
      throw ModelError("lpu.vxm: not an integer operation");
  }
}

Bits bit_operation(AluOp op, Bits x, Bits y) {
  switch (op) {
    case AluOp::And:
      return x & y;
    case AluOp::Or:
      return x | y;
    case AluOp::Xor:
      return x ^ y;
    case AluOp::ShiftLeft:
      return x << (y & 31U);
    default:
      return x >> (y & 31U);
  }
}

template <class Operation>
void each_lane(std::span<const Bits> x, std::span<const Bits> y, LaneValues& result,
               Operation operation) {
  for (std::size_t lane = 0; lane < x.size(); ++lane) {
    result[lane] = operation(x[lane], y.empty() ? 0U : y[lane]);
  }
}

}  // namespace

void apply_alu(const Instruction& instruction, std::span<const Bits> x, std::span<const Bits> y,
               std::span<const Bits> own, LaneValues& running, LaneValues& result) {
  const AluOp op = instruction.alu_op;
  switch (op) {
    case AluOp::Pass:
      return each_lane(x, y, result, [](Bits a, Bits) { return a; });
    case AluOp::Convert:
      return each_lane(x, y, result, [&](Bits a, Bits) {
        return convert(instruction.from, instruction.type, a);
      });
    case AluOp::Select:
      for (std::size_t lane = 0; lane < x.size(); ++lane) {
        const bool keep = (x[lane] & sign_bit) != 0 || x[lane] == 0;
        result[lane] = keep ? own[lane] : y[lane];
      }
      return;
    case AluOp::And:
    case AluOp::Or:
    case AluOp::Xor:
    case AluOp::ShiftLeft:
    case AluOp::ShiftRight:
      return each_lane(x, y, result, [op](Bits a, Bits b) { return bit_operation(op, a, b); });
    case AluOp::AccClear:
      if (x.empty()) std::fill(running.begin(), running.end(), 0U);
      std::copy(x.begin(), x.end(), running.begin());
      result = running;
      return;
    default:
      break;
  }
  const bool accumulates = op == AluOp::AccAdd || op == AluOp::AccMax;
  const std::span<const Bits> a = accumulates ? std::span<const Bits>(running) : x;
  const std::span<const Bits> b = accumulates ? x : y;
  if (instruction.type == Type::Int32) {
    each_lane(a, b, result, [op](Bits p, Bits q) { return integer_operation(op, p, q); });
  } else {
    each_lane(a, b, result,
              [op](Bits p, Bits q) { return float_operation(op, as_float(p), as_float(q)); });
  }
  if (accumulates) running = result;
}

void join_bytes(std::span<const std::uint8_t* const> group, LaneValues& lanes) {
  std::fill(lanes.begin(), lanes.end(), 0U);
  for (std::size_t byte = 0; byte < group.size(); ++byte) {
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      lanes[lane] |= Bits{group[byte][lane]} << (8 * byte);
    }
  }
}

void spread_bytes(const LaneValues& lanes, std::span<std::uint8_t* const> group) {
  for (std::size_t byte = 0; byte < group.size(); ++byte) {
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      group[byte][lane] = static_cast<std::uint8_t>(lanes[lane] >> (8 * byte));
    }
  }
}

AluRegisters::AluRegisters(const Geometry& geometry, bool functional)
    : functional_(functional), alus_(static_cast<std::size_t>(geometry.vxm_alus)) {
  const auto lanes = functional ? static_cast<std::size_t>(geometry.lanes()) : 0;
  for (Alu& alu : alus_) {
    alu.output.assign(lanes, 0);
    alu.running.assign(lanes, 0);
  }
}

void AluRegisters::clear() {
  for (Alu& alu : alus_) {
    for (Pending& pending : alu.pending) pending.cycle = INT64_MAX;
    alu.waiting = 0;
    alu.holds = false;
    alu.started = false;
  }
}

bool AluRegisters::land(int alu, std::int64_t cycle, const LaneValues& value) {
  Alu& unit = alus_[static_cast<std::size_t>(alu)];
  // No result lands later than `in_flight` cycles ahead, so what a slot still holds is in the past.
  Pending& slot = unit.pending[static_cast<std::size_t>(cycle) % in_flight];
  if (slot.cycle == cycle) return false;
  if (slot.cycle != INT64_MAX) (void)holds_value(alu, slot.cycle);
  slot.cycle = cycle;
  if (functional_) slot.value = value;
  ++unit.waiting;
  return true;
}

bool AluRegisters::holds_value(int alu, std::int64_t cycle) {
  Alu& unit = alus_[static_cast<std::size_t>(alu)];
  if (unit.waiting == 0) return unit.holds;
  Pending* latest = nullptr;
  for (Pending& pending : unit.pending) {
    if (pending.cycle > cycle) continue;
    --unit.waiting;
    if (latest == nullptr || pending.cycle > latest->cycle) {
      if (latest != nullptr) latest->cycle = INT64_MAX;
      latest = &pending;
    } else {
      pending.cycle = INT64_MAX;
    }
  }
  if (latest == nullptr) return unit.holds;
  if (functional_) std::swap(unit.output, latest->value);
  latest->cycle = INT64_MAX;
  unit.holds = true;
  return true;
}

}  // namespace tandem::lpu
