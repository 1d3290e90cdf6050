#include "sim/entry/lpu_explain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace tandem::entry {
namespace {

/// All operators of one name.
struct OperatorKind {
  lpu::OperatorUse use;
  std::int64_t span = 0;
  lpu::OperatorFloor floor;
};

OperatorKind& kind_of(std::vector<OperatorKind>& kinds, const std::string& name) {
  const auto found = std::find_if(kinds.begin(), kinds.end(),
                                  [&](const OperatorKind& kind) { return kind.use.name == name; });
  if (found != kinds.end()) return *found;
  kinds.emplace_back();
  kinds.back().use.name = name;
  return kinds.back();
}

std::vector<OperatorKind> kinds_of(const lpu::CompiledStage& stage, const lpu::StageFloor& floor) {
  std::vector<OperatorKind> kinds;
  for (const lpu::OperatorUse& use : stage.operators) {
    OperatorKind& kind = kind_of(kinds, use.name);
    kind.use.adds += use.adds;
    kind.span += use.span();
    for (std::size_t i = 0; i < use.busy.size(); ++i) kind.use.busy[i] += use.busy[i];
  }
  for (const lpu::OperatorFloor& part : floor.operators) {
    lpu::OperatorFloor& sum = kind_of(kinds, part.name).floor;
    sum.latency += part.latency;
    sum.stream += part.stream;
    sum.link += part.link;
  }
  return kinds;
}

/// The busiest unit where it works at least half of the operator's span, else latency.
std::string bound_of(const OperatorKind& kind) {
  const lpu::Resource busiest = kind.use.busiest();
  const std::int64_t cycles = kind.use.busy[static_cast<std::size_t>(busiest)];
  const double share = kind.span > 0 ? 100.0 * double(cycles) / double(kind.span) : 0.0;
  if (2 * cycles >= kind.span) return fmt::format("{} ({:.0f} % busy)", name_of(busiest), share);
  return fmt::format("latency ({} {:.0f} % busy)", name_of(busiest), share);
}

/// One loop of each name: the slowest of all layers.
std::vector<lpu::LoopUse> slowest_by_name(const std::vector<lpu::LoopUse>& loops) {
  std::vector<lpu::LoopUse> kinds;
  for (const lpu::LoopUse& loop : loops) {
    const auto known = std::find_if(kinds.begin(), kinds.end(),
                                    [&](const lpu::LoopUse& k) { return k.name == loop.name; });
    if (known == kinds.end()) {
      kinds.push_back(loop);
    } else if (loop.interval > known->interval) {
      *known = loop;
    }
  }
  return kinds;
}

/// Ten lengths in blocks, or all there are, from one to `most`.
std::vector<std::int64_t> shown_contexts(std::int64_t most) {
  constexpr std::int64_t shown = 10;
  std::vector<std::int64_t> contexts;
  for (std::int64_t i = 0; i < shown; ++i) {
    const std::int64_t blocks = 1 + (most - 1) * i / (shown - 1);
    if (contexts.empty() || blocks > contexts.back()) contexts.push_back(blocks);
  }
  return contexts;
}

/// What loops over all blocks and those over the blocks of a window add to a pass.
std::string cycles_of_context(const lpu::CompiledStage& stage) {
  const lpu::CyclePrediction& cycles = stage.cycles;
  const int lanes = stage.layout.shape.lanes;
  std::string text;
  if (cycles.per_iteration > 0) {
    text += fmt::format(" + {} x (ceil(tokens / {}) - 1)", cycles.per_iteration,
                        cycles.blocks_per_iteration * lanes);
  }
  if (cycles.window.per_iteration > 0 && cycles.window.most_blocks > 1) {
    text +=
        fmt::format(" + {} x (ceil(min(tokens, {}) / {}) - 1)", cycles.window.per_iteration,
                    cycles.window.most_blocks * lanes, cycles.window.blocks_per_iteration * lanes);
  }
  return text;
}

}  // namespace

std::string explain_loops(const lpu::CompiledStage& stage,
                          const std::function<lpu::StageFloor(std::int64_t blocks)>& floor) {
  if (stage.loops.empty()) return {};
  const lpu::StageLayout& layout = stage.layout;
  std::string text = fmt::format("    loops over KV blocks, {} tokens per iteration\n",
                                 stage.cycles.blocks_per_iteration * layout.shape.lanes);
  for (const lpu::LoopUse& loop : slowest_by_name(stage.loops)) {
    text += fmt::format(
        "    {:<20}{}, {:.1f} cycles per block, bound by {} at {:.1f} ({:.2f} of it)\n", loop.name,
        name_of(loop.plan.strategy), loop.per_block(loop.interval), name_of(loop.busiest),
        loop.per_block(loop.bound), double(loop.interval) / double(loop.bound));
  }
  text += fmt::format("    cycles = {}{}\n", stage.cycles.base, cycles_of_context(stage));
  text += fmt::format("    {:<20}{:>9}{:>9}{:>10}\n", "context", "cycles", "floor", "ratio");
  for (const std::int64_t blocks : shown_contexts(layout.blocks_per_slot)) {
    const std::int64_t cycles = stage.cycles.at(blocks);
    const std::int64_t least = floor(blocks).cycles();
    text += fmt::format("    {:<20}{:>9}{:>9}{:>10.2f}\n", blocks * layout.shape.lanes, cycles,
                        least, double(cycles) / double(least));
  }
  return text;
}

std::string explain_operators(const lpu::CompiledStage& stage, const lpu::StageFloor& floor) {
  std::string text = fmt::format("    {:<20}{:>9}{:>9}{:>10}  bound by\n", "operator", "cycles",
                                 "latency", "stream");
  for (const OperatorKind& kind : kinds_of(stage, floor)) {
    text += fmt::format("    {:<20}{:>9}{:>9}{:>10}  {}\n", kind.use.name, kind.use.adds,
                        kind.floor.latency, std::max(kind.floor.stream, kind.floor.link),
                        bound_of(kind));
  }
  const double ratio = double(stage.cycles.base) / double(floor.cycles());
  text += fmt::format(
      "    {} cycles, {:.2f} of the floor {} (latency {} + {} {}); {:.1f} % of the tiles' elements "
      "are "
      "padding\n",
      stage.cycles.base, ratio, floor.cycles(), floor.latency, floor.busiest, floor.throughput,
      100 * floor.padding_loss);
  return text;
}

}  // namespace tandem::entry
