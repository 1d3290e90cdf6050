// Lower bound of a kernel's time on a GPU: its work against peak rates and the bytes that must
// cross each level. Shares nothing with the machine but the parameters.
#pragma once

#include "models/gpu/l2_cache.hpp"
#include "models/gpu/params.hpp"
#include "sim/lower/floor.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::gpu {

/// Operand bytes of a kernel by class; the sum equals work_of(kernel).bytes().
struct OperandBytes {
  Bytes weights, activations, kv, output;
};
[[nodiscard]] OperandBytes operand_bytes(const Kernel& kernel);

/// What bounds a kernel, and what it reads and writes.
struct KernelSizes {
  KernelWork work;
  OperandBytes operands;
};
[[nodiscard]] KernelSizes sizes_of(const Kernel& kernel);

/// Entry state of a kernel measured alone. Cold: nothing in L2, output goes to memory. Warm:
/// operands that fit together are resident, taken in the order activations, output, KV, weights;
/// of the weights, `weight_copies` sets are read in turn and must fit together.
[[nodiscard]] Residency measured_alone(const GpuParams& params, const Kernel& kernel, bool warm,
                                       std::int64_t weight_copies = 1);

/// Entry state of a kernel inside a forward pass whose other kernels are not known: weights and KV
/// come from memory; activations and output stay in L2 when they take at most half of it (the other
/// half streams weights). Where the pass is known, PassResidency says more.
[[nodiscard]] Residency inside_pass(const GpuParams& params, const Kernel& kernel);

/// Rates that the chip cannot exceed; no bytes in cache.
[[nodiscard]] Peaks peaks_of(const GpuParams& params);

/// The roofline of sim/lower with the resident operands as cache, or all distinct bytes over L2
/// bandwidth where that is longer.
[[nodiscard]] Picoseconds floor_of(const GpuParams& params, const Kernel& kernel,
                                   const Residency& residency);
/// The same where the chip's peaks and the kernel's sizes are known.
[[nodiscard]] Picoseconds floor_of(const GpuParams& params, const Peaks& peaks,
                                   const Kernel& kernel, const KernelSizes& sizes,
                                   const Residency& residency);

}  // namespace tandem::gpu
