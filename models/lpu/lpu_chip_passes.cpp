// Passes of an LPU's programs: the machine runs those with few iterations of every loop, the others
// follow.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "models/lpu/lpu_chip.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Cycles, and all counts but one, are linear from the first iteration on. A vector that nobody
// stops travels to the edge of the chip, unless one of a neighbouring iteration takes its place:
// the first iterations have fewer neighbours, so hops of vectors are linear from here on.
constexpr std::int64_t settled_iterations = 3;

void add_difference(PassCost& sum, const PassCost& longer, const PassCost& shorter,
                    std::int64_t times) {
  for (auto& [name, count] : sum.counts) {
    count += (longer.counts.at(name) - shorter.counts.at(name)) * times;
  }
}

}  // namespace

int LpuChip::widest_pass(const Stage& stage) const {
  const std::lock_guard lock(mutex_);
  const std::int64_t blocks = longest_blocks(stage);
  check_context(stage, blocks);
  return room_for(stage, blocks);
}

std::shared_ptr<const CompiledStage> LpuChip::program(const Stage& stage, int width) const {
  const int room = widest_pass(stage);
  if (width < 1 || width > room || !std::has_single_bit(static_cast<unsigned>(width))) {
    throw ModelError(
        fmt::format("lpu: passes of {} tokens; there is room for 1, 2, 4 ... up to {} of {}", width,
                    room, stage.network.name));
  }
  const std::lock_guard lock(mutex_);
  return timed(stage, room, width).compiled;
}

namespace {

const LpuChip& lpu_of(const ChipModel& chip) {
  const auto* lpu = dynamic_cast<const LpuChip*>(&chip);
  if (lpu == nullptr) throw ModelError("chip '" + chip.chip().name + "' is no LPU");
  return *lpu;
}

}  // namespace

int widest_pass(const ChipModel& chip, const Stage& stage) {
  return lpu_of(chip).widest_pass(stage);
}

std::shared_ptr<const CompiledStage> program_of_run(const ChipModel& chip, const Stage& stage,
                                                    int tokens) {
  return lpu_of(chip).program(stage, tokens);
}

LpuChip::Iterations LpuChip::iterations_of(const CompiledStage& compiled, std::int64_t blocks) {
  return {compiled.cycles.further_iterations(blocks),
          compiled.cycles.window.further_iterations(blocks)};
}

// Without numbers only the counts of iterations matter; the positions have as many blocks as those.
PassCost LpuChip::run_pass(const CompiledStage& compiled, const std::vector<Iterations>& iterations,
                           TimelineRecorder* timeline) const {
  const Geometry geometry = geometry_of_share(geometry_, compiled.layout.ranks);
  Machine machine(geometry, latencies_, false);
  machine.load(compiled.program_of(0), {});
  const CyclePrediction& prediction = compiled.cycles;
  std::vector<TokenPlace> places;
  for (const auto& [all, window] : iterations) {
    const std::int64_t block = std::max(all * prediction.blocks_per_iteration,
                                        window * prediction.window.blocks_per_iteration);
    places.push_back({static_cast<int>(places.size()), block * geometry_.lanes()});
  }
  HostRegisters registers = pass_registers(geometry_, compiled.layout, places);
  std::int64_t cycles = prediction.base;
  for (std::size_t t = 0; t < iterations.size(); ++t) {
    const TokenRegisters& token = compiled.layout.token(static_cast<int>(t)).registers;
    const auto [all, window] = iterations[t];
    registers[static_cast<std::size_t>(token.iterations)] = static_cast<std::uint16_t>(all);
    registers[static_cast<std::size_t>(token.window_iterations)] =
        static_cast<std::uint16_t>(window);
    cycles += all * compiled.iteration_cycles[t] + window * compiled.window_iteration_cycles[t];
  }
  for (int reg = 1; reg < host_registers; ++reg) {
    machine.set_register(reg, registers[static_cast<std::size_t>(reg)]);
  }
  RunTimeline record;
  record.recorder = timeline;
  record.group = chip_.name;
  RunResult run = run_share(machine, geometry, compiled, cycles, record);
  if (run.cycles != cycles) {
    throw std::logic_error("lpu: the machine did not take the cycles that the compiler predicted");
  }
  for (auto& [name, count] : run.counts) count *= compiled.layout.ranks;
  return {run.cycles, run.counts, Picoseconds(0)};
}

const PassCost& LpuChip::pass_with(Timed& entry, std::size_t loop, std::int64_t further) const {
  const std::pair key{further == 0 ? 0 : loop, further};
  const auto found = entry.passes.find(key);
  if (found != entry.passes.end()) return found->second;
  const CompiledStage& compiled = *entry.compiled;
  std::vector<Iterations> iterations(static_cast<std::size_t>(compiled.tokens));
  Iterations& longer = iterations[loop / 2];
  (loop % 2 == 0 ? longer.all : longer.window) = further;
  return entry.passes.emplace(key, run_pass(compiled, iterations, nullptr)).first->second;
}

// A pass is straight code and loops of constant period, so what further iterations add does not
// depend on how many there are once they have settled: the machine runs those before.
PassCost LpuChip::pass_cost(Timed& entry, const std::vector<std::int64_t>& blocks) const {
  const CompiledStage& compiled = *entry.compiled;
  const PassCost& base = pass_with(entry, 0, 0);
  PassCost result = base;
  result.cycles = compiled.cycles_of(blocks);
  const auto add_further = [&](std::int64_t further, std::size_t loop) {
    if (further == 0) return;
    const std::int64_t simulated = std::min(further, settled_iterations);
    const PassCost& longer = pass_with(entry, loop, simulated);
    add_difference(result, longer, base, 1);
    if (further == simulated) return;
    add_difference(result, longer, pass_with(entry, loop, simulated - 1), further - simulated);
  };
  for (std::size_t t = 0; t < blocks.size(); ++t) {
    const Iterations further = iterations_of(compiled, blocks[t]);
    add_further(further.all, 2 * t);
    add_further(further.window, 2 * t + 1);
  }
  return result;
}

Picoseconds LpuChip::pass_time(const CompiledStage& compiled) const {
  return ClockDomain(geometry_.clock).time_of(Cycles(compiled.cycles.base)) +
         host_time(compiled.layout, geometry_, host_, compiled.tokens);
}

}  // namespace tandem::lpu
