// Vector unit: what an ALU operation computes, and the output registers through which ALUs feed
// each other.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "models/lpu/isa.hpp"

namespace tandem::lpu {

using LaneValues = std::vector<std::uint32_t>;

/// Applies one operation to every lane. `own` is the ALU's output register (Select), `running` its
/// running value (AccAdd, AccMax, AccClear), which is updated. Operands that an operation lacks may
/// be empty. Floating operations are IEEE single precision, rounded to nearest even; Max is
/// x > y ? x : y, Min x < y ? x : y, Relu x > 0 ? x : 0; integers wrap; shifts are logical and use
/// the low five bits of y; Abs, Neg on Float32 change the sign bit only.
void apply_alu(const Instruction& instruction, std::span<const std::uint32_t> x,
               std::span<const std::uint32_t> y, std::span<const std::uint32_t> own,
               LaneValues& running, LaneValues& result);

/// Joins the bytes of an aligned group, lowest first, to one value per lane; zero above the group.
void join_bytes(std::span<const std::uint8_t* const> group, LaneValues& lanes);
/// Spreads the low bytes of every lane over an aligned group.
void spread_bytes(const LaneValues& lanes, std::span<std::uint8_t* const> group);

/// Output registers and running values of all ALUs. A result waits until its cycle comes and then
/// stays until the next one lands.
class AluRegisters {
 public:
  /// Latencies must be below this.
  static constexpr std::size_t in_flight = 16;
  AluRegisters(const Geometry& geometry, bool functional);
  void clear();
  /// Announces a result. False where another result of the ALU lands in the same cycle.
  [[nodiscard]] bool land(int alu, std::int64_t cycle, const LaneValues& value);
  /// Whether the register holds anything at `cycle`; cycles of calls do not decrease.
  [[nodiscard]] bool holds_value(int alu, std::int64_t cycle);
  /// The value at the cycle of the last holds_value() call.
  [[nodiscard]] std::span<const std::uint32_t> value(int alu) const {
    return alus_[static_cast<std::size_t>(alu)].output;
  }
  [[nodiscard]] LaneValues& running(int alu) {
    return alus_[static_cast<std::size_t>(alu)].running;
  }
  /// Whether AccClear has run; AccAdd and AccMax need it.
  [[nodiscard]] bool& started(int alu) { return alus_[static_cast<std::size_t>(alu)].started; }

 private:
  struct Pending {
    std::int64_t cycle = INT64_MAX;
    LaneValues value;
  };
  struct Alu {
    std::array<Pending, in_flight> pending;
    std::size_t waiting = 0;
    LaneValues output;
    LaneValues running;
    bool holds = false;
    bool started = false;
  };
  bool functional_;
  std::vector<Alu> alus_;
};

}  // namespace tandem::lpu
