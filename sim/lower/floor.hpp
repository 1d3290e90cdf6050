// Lower bounds on time from work and peak rates alone: no plan, no schedule, no chip in particular.
#pragma once

#include <map>

#include "sim/core/units.hpp"
#include "sim/lower/kernel.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem {

/// The rates that a chip cannot exceed. A rate of 0 means "not bounded by this".
struct Peaks {
  std::map<MatrixPipe, FlopsPerSecond> matrix;  ///< products, by operand type
  FlopsPerSecond vector;                        ///< element-wise arithmetic, whole chip
  FlopsPerSecond special;                       ///< exponentials and the like
  BytesPerSecond memory;                        ///< off-chip memory, both directions together
  Bytes cache;  ///< bytes that may be on chip when a warm kernel or pass begins
};

/// Roofline of one kernel (Williams et al., CACM 2009): the longest of its matrix, vector, special
/// and memory times, each alone at peak. Every distinct byte crosses memory once, less the cache's
/// size when `warm`. Throws ModelError when `peaks` has no matrix rate for the operands' pipe.
[[nodiscard]] Picoseconds floor_of(const Kernel& kernel, const Peaks& peaks, bool warm);
/// The same for a kernel whose work is known, with `cached` of its bytes on chip.
[[nodiscard]] Picoseconds floor_of(const Kernel& kernel, const KernelWork& work, const Peaks& peaks,
                                   Bytes cached);

/// Bound of a whole pass even when kernels overlap freely: the longest of the sums of matrix,
/// vector and special times, and of the memory time of the distinct weights, caches and states that
/// are read. Products of all types share the chip's matrix units, so their times add up.
/// Activations may stay on chip between kernels and count nothing; nor does KV that is written.
[[nodiscard]] Picoseconds floor_of(const KernelGraph& graph, const Peaks& peaks, bool warm);

/// Bytes of weights, and of caches and states made before this kernel's pass began, that the kernel
/// reads. Weights that an earlier kernel of the pass has read count nothing again.
[[nodiscard]] Bytes resident_bytes(const Kernel& kernel);

}  // namespace tandem
