// The GPU behind the engine's chip interface.
#pragma once

#include <memory>

#include "models/gpu/params.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::gpu {

/// A GPU with its software overheads. Throws ModelError when a parameter is missing or impossible.
[[nodiscard]] std::unique_ptr<ChipModel> make_gpu_chip(const Chip& chip, const Software& software);

/// The catalogue's line: name "gpu", the schema and the maker above.
[[nodiscard]] ChipModelEntry gpu_entry();

}  // namespace tandem::gpu
