// Sizes that all generations of the hardware and every kernel share.
#pragma once

#include <cstdint>

namespace tandem::gpu {

inline constexpr std::int64_t warp = 32;            ///< threads (CUDA C++ Programming Guide)
inline constexpr std::int64_t warpgroup_rows = 64;  ///< of a tile, per warpgroup (PTX ISA, wgmma)
inline constexpr std::int64_t line = 128;           ///< bytes of a cache line
inline constexpr std::int64_t accumulator = 4;      ///< bytes of an FP32 sum

}  // namespace tandem::gpu
