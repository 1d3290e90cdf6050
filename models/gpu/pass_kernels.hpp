// The kernels of a pass with the state in which each finds L2; equal ones, as those of equal
// layers, are one kind.
#pragma once

#include <cstdint>
#include <vector>

#include "models/gpu/l2_cache.hpp"
#include "models/gpu/params.hpp"
#include "models/gpu/short_pass.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::gpu {

/// Kernels that cost the same and are called the same.
struct KernelKind {
  const Kernel* kernel;  ///< the first of them
  Residency residency;
  std::uint64_t key = 0;  ///< of kernel and residency
  std::int64_t times = 1;
};

/// One kernel that is launched in that state.
[[nodiscard]] KernelKind kind_of(const Kernel& kernel, const Residency& residency);

struct PassKernels {
  std::vector<KernelKind> kinds;      ///< in the order in which each is launched first
  std::vector<std::size_t> launches;  ///< kinds in the order of the pass
  /// Launches before each exchange, in the order of the pass.
  std::vector<std::size_t> exchanges;
};

/// Kernels of a pass whose short form `graph` is; it must outlive the result.
[[nodiscard]] PassKernels kernels_of_pass(const GpuParams& params, const ShortPass& pass,
                                          const KernelGraph& graph);

}  // namespace tandem::gpu
