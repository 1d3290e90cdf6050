// What every operator of a schedule occupies: which unit binds it, and how far it moves the end of
// the program.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// Resources an operator may be bound by, in the order of `OperatorUse::busy`.
enum class Resource : std::uint8_t { SramPorts, Streams, Mxm, Vxm, Sxm, Links };
inline constexpr std::size_t resource_count = 6;
[[nodiscard]] const char* name_of(Resource resource);

/// Cycles of one operator in a finished schedule; loops count as one iteration.
struct OperatorUse {
  std::string name;
  std::int64_t first = 0;  ///< cycle of its first instruction
  std::int64_t last = 0;   ///< cycle of its last instruction
  /// Cycles by which it moves the end of the schedule: over all operators they sum to the program.
  std::int64_t adds = 0;
  /// Cycles in which the busiest port, weight queue or stream direction, plane, ALU, SXM queue and
  /// link work for it.
  std::array<std::int64_t, resource_count> busy{};
  [[nodiscard]] Resource busiest() const;
  [[nodiscard]] std::int64_t span() const { return last - first + 1; }
};

/// Cycles in which the busiest unit of each kind works for everything in `scheduler`.
[[nodiscard]] std::array<std::int64_t, resource_count> busy_cycles(const Scheduler& scheduler);

/// The operators in program order.
[[nodiscard]] std::vector<OperatorUse> operator_uses(const Scheduler& scheduler);

}  // namespace tandem::lpu
