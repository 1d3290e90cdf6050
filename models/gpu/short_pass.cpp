#include "models/gpu/short_pass.hpp"

#include <algorithm>

#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Layers of a run of equal ones after which the next leave L2 as they found it.
constexpr std::int64_t settled_layers = 3;

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

}  // namespace

ShortPass short_pass(const Stage& stage) {
  // Layers of one kind that hold their weights otherwise are not equal.
  const auto names_layers = [](const WeightOverride& change) { return !change.names_all_layers(); };
  if (std::ranges::any_of(stage.precision.overrides, names_layers)) return ShortPass{stage};
  const LayerRun run = longest_run(stage);
  const std::int64_t left_out = run.layers - settled_layers;
  ShortPass pass{stage};
  if (left_out < 2) return pass;
  auto& pattern = pass.stage.network.pattern;
  pattern.erase(pattern.begin() + run.first, pattern.begin() + run.first + left_out);
  pass.stage.layers -= left_out;
  pass.settled = run.first + settled_layers - 1;
  pass.times = 1 + left_out;
  return pass;
}

}  // namespace tandem::gpu
