// The floor of a pass: the closed forms of its kernels one after the other.
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/pass_residency.hpp"
#include "models/gpu/short_pass.hpp"

namespace tandem::gpu {

Picoseconds GpuChip::floor(const Stage& stage, const Batch& batch) const {
  const ShortPass pass = short_pass(stage);
  Picoseconds total(0);
  PassResidency residency(params_);
  for (const Kernel& kernel : lower(pass.stage, batch).kernels) {
    const KernelSizes sizes = sizes_of(kernel);
    const Residency entry = reused_state(residency.enter(kernel, sizes.operands));
    total += floor_of(params_, peaks_, kernel, sizes, entry) * pass.times_of(kernel);
  }
  return total;
}

}  // namespace tandem::gpu
