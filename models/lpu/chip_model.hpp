// The LPU as the engine knows it: one more kind of chip.
#pragma once

#include <memory>

#include "models/lpu/chip_params.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// A chip model from a chip file's parameters. Throws ModelError where they contradict each other.
[[nodiscard]] std::unique_ptr<ChipModel> make_lpu_chip(const Chip& chip, const Software& software);

/// The catalogue's line.
[[nodiscard]] ChipModelEntry lpu_entry();

}  // namespace tandem::lpu
