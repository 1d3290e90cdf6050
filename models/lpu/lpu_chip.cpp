#include "models/lpu/lpu_chip.hpp"

#include <algorithm>

#include "models/lpu/loaded_stage.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/lower/floor.hpp"

namespace tandem::lpu {
namespace {

constexpr std::int64_t registers_bytes = 2 * host_registers;

}  // namespace

// First stage: embedding, rotary vectors, mask row and registers go in. Last stage: best values and
// their tiles come out. Chips between get their descriptor while the token is on its way.
Picoseconds host_time(const StageLayout& layout, const Geometry& geometry, const HostLink& link) {
  const std::int64_t fp32 = 4 * geometry.vector_bytes();
  Picoseconds total;
  if (layout.stage.has_embedding) {
    const auto vectors = static_cast<std::int64_t>(layout.hidden.size()) + 4;
    total += link.latency + Bytes(vectors * fp32 + registers_bytes) / link.bandwidth;
  }
  if (layout.stage.has_head()) total += link.latency + Bytes(2 * fp32) / link.bandwidth;
  return total;
}

StageCost cost_of_passes(const std::vector<PassCost>& passes, const Stage& stage,
                         const Batch& batch, const Geometry& geometry, Picoseconds host_per_pass) {
  StageCost cost;
  const ClockDomain clock(geometry.clock);
  KernelCost kernel;
  kernel.role = "decode_pass";
  for (const PassCost& pass : passes) {
    cost.cycles += Cycles(pass.cycles);
    cost.time += clock.time_of(Cycles(pass.cycles)) + host_per_pass;
    for (const auto& [name, count] : pass.counts) cost.activity.counts[name] += count;
  }
  const auto& counts = cost.activity.counts;
  const auto vectors = [&](const char* name) {
    const auto found = counts.find(name);
    return found == counts.end() ? std::int64_t{0} : found->second;
  };
  kernel.memory_read = Bytes(vectors("mem_reads") * geometry.vector_bytes());
  kernel.memory_write = Bytes(vectors("mem_writes") * geometry.vector_bytes());
  const std::int64_t streaming =
      vectors("weight_vectors_installed") /
      (stage.tensor * geometry.planes * geometry.weight_streams_per_plane);
  cost.bottleneck = 2 * streaming > cost.cycles.count() ? "weight_streams" : "dependencies";
  cost.floor = floor_of_passes(stage, batch, geometry);
  kernel.time = cost.time;
  kernel.floor = cost.floor;
  kernel.bound = cost.bottleneck;
  kernel.repeats = static_cast<std::int64_t>(passes.size());
  for (const Kernel& part : lower(stage, batch).kernels) {
    const KernelWork work = work_of(part);
    kernel.work.matrix += work.matrix;
    kernel.work.vector += work.vector;
    kernel.work.special += work.special;
    kernel.work.weight_bytes += work.weight_bytes;
    kernel.work.read_bytes += work.read_bytes;
    kernel.work.write_bytes += work.write_bytes;
  }
  cost.kernels.push_back(kernel);
  return cost;
}

// All weights and KV pass the weight paths of the planes; products at the rate of all planes.
Picoseconds floor_of_passes(const Stage& stage, const Batch& batch, const Geometry& geometry) {
  const double hz = geometry.clock.count() * static_cast<double>(stage.tensor);
  const double one_byte = 2.0 * geometry.planes * geometry.plane_rows * geometry.plane_columns * hz;
  const bool wide = bytes_of(stage.precision.weights) > 1 && bytes_of(stage.precision.kv_cache) > 1;
  Peaks peaks;
  for (const MatrixPipe pipe : {MatrixPipe::Float32, MatrixPipe::Bfloat16, MatrixPipe::Float16,
                                MatrixPipe::Fp8, MatrixPipe::Int8}) {
    peaks.matrix[pipe] = FlopsPerSecond(wide ? one_byte / 4 : one_byte);
  }
  peaks.vector = FlopsPerSecond(static_cast<double>(geometry.vxm_alus) * geometry.lanes() * hz);
  peaks.special = FlopsPerSecond(geometry.vxm_alus / 4.0 * geometry.lanes() * hz);
  peaks.memory = BytesPerSecond(static_cast<double>(geometry.planes) *
                                geometry.weight_streams_per_plane * geometry.vector_bytes() * hz);
  return floor_of(lower(stage, batch), peaks, false);
}

LpuChip::LpuChip(const Chip& chip, const Software& /*software*/)
    : chip_(chip),
      geometry_(geometry_of(chip)),
      latencies_(latencies_of(chip)),
      host_(host_link_of(chip)) {}

// Cycles do not depend on how many rows the KV cache has, so one program per stage, with as much KV
// as fits, answers for every context.
std::int64_t LpuChip::largest_block_count(const Stage& stage) const {
  const std::int64_t lanes = geometry_.lanes();
  const std::int64_t wanted =
      std::max<std::int64_t>(1, (stage.network.max_context + lanes - 1) / lanes);
  const auto fits = [&](std::int64_t blocks) {
    return layout_of_share(geometry_, stage, 1, blocks * lanes).deepest_bank() <=
           geometry_.rows_per_bank;
  };
  std::int64_t low = 0;
  std::int64_t high = wanted;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return std::max<std::int64_t>(low, 1);
}

LpuChip::Timed& LpuChip::timed(const Stage& stage) const {
  Timed& entry = cache_[stage.key()];
  if (!entry.compiled) {
    entry.compiled = std::make_shared<CompiledStage>(
        compile_share(geometry_, latencies_, chip_.name, stage, 1,
                      largest_block_count(stage) * geometry_.lanes()));
  }
  return entry;
}

PassCost LpuChip::run_pass(const CompiledStage& compiled, std::int64_t blocks,
                           TimelineRecorder* timeline) const {
  Machine machine(geometry_, latencies_, false);
  machine.load(compiled.program_of(0), {});
  const std::int64_t position = (blocks - 1) * geometry_.lanes();
  const HostRegisters registers = pass_registers(geometry_, compiled.layout, 0, position);
  for (int reg = 1; reg < host_registers; ++reg) {
    machine.set_register(reg, registers[static_cast<std::size_t>(reg)]);
  }
  RunTimeline record;
  record.recorder = timeline;
  record.group = chip_.name;
  RunResult run = run_share(machine, geometry_, compiled, record);
  if (run.cycles != compiled.cycles.at(blocks)) {
    throw std::logic_error("lpu: the machine did not take the cycles that the compiler predicted");
  }
  for (auto& [name, count] : run.counts) count *= compiled.layout.ranks;
  return {run.cycles, run.counts};
}

// A pass is straight code and loops of constant period, so cycles and counts are linear in the
// iterations: the machine runs one and two and the others follow exactly.
PassCost LpuChip::pass_cost(const Stage& stage, std::int64_t blocks) const {
  const std::lock_guard lock(mutex_);
  Timed& entry = timed(stage);
  if (blocks > entry.compiled->layout.blocks_per_slot) {
    throw ModelError("lpu: a context longer than the chip's SRAM holds");
  }
  const std::int64_t per_iteration = entry.compiled->layout.blocks_per_iteration;
  const std::int64_t iterations = (blocks + per_iteration - 1) / per_iteration;
  const auto run = [&](std::int64_t n) -> const PassCost& {
    auto found = entry.passes.find(n);
    if (found == entry.passes.end()) {
      const std::int64_t context = (n - 1) * per_iteration + 1;
      found = entry.passes.emplace(n, run_pass(*entry.compiled, context, nullptr)).first;
    }
    return found->second;
  };
  if (iterations <= 2) return run(iterations);
  const PassCost one = run(1);
  PassCost result = run(2);
  result.cycles += (result.cycles - one.cycles) * (iterations - 2);
  for (auto& [name, count] : result.counts) {
    const std::int64_t more = count - one.counts.at(name);
    count += more * (iterations - 2);
  }
  return result;
}

StageCost LpuChip::simulate(const Stage& stage, const Batch& batch,
                            TimelineRecorder* timeline) const {
  std::vector<PassCost> passes;
  for (const SequenceSlice& slice : batch.slices) {
    for (std::int64_t i = 0; i < slice.new_tokens; ++i) {
      passes.push_back(pass_cost(stage, (slice.context + i) / geometry_.lanes() + 1));
    }
  }
  Picoseconds host;
  {
    const std::lock_guard lock(mutex_);
    const CompiledStage& compiled = *timed(stage).compiled;
    host = host_time(compiled.layout, geometry_, host_);
    if (timeline != nullptr && !batch.slices.empty()) {
      const std::int64_t blocks = batch.slices.front().context / geometry_.lanes() + 1;
      static_cast<void>(run_pass(compiled, blocks, timeline));
    }
  }
  return cost_of_passes(passes, stage, batch, geometry_, host);
}

Picoseconds LpuChip::floor(const Stage& stage, const Batch& batch) const {
  return floor_of_passes(stage, batch, geometry_);
}

KernelCost LpuChip::simulate_run(const KernelRun& run) const {
  throw ModelError("chip '" + chip_.name + "': an LPU runs whole stages; a single " +
                   std::string(run.kernels.empty() ? "empty" : run.kernels.front().role) +
                   " kernel is not supported");
}

std::unique_ptr<LoadedStage> LpuChip::load(const Stage& stage, const Weights& weights,
                                           std::int64_t sequences, std::int64_t max_context) const {
  if (stage.tensor != 1) {
    throw ModelError("lpu: runs with numbers on gangs of LPUs are not part of scenarios yet");
  }
  std::optional<LoopPlan> loops;
  {
    const std::lock_guard lock(mutex_);
    loops = timed(stage).compiled->plan;
  }
  return make_loaded_stage(geometry_, latencies_, host_, chip_.name, stage, weights,
                           static_cast<int>(sequences), max_context, loops);
}

Watts LpuChip::static_power() const {
  return Watts(chip_.parameters.value("static_power"));
}

std::map<std::string, Joules> LpuChip::energy_per_count() const {
  const auto joules = [&](const char* name) { return Joules(chip_.parameters.value(name)); };
  return {{"mem_reads", joules("energy_mem_read")},
          {"mem_writes", joules("energy_mem_write")},
          {"stream_vector_hops", joules("energy_stream_hop")},
          {"mxm_macs", joules("energy_mac")},
          {"weight_vectors_installed", joules("energy_weight_vector")},
          {"vxm_ops", joules("energy_vxm_op")},
          {"sxm_ops", joules("energy_sxm_op")},
          {"c2c_vectors", Joules(0)},
          {"instructions", joules("energy_instruction")}};
}

std::int64_t LpuChip::largest_slot_count(const Stage& stage, std::int64_t max_context,
                                         std::int64_t rows) const {
  const auto fits = [&](std::int64_t slots) {
    return layout_of_share(geometry_, stage, static_cast<int>(slots), max_context).deepest_bank() <=
           rows;
  };
  std::int64_t low = 0;
  std::int64_t high = geometry_.rows_per_bank;
  while (low < high) {
    const std::int64_t middle = (low + high + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// KV lies in column tiles, in the ports that can feed a plane, in whole blocks of whole requests;
// rows elsewhere cannot hold it. What is neither weights nor usable for KV counts as workspace.
Fit LpuChip::fit(const Stage& stage, std::int64_t /*sequences*/, std::int64_t max_context) const {
  Fit fit;
  fit.capacity = geometry_.sram();
  const std::int64_t vector = geometry_.vector_bytes();
  const std::int64_t banks = std::int64_t{geometry_.mem_slices()} * geometry_.banks;
  const StageLayout layout = layout_of_share(geometry_, stage, 1, max_context);
  fit.weights = Bytes(layout.weight_rows * vector);
  const int least = layout_of_share(geometry_, stage, 1, 1).deepest_bank();
  if (least > geometry_.rows_per_bank) {
    // Short by so many rows in the fullest bank, as if every bank were as full.
    fit.workspace =
        fit.capacity - fit.weights + Bytes((least - geometry_.rows_per_bank) * banks * vector);
    return fit;
  }
  {
    const std::lock_guard lock(mutex_);
    fit.program = timed(stage).compiled->program_bytes();
  }
  if (layout.layers.empty()) {
    for (const int rows : layout.rows_used) fit.workspace += Bytes(rows * vector);
    fit.workspace -= fit.weights;
    return fit;
  }
  const std::int64_t program_rows = (fit.program.count() + banks * vector - 1) / (banks * vector);
  const std::int64_t slots =
      largest_slot_count(stage, max_context, geometry_.rows_per_bank - program_rows);
  const int ports = geometry_.weight_streams_per_plane *
                    (streams_of(layout.shape.kv) == 2 && !geometry_.has_wide_weight_path() ? 2 : 1);
  const std::int64_t unit_bytes = 2 * std::int64_t{ports} * layout.unit_rows * vector;
  const std::int64_t lanes = geometry_.lanes();
  fit.kv_per_token = Bytes((unit_bytes + lanes - 1) / lanes);
  const std::int64_t tokens = slots * layout.blocks_per_slot * lanes;
  fit.workspace = fit.capacity - fit.weights - fit.program - fit.kv_per_token * tokens;
  return fit;
}

std::unique_ptr<ChipModel> make_lpu_chip(const Chip& chip, const Software& software) {
  return std::make_unique<LpuChip>(chip, software);
}

ChipModelEntry lpu_entry() {
  return {"lpu", "SRAM chip with a static schedule: slices, streams, planes, no caches.",
          lpu_schema(), make_lpu_chip};
}

}  // namespace tandem::lpu
