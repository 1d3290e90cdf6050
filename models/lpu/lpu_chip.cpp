#include "models/lpu/lpu_chip.hpp"

#include <algorithm>

#include "models/lpu/compiler/layer_support.hpp"
#include "models/lpu/loaded_stage.hpp"
#include "models/lpu/pass_plan.hpp"
#include "models/lpu/stage_gang.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/lower/floor.hpp"

namespace tandem::lpu {
namespace {

constexpr std::int64_t bytes_of_register = 2;

// Bases, loop count and mask of a token, and one register per column port for K and for V.
std::int64_t registers_of_token(const Geometry& geometry) {
  return host_register::column_ports + 2 * std::int64_t{geometry.weight_streams_per_plane};
}

}  // namespace

// First stage: embedding, rotary vectors, mask row and registers go in, to modules the hidden
// states that they go on from. Last stage: best values and their tiles come out, and hidden states
// that are handed on. Chips between get their descriptor while the token is on its way.
Picoseconds host_time(const StageLayout& layout, const Geometry& geometry, const HostLink& link,
                      int tokens) {
  const std::int64_t fp32 = 4 * geometry.vector_bytes();
  Picoseconds total;
  if (layout.stage.has_embedding) {
    auto vectors = static_cast<std::int64_t>(layout.hidden.size() + layout.given.size()) + 2;
    if (layout.sees_all()) vectors += 2;
    if (layout.window.exists()) {
      vectors += 2 * static_cast<std::int64_t>(layout.window.changing_rows().size());
    }
    const std::int64_t registers = registers_of_token(geometry) * bytes_of_register;
    total += link.latency + Bytes(tokens * (vectors * fp32 + registers)) / link.bandwidth;
  }
  if (layout.stage.has_head()) {
    const auto vectors = 2 + static_cast<std::int64_t>(layout.handed_on.size());
    total += link.latency + Bytes(tokens * vectors * fp32) / link.bandwidth;
  }
  return total;
}

StageCost cost_of_passes(const std::vector<PassCost>& passes, const Stage& stage,
                         const Batch& batch, const Geometry& geometry) {
  StageCost cost;
  const ClockDomain clock(geometry.clock);
  KernelCost kernel;
  kernel.role = "decode_pass";
  for (const PassCost& pass : passes) {
    cost.cycles += Cycles(pass.cycles);
    cost.segments.push_back(clock.time_of(Cycles(pass.cycles)) + pass.host);
    cost.time += cost.segments.back();
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

namespace {

// The states of Gated DeltaNet have buffers for one token. Experts take several where nothing but
// them is in the stage.
bool takes_one_token(const Stage& stage) {
  for (std::int64_t l = 0; l < stage.layers; ++l) {
    const LayerKind& kind = stage.network.layer(stage.first_layer + l);
    if (kind.ffn.experts && kind.has_mixer()) return true;
    if (std::holds_alternative<GatedDelta>(kind.mixer)) return true;
  }
  return false;
}

// The largest number up to `high` that fits; 0 if not even 1 does.
template <class Fits>
std::int64_t largest_that(std::int64_t high, const Fits& fits) {
  std::int64_t low = 0;
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

}  // namespace

// In the rows of every bank that the programs leave.
std::int64_t LpuChip::largest_block_count(const Stage& stage, int room, std::int64_t rows) const {
  if (only_feeds_forward(stage)) return 1;
  const std::int64_t lanes = geometry_.lanes();
  const std::int64_t wanted =
      std::max<std::int64_t>(1, (stage.network.max_context + lanes - 1) / lanes);
  return largest_that(wanted, [&](std::int64_t blocks) {
    return layout_of_share(geometry_, stage, room, blocks * lanes, room).deepest_bank() <= rows;
  });
}

// The widest passes that cost no more than an eighth of the requests: every token needs vectors of
// its own, and every number of tokens a program. As many requests as tokens must fit.
int LpuChip::room_for(const Stage& stage, std::int64_t blocks) const {
  const auto [found, is_new] = rooms_.try_emplace({stage.key(), blocks}, 1);
  if (!is_new) return found->second;
  const std::int64_t rows = geometry_.rows_per_bank;
  if (takes_one_token(stage)) return 1;
  if (only_feeds_forward(stage)) return found->second = room_beside_programs(stage);
  if (largest_block_count(stage, 2, rows) < blocks) return 1;
  const std::int64_t alone = largest_slot_count(stage, blocks, 1);
  for (int room = 2; room <= most_tokens; room *= 2) {
    const std::int64_t slots = largest_slot_count(stage, blocks, room);
    if (slots < std::max<std::int64_t>(room, alone - alone / 8)) break;
    found->second = room;
  }
  return found->second;
}

// Without KV a token's vectors and programs are all that wide passes cost.
int LpuChip::room_beside_programs(const Stage& stage) const {
  int room = 1;
  for (int wider = 2; wider <= most_tokens; wider *= 2) {
    const int rows = layout_of_share(geometry_, stage, wider, 1, wider).deepest_bank();
    if (rows + rows_of(program_bytes(stage, wider)) > geometry_.rows_per_bank) break;
    room = wider;
  }
  return room;
}

void LpuChip::check_context(const Stage& stage, std::int64_t blocks) const {
  if (blocks <= timed(stage, 1, 1).compiled->layout.blocks_per_slot) return;
  throw ModelError("lpu: a context longer than the chip's SRAM holds");
}

// Rows of every bank that so many bytes take.
std::int64_t LpuChip::rows_of(Bytes bytes) const {
  const std::int64_t row =
      std::int64_t{geometry_.mem_slices()} * geometry_.banks * geometry_.vector_bytes();
  return (bytes.count() + row - 1) / row;
}

// Cycles do not depend on how many rows the KV cache has, so one program per stage, room and number
// of tokens, with as much KV as fits, answers for every context. The loops of every token follow
// the plan that is best for one.
LpuChip::Timed& LpuChip::timed(const Stage& stage, int room, int width) const {
  PassShape pass{width, room, {}, {}};
  if (room > 1) {
    const CompiledStage& single = *timed(stage, 1, 1).compiled;
    pass.loops = single.plan;
    pass.window_loops = single.window_plan;
  }
  Timed& entry = cache_[{stage.key(), room, width}];
  if (!entry.compiled) {
    const std::int64_t blocks = largest_block_count(stage, room, geometry_.rows_per_bank);
    entry.compiled = std::make_shared<CompiledStage>(
        compile_share(geometry_, latencies_, chip_.name, stage, room,
                      std::max<std::int64_t>(blocks, 1) * geometry_.lanes(), pass));
  }
  return entry;
}

std::int64_t LpuChip::blocks_of(const Stage& stage, std::int64_t tokens) const {
  return std::max<std::int64_t>(1, ceil_div(tokens, block_of(stage, geometry_)));
}

std::int64_t LpuChip::longest_blocks(const Stage& stage) const {
  return blocks_of(stage, stage.longest_request);
}

StageCost LpuChip::simulate(const Stage& stage, const Batch& batch,
                            TimelineRecorder* timeline) const {
  const std::lock_guard lock(mutex_);
  const std::int64_t block = block_of(stage, geometry_);
  std::int64_t longest = longest_blocks(stage);
  for (const SequenceSlice& slice : batch.slices) {
    longest = std::max(longest, (slice.context + slice.new_tokens - 1) / block + 1);
  }
  check_context(stage, longest);
  const int room = room_for(stage, longest);
  const auto time = [&](int width) { return pass_time(*timed(stage, room, width).compiled); };
  std::vector<PassCost> passes;
  for (const PlannedPass& pass : plan_passes(batch, block, room, time)) {
    Timed& entry = timed(stage, room, pass.width);
    std::vector<std::int64_t> blocks;
    std::vector<Iterations> iterations;
    for (const PlannedToken& token : pass.tokens) {
      blocks.push_back(token.position / block + 1);
      iterations.push_back(iterations_of(*entry.compiled, blocks.back()));
    }
    passes.push_back(pass_cost(entry, blocks));
    passes.back().host = host_time(entry.compiled->layout, geometry_, host_, pass.width);
    if (timeline != nullptr && passes.size() == 1) {
      static_cast<void>(run_pass(*entry.compiled, iterations, timeline));
    }
  }
  return cost_of_passes(passes, stage, batch, geometry_);
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
  const std::lock_guard lock(mutex_);
  const auto slots = only_feeds_forward(stage) ? 1 : static_cast<int>(sequences);
  int room = room_for(stage, blocks_of(stage, max_context));
  const auto fits = [&](int tokens) {
    return layout_of_share(geometry_, stage, slots, max_context, tokens).deepest_bank() <=
           geometry_.rows_per_bank;
  };
  while (room > 1 && !fits(room)) room /= 2;
  const CompiledStage& single = *timed(stage, 1, 1).compiled;
  return make_loaded_stage(
      {geometry_, latencies_, host_, chip_.name, stage, slots, max_context, room, single.plan,
       single.window_plan},
      stage.precision.is_expanded ? weights_through_formats(weights, stage.precision) : weights);
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

// Networks on one chip lie in rows behind each other.
std::int64_t LpuChip::largest_slot_count(const Stage& stage, std::int64_t blocks, int room,
                                         const Neighbours* neighbours) const {
  const std::int64_t rows = geometry_.rows_per_bank - rows_of(program_bytes(stage, room));
  const std::int64_t context = blocks * geometry_.lanes();
  return largest_that(geometry_.rows_per_bank, [&](std::int64_t slots) {
    const std::int64_t beside =
        neighbours == nullptr ? 0 : rows_beside(*neighbours, slots, context);
    return layout_of_share(geometry_, stage, static_cast<int>(slots), context, room)
                   .deepest_bank() +
               beside <=
           rows;
  });
}

// Programs for 1, 2, 4 ... tokens. Every token adds the same words, so two programs tell the size
// of the others.
Bytes LpuChip::program_bytes(const Stage& stage, int room) const {
  const Bytes one = timed(stage, 1, 1).compiled->program_bytes();
  if (room == 1) return one;
  const Bytes more = timed(stage, 2, 2).compiled->program_bytes() - one;
  Bytes total{0};
  for (int width = 1; width <= room; width *= 2) total += one + more * (width - 1);
  return total;
}

std::unique_ptr<ChipModel> make_lpu_chip(const Chip& chip, const Software& software) {
  return std::make_unique<LpuChip>(chip, software);
}

ChipModelEntry lpu_entry() {
  return {"lpu", "SRAM chip with a static schedule: slices, streams, planes, no caches.",
          lpu_schema(), make_lpu_chip};
}

}  // namespace tandem::lpu
