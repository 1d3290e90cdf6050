#include "models/gpu/pass_kernels.hpp"

#include <algorithm>
#include <unordered_map>

#include "models/gpu/pass_residency.hpp"
#include "sim/core/hash.hpp"

namespace tandem::gpu {

KernelKind kind_of(const Kernel& kernel, const Residency& residency) {
  Hasher hash;
  hash.add(key_of(kernel)).add(residency.weights).add(residency.activations);
  hash.add(residency.kv).add(residency.output);
  return {&kernel, residency, hash.value(), 1};
}

namespace {

/// Puts the layers that were left out behind the one that stands for them.
void put_in_layers(const ShortPass& pass, const KernelGraph& graph, PassKernels& kernels) {
  const auto is_settled = [&](const auto& part) { return part.layer == pass.settled; };
  const auto first = std::ranges::find_if(graph.kernels, is_settled) - graph.kernels.begin();
  const auto length = std::ranges::count_if(graph.kernels, is_settled);
  const std::vector<std::size_t> layer(kernels.launches.begin() + first,
                                       kernels.launches.begin() + first + length);
  std::vector<std::size_t> more;
  for (std::int64_t i = 1; i < pass.times; ++i) more.insert(more.end(), layer.begin(), layer.end());
  kernels.launches.insert(kernels.launches.begin() + first + length, more.begin(), more.end());

  const auto met = std::ranges::find_if(graph.exchanges, is_settled) - graph.exchanges.begin();
  const auto meetings = std::ranges::count_if(graph.exchanges, is_settled);
  std::vector<std::size_t> all(kernels.exchanges.begin(), kernels.exchanges.begin() + met);
  const auto add = [&](std::ptrdiff_t from, std::ptrdiff_t to, std::int64_t layers) {
    for (std::ptrdiff_t i = from; i < to; ++i) {
      all.push_back(kernels.exchanges[static_cast<std::size_t>(i)] +
                    static_cast<std::size_t>(layers * length));
    }
  };
  for (std::int64_t i = 0; i < pass.times; ++i) add(met, met + meetings, i);
  add(met + meetings, std::ssize(kernels.exchanges), pass.times - 1);
  kernels.exchanges = std::move(all);
}

}  // namespace

PassKernels kernels_of_pass(const GpuParams& params, const ShortPass& pass,
                            const KernelGraph& graph) {
  PassKernels kernels;
  PassResidency state(params);
  std::unordered_map<std::uint64_t, std::size_t> known;
  for (const Kernel& kernel : graph.kernels) {
    const KernelKind kind = kind_of(kernel, reused_state(state.enter(kernel)));
    const std::uint64_t name = Hasher().add(kind.key).add(kernel.role).value();
    const auto [same, is_new] = known.try_emplace(name, kernels.kinds.size());
    if (is_new) {
      kernels.kinds.push_back(kind);
      kernels.kinds.back().times = 0;
    }
    kernels.kinds[same->second].times += pass.times_of(kernel);
    kernels.launches.push_back(same->second);
  }
  for (const Exchange& exchange : graph.exchanges) {
    kernels.exchanges.push_back(static_cast<std::size_t>(exchange.after));
  }
  if (pass.times > 1) put_in_layers(pass, graph, kernels);
  return kernels;
}

}  // namespace tandem::gpu
