// The LPU as the engine knows it: one more kind of chip.
#pragma once

#include <memory>

#include "models/lpu/chip_params.hpp"
#include "models/lpu/compiler/compiler.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::lpu {

/// A chip model from a chip file's parameters. Throws ModelError where they contradict each other.
[[nodiscard]] std::unique_ptr<ChipModel> make_lpu_chip(const Chip& chip, const Software& software);

/// Tokens of the widest passes that `chip`, an LPU, has programs for beside requests of
/// stage.longest_request tokens. Throws ModelError for other chips and where no such request fits.
[[nodiscard]] int widest_pass(const ChipModel& chip, const Stage& stage);

/// The very program with which simulate() answers for passes of so many tokens of a stage: laid out
/// beside buffers for the widest passes, with as much KV as fits. Throws ModelError as
/// widest_pass() does, and for other numbers of tokens than 1, 2, 4 ... up to that.
[[nodiscard]] std::shared_ptr<const CompiledStage> program_of_run(const ChipModel& chip,
                                                                  const Stage& stage, int tokens);

/// The catalogue's line.
[[nodiscard]] ChipModelEntry lpu_entry();

}  // namespace tandem::lpu
