// Reductions over all lanes of a vector through the switch unit.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "models/lpu/compiler/work.hpp"

namespace tandem::lpu {

/// Enters a permutation into the program's table; returns its index.
using AddMap = std::function<int(std::vector<std::uint16_t>)>;

/// A vector of which every lane is the reduction of all lanes of `value`: rounds of rotations by
/// multiples of a falling distance, each combined as ((0 1) (2 3)) 4. `value` must be the result of
/// an operation. Throws ModelError where the lanes have a prime factor above 5.
[[nodiscard]] Value reduce_lanes(Work& work, Value value, AluOp operation, Hemisphere side,
                                 int lanes, const AddMap& add_map);

}  // namespace tandem::lpu
