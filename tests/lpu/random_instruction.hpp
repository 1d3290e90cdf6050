// Random legal instructions of a chip, for round-trip properties.
#pragma once

#include "models/lpu/isa.hpp"
#include "sim/core/random.hpp"

namespace tandem::lpu::testing {

/// An instruction that find_illegality() accepts on the queue that is written to `queue`, or a word
/// of queue control. Maps 0 (Permute), 1 (Distribute) and 2 (Sel3) of
/// `legal_maps()` are used.
[[nodiscard]] Instruction random_instruction(RandomStream& random, const Geometry& geometry,
                                             int& queue);
[[nodiscard]] std::vector<std::vector<std::uint16_t>> legal_maps(const Geometry& geometry);

/// The two chips of the tests: the published LPU v1 and the estimate of the LP30 (320-byte vectors,
/// 44 or 80 slices per hemisphere, narrow or wide weight path).
[[nodiscard]] Geometry lpu_v1();
[[nodiscard]] Geometry lp30();

}  // namespace tandem::lpu::testing
