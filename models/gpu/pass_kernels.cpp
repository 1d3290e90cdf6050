#include "models/gpu/pass_kernels.hpp"

#include <unordered_map>

#include "models/gpu/floor.hpp"
#include "models/gpu/pass_residency.hpp"
#include "sim/core/hash.hpp"

namespace tandem::gpu {

KernelKind kind_of(const Kernel& kernel, const Residency& residency) {
  Hasher hash;
  hash.add(key_of(kernel)).add(residency.weights).add(residency.activations);
  hash.add(residency.kv).add(residency.output);
  return {&kernel, residency, hash.value(), 1};
}

PassKernels kernels_of_pass(const GpuParams& params, const std::vector<Kernel>& kernels) {
  PassKernels pass;
  PassResidency state(params);
  std::unordered_map<std::uint64_t, std::size_t> kinds;
  pass.launches.reserve(kernels.size());
  for (const Kernel& kernel : kernels) {
    const KernelKind kind = kind_of(kernel, reused_state(state.enter(kernel, operand_bytes(kernel))));
    const std::uint64_t name = Hasher().add(kind.key).add(kernel.role).value();
    const auto [known, is_new] = kinds.try_emplace(name, pass.kinds.size());
    if (is_new) {
      pass.kinds.push_back(kind);
    } else {
      ++pass.kinds[known->second].times;
    }
    pass.launches.push_back(known->second);
  }
  return pass;
}

}  // namespace tandem::gpu
