// The floor of a pass: the closed forms of its kernels one after the other.
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/pass_residency.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Layers of a run of equal ones after which the next leave L2 as they found it.
constexpr std::int64_t settled_layers = 4;

/// The longest run of layers of one kind in a stage.
struct LayerRun {
  std::int64_t first = 0, layers = 0;
};

LayerRun longest_run(const Stage& stage) {
  const std::vector<std::int32_t>& pattern = stage.network.pattern;
  LayerRun longest, run;
  for (std::int64_t i = stage.first_layer; i < stage.first_layer + stage.layers; ++i) {
    const bool goes_on = run.layers > 0 && pattern[index_of(i)] == pattern[index_of(i - 1)];
    run = goes_on ? LayerRun{run.first, run.layers + 1} : LayerRun{i, 1};
    if (run.layers > longest.layers) longest = run;
  }
  return longest;
}

/// The stage with `left_out` layers of the run fewer.
Stage without_layers(const Stage& stage, const LayerRun& run, std::int64_t left_out) {
  Stage shorter = stage;
  auto& pattern = shorter.network.pattern;
  pattern.erase(pattern.begin() + run.first, pattern.begin() + run.first + left_out);
  shorter.layers -= left_out;
  return shorter;
}

}  // namespace

/// A layer more of a long run adds what the last of the settled ones did.
Picoseconds GpuChip::floor(const Stage& stage, const Batch& batch) const {
  const LayerRun run = longest_run(stage);
  const std::int64_t left_out = run.layers - settled_layers;
  if (left_out < 2) return floor_of_all(stage, batch, -1, 1);
  const std::int64_t last_settled = run.first + settled_layers - 1;
  return floor_of_all(without_layers(stage, run, left_out), batch, last_settled, 1 + left_out);
}

Picoseconds GpuChip::floor_of_all(const Stage& stage, const Batch& batch, std::int64_t repeated,
                                  std::int64_t times) const {
  Picoseconds total(0);
  PassResidency pass(params_);
  for (const Kernel& kernel : lower(stage, batch).kernels) {
    const KernelSizes sizes = sizes_of(kernel);
    const Residency residency = reused_state(pass.enter(kernel, sizes.operands));
    const Picoseconds one = floor_of(params_, peaks_, kernel, sizes, residency);
    total += one * (repeated >= 0 && kernel.layer == repeated ? times : 1);
  }
  return total;
}

}  // namespace tandem::gpu
