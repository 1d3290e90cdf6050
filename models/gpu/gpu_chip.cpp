#include "models/gpu/gpu_chip.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/gpu/attention_tiling.hpp"
#include "models/gpu/clock_anchors.hpp"
#include "models/gpu/governor.hpp"
#include "models/gpu/kernel_limits.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

/// Activity counters of matrix work, one for each energy per operation.
const char* tensor_counter(MatrixPipe pipe) {
  switch (pipe) {
    case MatrixPipe::Fp4:
      return "tensor_flops_4bit";
    case MatrixPipe::Fp8:
      return "tensor_flops_8bit";
    case MatrixPipe::Int8:
      return "tensor_ops_int8";
    case MatrixPipe::Float16:
    case MatrixPipe::Bfloat16:
      return "tensor_flops_16bit";
    case MatrixPipe::Float32:
      break;
  }
  return "tensor_flops_32bit";
}

MatrixPipe pipe_of_kernel(const Kernel& kernel) {
  return std::visit(
      [&](const auto& shape) {
        if constexpr (requires { product_format(shape); }) {
          return product_format(shape).pipe;
        } else {
          return pipe_of(kernel.activations);
        }
      },
      kernel.shape);
}

/// The kernel's pipe, or the busiest: attention over a wider cache multiplies in the wider type.
MatrixPipe pipe_that_ran(const Kernel& kernel, const SwitchingCounts& switched) {
  const MatrixPipe own = pipe_of_kernel(kernel);
  if (switched.tensor[static_cast<std::size_t>(own)].count() > 0) return own;
  const auto busiest = std::ranges::max_element(switched.tensor);
  return busiest->count() > 0 ? static_cast<MatrixPipe>(busiest - switched.tensor.begin()) : own;
}

std::int64_t mixer_rows(const GroupedAttention& a) {
  return a.q_width() * (a.output_gate ? 3 : 2) + 2 * a.kv_width();
}
std::int64_t mixer_rows(const LatentAttention& a) {
  return a.shape.heads * (a.shape.query_dim() + a.shape.nope_dim + 2 * a.shape.value_dim);
}
std::int64_t mixer_rows(const GatedDelta& d) {
  return 2 * d.shape.conv_channels() + 2 * d.shape.value_width();
}

std::int64_t mixer_rows(const MixerElsewhere&) {
  return 0;
}

/// Elements per token that are alive at once inside a layer, at most: projections and the output of
/// the mixer, or gate, up and their product.
std::int64_t widest_rows(const LayerKind& kind) {
  std::int64_t ffn = 3 * kind.ffn.intermediate;
  if (kind.ffn.experts) {
    const Experts& experts = *kind.ffn.experts;
    ffn += 3 * (experts.router.top_k * experts.intermediate + experts.shared_intermediate);
  }
  return std::max(std::visit([](const auto& mixer) { return mixer_rows(mixer); }, kind.mixer), ffn);
}

/// A replayed run finds weights in L2 only where those of all its kernels fit together.
Bytes weights_of(const std::vector<Kernel>& kernels) {
  Bytes sum(0);
  for (const Kernel& kernel : kernels) sum += operand_bytes(kernel).weights;
  return sum;
}

/// Cuts the time of a pass at its exchanges.
class Segments {
 public:
  /// `exchanges`: launches before each.
  explicit Segments(const std::vector<std::size_t>& exchanges) : exchanges_(exchanges) {}
  /// `kernel` is about to start at `now`.
  void reach(std::size_t kernel, Picoseconds now) {
    while (times_.size() < exchanges_.size() && exchanges_[times_.size()] <= kernel) {
      times_.push_back(now - last_);
      last_ = now;
    }
  }
  [[nodiscard]] std::vector<Picoseconds> take(Picoseconds end) {
    if (exchanges_.empty()) return {};
    reach(std::numeric_limits<std::size_t>::max(), end);
    times_.push_back(end - last_);
    return std::move(times_);
  }

 private:
  const std::vector<std::size_t>& exchanges_;
  std::vector<Picoseconds> times_;
  Picoseconds last_{0};
};

/// Adds a kernel that runs `times` times to those that look the same.
void add_kernel(const KernelCost& cost, std::int64_t times, std::vector<KernelCost>& kernels) {
  const auto same = std::ranges::find_if(kernels, [&](const KernelCost& other) {
    return other.role == cost.role && other.time == cost.time && other.floor == cost.floor;
  });
  if (same != kernels.end()) {
    same->repeats += times;
    return;
  }
  kernels.push_back(cost);
  kernels.back().repeats = times;
}

