// What bounds each operator of a compiled stage, as text.
#pragma once

#include <functional>
#include <string>

#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/stage_floor.hpp"

namespace tandem::entry {

/// One line per kind of operator (all layers together): the cycles by which it moves the end of the
/// pass, what the floor gives it, and the unit that is busiest for it; then the pass against its
/// floor, with the loss to padding apart.
[[nodiscard]] std::string explain_operators(const lpu::CompiledStage& stage,
                                            const lpu::StageFloor& floor);

/// How the loops over KV blocks are arranged, what bounds them, and the cycles of the pass on ten
/// context lengths: base + interval x further iterations, against `floor` of that many blocks.
[[nodiscard]] std::string explain_loops(
    const lpu::CompiledStage& stage,
    const std::function<lpu::StageFloor(std::int64_t blocks)>& floor);

}  // namespace tandem::entry
