// A direct network of chips, level by level: no switches, every link joins two chips. What the
// numbers mean in cycles is for the chip model that schedules the links.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/describe/parameter.hpp"

namespace tandem {

/// How the units of a level are joined; a unit of the innermost level is one chip, one of the next
/// level everything below it. U units, P ports per chip at this level.
enum class Wiring : std::uint8_t {
  Complete,   ///< every chip to the chip of its index in all other units: P >= U - 1
  Dragonfly,  ///< every unit to every other with equally many links, ports spread over its chips
  Ring,       ///< the first half of a unit's chips to the units 1..P ahead, the second half behind
  Chain,      ///< units in a row: half of the ports to the next unit, half to the one before
};
[[nodiscard]] std::string_view name_of(Wiring wiring);

/// One level of a fabric, from the file's `levels`; numbers in fabric_level_schema().
struct FabricLevel {
  std::string name;
  Wiring wiring = Wiring::Complete;
  ParameterSet parameters;
};

/// The network of one kind of chip, innermost level first.
struct Fabric {
  std::string name;
  std::string chip;         ///< whose links these are
  ParameterSet parameters;  ///< fabric_schema()
  std::vector<FabricLevel> levels;
};

/// Numbers of a fabric as a whole, and of each of its levels.
[[nodiscard]] ParameterSchema fabric_schema();
[[nodiscard]] ParameterSchema fabric_level_schema();

}  // namespace tandem