/// Without the rotation and cache write that the attention kernel behind them does itself.
std::vector<Kernel> launched_kernels(const GpuParams& params, const std::vector<Kernel>& all) {
  std::vector<Kernel> launched;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool writes = all[i].role == "cache_write" && i + 1 < all.size();
    const auto* next = writes ? std::get_if<AttentionKernel>(&all[i + 1].shape) : nullptr;
    if (next == nullptr || !appends_to_cache(params, *next)) launched.push_back(all[i]);
  }
  return launched;
}

}  // namespace

GpuChip::GpuChip(const Chip& chip, const Software& software)
    : chip_(chip),
      params_(resolve(chip, software)),
      peaks_(peaks_of(params_)),
      workspace_tokens_(chip.parameters.count("workspace_tokens")) {}

GpuChip::GpuChip(const GpuChip& whole, std::int64_t without)
    : chip_(whole.chip_),
      params_(with_fewer_sms(whole.params_, without)),
      peaks_(peaks_of(params_)),
      workspace_tokens_(whole.workspace_tokens_),
      memory_(whole.memory_),
      shelf_(whole.shelf_) {
  shelf_.chip = Hasher().add(shelf_.chip).add("without").add(without).value();
}

std::unique_ptr<ChipModel> GpuChip::without_units(std::int64_t units) const {
  return std::unique_ptr<ChipModel>(new GpuChip(*this, units));
}

void GpuChip::share_kernels(std::shared_ptr<KernelMemory> memory, const KernelShelf& shelf) {
  memory_ = std::move(memory);
  shelf_ = shelf;
}

/// Which pairs of operands have a pipe: codes of 8 bits, and of 4 with scales of blocks, where the
/// chip multiplies them; narrower weights are widened to their rows' type on the way.
Precision GpuChip::executed(const Precision& asked) const {
  Precision precision = asked;
  if (precision.activation_format == nullptr) return precision;
  const formats::QuantFormat& rows = *precision.activation_format;
  const bool has_blocks = rows.scale != formats::ScaleType::Float32;
  const bool is_fp8 = rows.code == formats::CodeType::Fp8E4m3;
  const bool has_pipe = is_fp8 ? params_.peak_fp8.count() > 0 : params_.peak_int8.count() > 0;
  const bool multiplies = has_blocks ? params_.peak_fp4.count() > 0 : has_pipe;
  if (!multiplies) precision.activation_format = nullptr;
  return precision;
}

Fit GpuChip::fit(const Stage& stage, std::int64_t sequences, std::int64_t) const {
  // Rows alive at once: residual stream, norm output, and the widest operator's inputs and output.
  std::int64_t widest = 0;
  for (const LayerKind& kind : stage.network.kinds) {
    widest = std::max(widest, widest_rows(shard_of(kind, stage.shard)));
  }
  const std::int64_t rows = workspace_tokens_ * (2 * stage.network.hidden + widest);
  const std::int64_t logits =
      stage.has_head() ? sequences * (1 + stage.revocable) * stage.head_rows() : 0;
  Fit fit;
  fit.capacity = params_.hbm_capacity - params_.reserved_memory;
  fit.weights = stage.weight_bytes();
  fit.program = Bytes(0);
  fit.workspace = params_.framework_workspace +
                  Bytes(rows * bytes_of(stage.precision.activations) + logits * 4) +
                  stage.state_bytes() * sequences;
  fit.kv_per_token = stage.kv_bytes_per_token();
  return fit;
}

KernelTiming GpuChip::timing_at(const KernelKind& kind, Hertz clock) const {
  const std::uint64_t key = Hasher().add(kind.key).add(std::llround(clock.count())).value();
  TimingNumbers numbers{};
  if (memory_->find(shelf_, key, numbers)) return timing_of(numbers);
  // Libraries choose a plan for the chip, not for the clock of the moment.
  const KernelPlan plan = plan_kernel(params_, *kind.kernel);
  const KernelTiming timing = Machine(at_clock(params_, clock)).run(plan, kind.residency);
  memory_->put(shelf_, key, numbers_of(timing));
  return timing;
}

