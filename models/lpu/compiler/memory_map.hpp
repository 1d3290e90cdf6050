// A readable map of a stage's SRAM: which slices, banks and rows hold what.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/compiler/layout.hpp"

namespace tandem::lpu {

/// What one kind of data takes in one hemisphere. Slices and rows are the outermost ones; not every
/// row between them need be its own.
struct MemoryRegion {
  std::string name;  ///< "layer 0: q", "KV cache", "scores"
  Hemisphere side = Hemisphere::West;
  int first_slice = 0;  ///< counted from the VXM outwards, within the hemisphere
  int last_slice = 0;
  std::uint32_t banks = 0;  ///< bit b: bank b
  int first_row = 0;
  int last_row = 0;
  std::int64_t rows = 0;  ///< rows of one bank that it really takes
};

/// Slices that follow each other and are filled alike.
struct SliceFill {
  Hemisphere side = Hemisphere::West;
  int first_slice = 0;
  int last_slice = 0;
  int rows = 0;  ///< of the fuller bank
};

/// What a stage keeps, in the order: weights, KV, constants, buffers. Experts and what routes to
/// them are not told apart.
struct MemoryMap {
  std::vector<MemoryRegion> regions;
  std::vector<SliceFill> fill;
  std::int64_t rows_used = 0;  ///< over all banks of all slices
  std::int64_t rows_there = 0;
};

[[nodiscard]] MemoryMap memory_map(const Geometry& geometry, const StageLayout& layout);

/// A table of regions with KB, then how full the slices are.
[[nodiscard]] std::string memory_page(const Geometry& geometry, const MemoryMap& map);

}  // namespace tandem::lpu