SimulatedKernel GpuChip::simulated(const KernelKind& kind, Hertz clock) const {
  SimulatedKernel result;
  result.timing = timing_near(kind, clock);
  result.floor = floor_of(params_, peaks_, *kind.kernel, sizes_of(*kind.kernel), kind.residency);
  return result;
}

KernelTiming GpuChip::timing_near(const KernelKind& kind, Hertz clock) const {
  if (!is_straight(*kind.kernel)) return timing_at(kind, clock);
  const ClockBracket bracket = bracket_clock(clock, params_.clock);
  const KernelTiming high = timing_at(kind, bracket.high);
  if (bracket.upper_weight == 1) return high;
  const KernelTiming low = timing_at(kind, bracket.low);
  return bends_between(low, high) ? timing_at(kind, clock)
                                  : between(low, high, bracket.upper_weight);
}

Hertz GpuChip::sustained_clock(const std::vector<KernelKind>& kinds) const {
  if (!params_.model_power) return params_.clock;
  return governed_clock(params_, [&](Hertz clock) {
    SwitchingCounts counts;
    Picoseconds time(0);
    for (const KernelKind& kind : kinds) {
      const KernelTiming timing = simulated(kind, clock).timing;
      counts.add(timing.switched, kind.times);
      time += timing.time * kind.times;
    }
    return energy_of(params_, counts, time);
  });
}

KernelCost GpuChip::cost_of(const Kernel& kernel, const SimulatedKernel& result,
                            Hertz clock) const {
  KernelCost cost;
  cost.role = std::string(kernel.role);
  cost.time = result.timing.time;
  cost.floor = result.floor;
  cost.bound = result.timing.bound();
  cost.work = work_of(kernel);
  cost.memory_read = result.timing.hbm_read;
  cost.memory_write = result.timing.hbm_written;
  cost.clock = clock;
  cost.skipped = result.timing.skipped;
  cost.power = mean_power(params_, energy_of(params_, result.timing.switched, cost.time), clock);
  return cost;
}

void GpuChip::count_activity(const Kernel& kernel, std::int64_t times,
                             const SimulatedKernel& result, Hertz clock, Activity& activity) const {
  const KernelWork work = work_of(kernel);
  const SwitchingCounts& switched = result.timing.switched;
  const auto add = [&](const std::string& name, std::int64_t count) {
    if (count > 0) activity.counts[name] += count * times;
  };
  const MatrixPipe own = pipe_that_ran(kernel, switched);
  add(tensor_counter(own), work.matrix.count());
  for (std::size_t i = 0; i < matrix_pipes; ++i) {
    const auto pipe = static_cast<MatrixPipe>(i);
    const Flops useful = pipe == own ? work.matrix : Flops(0);
    add(std::string("padding_") + tensor_counter(pipe), (switched.tensor[i] - useful).count());
  }
  add("vector_flops", switched.vector.count());
  add("special_ops", switched.special.count());
  add("l2_bytes", switched.l2.count());
  add("hbm_bytes", switched.hbm.count());
  add("kernel_launches", switched.launches);
  const double pace = clock / params_.clock;
  const double voltage = relative_voltage(params_.energy, pace);
  const RunEnergy energy = energy_of(params_, switched, result.timing.time);
  add("active_nanoseconds", std::llround(to_seconds(result.timing.time) * 1e9 * energy.active *
                                         pace * voltage * voltage));
  add("undervolted_nanojoules", std::llround(energy.core.count() * 1e9 * (1 - voltage * voltage)));
}

StageCost GpuChip::simulate(const Stage& stage, const Batch& batch,
                            TimelineRecorder* timeline) const {
  const ShortPass shorter = short_pass(stage);
  const KernelGraph graph = lower(shorter.stage, batch);
  const PassKernels pass = kernels_of_pass(params_, shorter, graph);
  // A loaded service repeats its passes for longer than the governor takes to react.
  const Hertz clock = sustained_clock(pass.kinds);
  StageCost total;
  std::vector<KernelCost> costs;
  std::map<std::string, Picoseconds> by_bound;
  for (const KernelKind& kind : pass.kinds) {
    const SimulatedKernel result = simulated(kind, clock);
    const KernelCost& cost = costs.emplace_back(cost_of(*kind.kernel, result, clock));
    by_bound[cost.bound] += cost.time * kind.times;
    count_activity(*kind.kernel, kind.times, result, clock, total.activity);
    add_kernel(cost, kind.times, total.kernels);
  }
  total.time = total.floor = Picoseconds(0);
  Segments segments(pass.exchanges);
  for (std::size_t i = 0; i < pass.launches.size(); ++i) {
    const KernelCost& cost = costs[pass.launches[i]];
    if (timeline != nullptr) {
      timeline->span(timeline->track(chip_.name, "kernels"), cost.role, total.time,
                     total.time + cost.time);
    }
    segments.reach(i, total.time);
    total.time += cost.time;
    total.floor += cost.floor;
  }
  total.segments = segments.take(total.time);
  total.cycles = ClockDomain(clock).cycles_in(total.time);
  Picoseconds most(0);
  for (const auto& [bound, time] : by_bound) {
    if (time <= most) continue;
    most = time;
    total.bottleneck = bound;
  }
  return total;
}

KernelCost GpuChip::simulate_run(const KernelRun& run) const {
  const std::vector<Kernel> kernels = launched_kernels(params_, run.kernels);
  for (const Kernel& kernel : kernels) check_kernel(params_, kernel);
  const bool all_weights_fit = weights_of(kernels) * run.weight_copies <= params_.l2_capacity;
  std::vector<KernelKind> kinds;
  for (const Kernel& kernel : kernels) {
    Residency residency = measured_alone(params_, kernel, run.warm, run.weight_copies);
    if (!all_weights_fit) residency.weights = 0;
    if (!kinds.empty()) {
      residency.activations =
          std::max(residency.activations, inside_pass(params_, kernel).activations);
    }
    kinds.push_back(kind_of(kernel, residency));
  }
  KernelCost total;
  total.clock = run.sustained ? sustained_clock(kinds) : params_.clock;
  Picoseconds longest(0);
  total.time = run.overhead;
  Joules energy(params_.energy.idle.count() * to_seconds(run.overhead));
  for (const KernelKind& kind : kinds) {
    const KernelCost cost = cost_of(*kind.kernel, simulated(kind, total.clock), total.clock);
    energy += Joules(cost.power.count() * to_seconds(cost.time));
    if (&kind == &kinds.front()) total.role = cost.role;
    if (cost.time > longest) {
      longest = cost.time;
      total.bound = cost.bound;
    }
    total.time += cost.time;
    total.skipped += cost.skipped;
    total.floor += cost.floor;
    total.work += cost.work;
    total.memory_read += cost.memory_read;
    total.memory_write += cost.memory_write;
  }
  if (total.time.count() > 0) total.power = Watts(energy.count() / to_seconds(total.time));
  return total;
}

std::unique_ptr<LoadedStage> GpuChip::load(const Stage& stage, const Weights& weights, std::int64_t,
                                           std::int64_t max_context) const {
  Stage own = stage;
  own.precision = executed(stage.precision);
  return load_on_gpu(*this, own, weights, max_context);
}

std::map<std::string, Joules> GpuChip::energy_per_count() const {
  const EnergyParams& energy = params_.energy;
  std::map<std::string, Joules> per_count = {
      {"vector_flops", energy.per_vector_flop},
      {"special_ops", energy.per_special},
      {"l2_bytes", energy.per_l2_byte},
      {"hbm_bytes", energy.per_hbm_byte},
      {"kernel_launches", energy.per_launch},
      {"active_nanoseconds", Joules(energy.active.count() * 1e-9)},
      // Core energy that the counts above charge at the nominal voltage and a lower one saves.
      {"undervolted_nanojoules", Joules(-1e-9)}};
  for (std::size_t i = 0; i < matrix_pipes; ++i) {
    const auto pipe = static_cast<MatrixPipe>(i);
    per_count[tensor_counter(pipe)] = energy.per_tensor_flop(pipe);
    per_count[std::string("padding_") + tensor_counter(pipe)] = energy.per_tensor_flop(pipe);
  }
  return per_count;
}

std::unique_ptr<ChipModel> make_gpu_chip(const Chip& chip, const Software& software) {
  return std::make_unique<GpuChip>(chip, software);
}

ChipModelEntry gpu_entry() {
  return {"gpu", "Event-driven GPU: CTAs on SMs, L2, HBM.", gpu_schema(), make_gpu_chip,
          std::make_shared<KernelMemory>()};
}

}  // namespace tandem::gpu
