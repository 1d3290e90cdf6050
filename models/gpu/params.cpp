#include "models/gpu/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem::gpu {
namespace {

using D = Dimension;

Picoseconds time_value(const ParameterSet& set, const char* name) {
  return from_seconds(set.value(name));
}
Bytes size_value(const ParameterSet& set, const char* name) {
  return Bytes(set.count(name));
}

ParameterSchema compute_schema() {
  return {
      {"sms",
       D::Count,
       "Streaming multiprocessors. --set of it needs --set of all peaks and of l2_bandwidth.",
       {},
       1,
       4096},
      {"clock",
       D::Frequency,
       "SM clock at which the peaks hold. --set of it needs --set of all peaks and of "
       "l2_bandwidth.",
       {},
       1e6,
       1e11},
      {"peak_float32", D::ComputeRate, "CUDA-core FMA peak at `clock`.", {}, 1},
      {"peak_float16", D::ComputeRate, "Dense tensor peak.", {}, 1},
      {"peak_bfloat16", D::ComputeRate, "Dense tensor peak.", {}, 1},
      {"peak_fp8", D::ComputeRate, "Dense tensor peak; 0: no fp8 units.", 0.0},
      {"peak_int8", D::ComputeRate, "Dense tensor peak; 0: no int8 units.", 0.0},
      {"peak_fp4", D::ComputeRate, "Dense tensor peak; 0: no fp4 units.", 0.0},
      {"special_per_clock", D::Scalar, "Special-function results per SM and clock.", 16.0, 1, 1024},
      {"shared_bytes_per_clock", D::Scalar, "Shared-memory bytes per SM and clock.", 128.0, 1},
      {"port_bytes_per_clock", D::Scalar, "Bytes per SM and clock from L2.", 64.0, 1},
      {"store_bytes_per_clock", D::Scalar, "Bytes per SM and clock to L2.", 32.0, 1},
      {"matrix_issue", D::Count,
       "Matrix instructions: 0 warp-synchronous (mma.sync, MFMA), 1 wgmma, 2 tcgen05.", 0.0, 0, 2},
      {"stage_handoff", D::Time, "Pause of a CTA's matrix work per stage buffer.", 0.0, 0, 1e-6},
      {"matrix_latency",
       D::Time,
       "Tensor instruction to the next on its accumulator.",
       {},
       0,
       1e-6},
      {"matrix_efficiency", D::Fraction, "Sustained share of the tensor peak.", {}, 0.01, 1},
      {"multicast", D::Count, "CTAs of a cluster that share one operand's loads.", 1.0, 1, 16},
      {"overlaps_softmax", D::Count,
       "1: the indexer of sparse attention weighs scores beside its next product. Attention "
       "kernels "
       "overlap as their libraries do.",
       0.0, 0, 1},
      {"persistent_kernels", D::Count, "1: epilogues overlap the next tile's loads.", 0.0, 0, 1},
      {"dependent_launch", D::Count,
       "1: a kernel can be launched before the one ahead of it ends (compute capability 9.0 on).",
       0.0, 0, 1},
      {"shared_memory", D::Size, "Shared memory per SM usable by CTAs.", {}, 1024},
      {"registers", D::Size, "Register file per SM.", {}, 1024},
      {"tensor_memory", D::Size,
       "Tensor memory per SM, which holds the sums of tcgen05 (128 lanes of 512 columns, PTX ISA); "
       "unused with other matrix instructions.",
       262144.0, 65536},
      {"max_threads", D::Count, "Resident threads per SM.", 2048.0, 32, 8192},
      {"max_ctas", D::Count, "Resident CTAs per SM.", 32.0, 1, 256},
      {"max_bytes_in_flight", D::Size, "Outstanding load bytes per SM.", {}, 128},
  };
}

ParameterSchema memory_schema() {
  return {
      {"l2_capacity", D::Size, "L2 that one kernel can keep resident.", {}, 1024},
      {"l2_bandwidth", D::Bandwidth, "L2 read bandwidth of all SMs.", {}, 1e9},
      {"l2_latency", D::Time, "Unloaded L2 hit from the SM.", {}, 0, 1e-3},
      {"atomic_interval", D::Time, "Between two atomic updates of one word in L2.", 5e-9, 0, 1e-6},
      {"memory_family", D::Count, "0: HBM, 1: GDDR, 2: LPDDR; the hbm_ numbers describe it.", 0.0,
       0, 2},
      {"hbm_generation",
       D::Scalar,
       "HBM: 2, 2.5 (HBM2e), 3, 3.5 (HBM3e) or 4; GDDR: 6, 6.5 (6X) or 7; LPDDR: 5.5 (5X).",
       {},
       2,
       7},
      {"hbm_stacks", D::Count, "HBM stacks, or GDDR and LPDDR packages.", {}, 1, 64},
      {"hbm_bandwidth", D::Bandwidth, "Peak of all stacks.", {}, 1e9},
      {"hbm_latency", D::Time, "Unloaded HBM read from the SM.", {}, 0, 1e-3},
      {"hbm_refresh_time", D::Time, "tRFC of all-bank refresh at this die density.", {}, 0, 1e-5},
      {"hbm_stream_efficiency", D::Fraction,
       "Share of the refresh-bound rate that streams of all SMs together reach (bank conflicts).",
       1.0, 0.5, 1},
      {"hbm_capacity", D::Size, "Memory of the chip.", {}, 1},
      {"reserved_memory", D::Size, "Held by driver and context.", 0.0},
      {"framework_workspace", D::Size, "Held by the serving framework.", 0.0},
      {"workspace_tokens", D::Count, "Tokens of one pass for which activations are reserved.",
       8192.0, 1},
  };
}

ParameterSchema overhead_schema() {
  return {
      {"launch_overhead", D::Time, "Between two dependent kernels of a graph.", {}, 0, 1e-3},
      {"cta_start", D::Time, "Set-up of a CTA before its first load.", {}, 0, 1e-3},
      {"kernel_tail", D::Time, "From the last store to completion.", {}, 0, 1e-3},
      {"energy_tensor_flop", D::Energy, "16-bit tensor operation (multiply or add).", {}},
      {"energy_vector_flop", D::Energy, "CUDA-core operation.", {}},
      {"energy_special", D::Energy, "Special-function result.", {}},
      {"energy_l2_byte", D::Energy, "Byte between L2 and SM.", {}},
      {"energy_hbm_byte", D::Energy, "Byte between HBM and L2.", {}},
      {"energy_launch", D::Energy, "Kernel launch.", 0.0},
      {"idle_power", D::Power, "Power at rest: leakage, memory refresh, board.", {}},
      {"active_power", D::Power, "Clock trees and schedulers while kernels run.", 0.0},
      {"tdp", D::Power, "Power limit.", {}},
      {"voltage_slope", D::Scalar, "Relative fall of voltage per relative fall of the clock.", 0.0,
       0, 2},
      {"lowest_voltage", D::Fraction, "Voltage below which it does not fall, of the nominal.", 1.0,
       0.1, 1},
  };
}

ParameterSchema ablation_schema() {
  return {
      {"model_refresh", D::Count, "Ablation: 0 leaves HBM refresh out.", 1.0, 0, 1},
      {"model_l2", D::Count, "Ablation: 0 lets no load hit in L2.", 1.0, 0, 1},
      {"model_launch", D::Count, "Ablation: 0 makes launches free.", 1.0, 0, 1},
      {"model_multicast", D::Count, "Ablation: 0 lets every CTA load for itself.", 1.0, 0, 1},
      {"model_handoff", D::Count, "Ablation: 0 lets matrix work run on between stages.", 1.0, 0, 1},
      {"model_power", D::Count, "Ablation: 0 never lowers the clock for power.", 1.0, 0, 1},
      {"model_crossbar", D::Count, "Ablation: 0 makes the ports of the SMs unlimited.", 1.0, 0, 1},
      {"model_occupancy", D::Count, "Ablation: 0 ignores registers, threads and CTA slots.", 1.0, 0,
       1},
  };
}

HbmConfig resolve_hbm(const ParameterSet& set) {
  HbmConfig config;
  config.kind =
      dram_kind(static_cast<DramFamily>(set.count("memory_family")), set.value("hbm_generation"));
  config.stacks = set.count("hbm_stacks");
  config.bandwidth = BytesPerSecond(set.value("hbm_bandwidth"));
  config.refresh_time = time_value(set, "hbm_refresh_time");
  config.stream_efficiency = set.value("hbm_stream_efficiency");
  config.model_refresh = set.count("model_refresh") != 0;
  return config;
}

EnergyParams resolve_energy(const ParameterSet& set) {
  EnergyParams energy;
  energy.per_tensor_flop_16bit = Joules(set.value("energy_tensor_flop"));
  energy.per_vector_flop = Joules(set.value("energy_vector_flop"));
  energy.per_special = Joules(set.value("energy_special"));
  energy.per_l2_byte = Joules(set.value("energy_l2_byte"));
  energy.per_hbm_byte = Joules(set.value("energy_hbm_byte"));
  energy.per_launch = Joules(set.value("energy_launch"));
  energy.idle = Watts(set.value("idle_power"));
  energy.active = Watts(set.value("active_power"));
  energy.tdp = Watts(set.value("tdp"));
  energy.voltage_slope = set.value("voltage_slope");
  energy.lowest_voltage = set.value("lowest_voltage");
  return energy;
}

void resolve_compute(const ParameterSet& set, GpuParams& p) {
  p.sms = set.count("sms");
  p.clock = Hertz(set.value("clock"));
  p.peak_float32 = FlopsPerSecond(set.value("peak_float32"));
  p.peak_float16 = FlopsPerSecond(set.value("peak_float16"));
  p.peak_bfloat16 = FlopsPerSecond(set.value("peak_bfloat16"));
  p.peak_fp8 = FlopsPerSecond(set.value("peak_fp8"));
  p.peak_int8 = FlopsPerSecond(set.value("peak_int8"));
  p.peak_fp4 = FlopsPerSecond(set.value("peak_fp4"));
  p.special_per_clock = set.value("special_per_clock");
  p.shared_bytes_per_clock = set.value("shared_bytes_per_clock");
  p.port_bytes_per_clock = set.value("port_bytes_per_clock");
  p.store_bytes_per_clock = set.value("store_bytes_per_clock");
  p.matrix_issue = static_cast<MatrixIssue>(set.count("matrix_issue"));
  p.stage_handoff = time_value(set, "stage_handoff");
  p.matrix_latency = time_value(set, "matrix_latency");
  p.matrix_efficiency = set.value("matrix_efficiency");
  p.multicast = set.count("multicast");
  p.overlaps_softmax = set.count("overlaps_softmax") != 0;
  p.persistent_kernels = set.count("persistent_kernels") != 0;
  p.shared_memory = size_value(set, "shared_memory");
  p.registers = size_value(set, "registers");
  p.tensor_memory = size_value(set, "tensor_memory");
  p.max_threads = set.count("max_threads");
  p.max_ctas = set.count("max_ctas");
  p.max_bytes_in_flight = size_value(set, "max_bytes_in_flight");
}

void resolve_memory(const ParameterSet& set, GpuParams& p) {
  p.l2_capacity = size_value(set, "l2_capacity");
  p.l2_bandwidth = BytesPerSecond(set.value("l2_bandwidth"));
  p.l2_latency = time_value(set, "l2_latency");
  p.atomic_interval = time_value(set, "atomic_interval");
  p.hbm = resolve_hbm(set);
  p.hbm_latency = time_value(set, "hbm_latency");
  p.hbm_capacity = size_value(set, "hbm_capacity");
  p.reserved_memory = size_value(set, "reserved_memory");
  p.framework_workspace = size_value(set, "framework_workspace");
  if (p.hbm_latency < p.l2_latency) {
    throw ModelError("gpu: hbm_latency includes the L2 look-up and cannot be below l2_latency");
  }
}

/// Chip totals belong to a number of SMs and a clock. Throws ModelError where an override changes
/// these and leaves totals that the file gives for the others: such a chip would be as fast as
/// before.
void check_overrides(const Chip& chip) {
  const auto is_overridden = [&](const char* name) {
    return chip.parameters.at(name).source == "command-line";
  };
  if (!is_overridden("sms") && !is_overridden("clock")) return;
  std::vector<std::string> left;
  for (const char* total : {"peak_float32", "peak_float16", "peak_bfloat16", "peak_fp8",
                            "peak_int8", "peak_fp4", "l2_bandwidth"}) {
    if (chip.parameters.value(total) > 0 && !is_overridden(total)) left.emplace_back(total);
  }
  if (left.empty()) return;
  throw ModelError(
      fmt::format("gpu: chip '{}': peaks and L2 bandwidth are of the whole chip at its "
                  "clock; with another 'sms' or 'clock' set these too: {}",
                  chip.name, fmt::join(left, ", ")));
}

/// Mechanisms that are switched off.
void apply_ablations(const ParameterSet& set, GpuParams& p) {
  const auto is_off = [&](const char* name) { return set.count(name) == 0; };
  p.model_l2 = !is_off("model_l2");
  p.model_launch = !is_off("model_launch");
  p.model_power = !is_off("model_power");
  if (!p.model_launch) p.launch_overhead = p.cta_start = p.kernel_tail = Picoseconds(0);
  if (is_off("model_multicast")) p.multicast = 1;
  if (is_off("model_handoff")) p.stage_handoff = Picoseconds(0);
  constexpr double unlimited_port = 1e9;
  if (is_off("model_crossbar")) p.port_bytes_per_clock = p.store_bytes_per_clock = unlimited_port;
  if (!is_off("model_occupancy")) return;
  constexpr std::int64_t unlimited = 1 << 20;
  p.registers = Bytes(std::int64_t{unlimited} << 10);
  p.max_threads = p.max_ctas = unlimited;
}

/// Energies of single operations in picojoules, of which only ratios count here (Horowitz, ISSCC
/// 2014, 45 nm). A floating-point multiplier of a half or a quarter of the width takes a quarter or
/// a sixteenth.
constexpr double float16_product = 1.1, float32_sum = 0.9, int8_product = 0.2, int32_sum = 0.1;

constexpr double share_of_16bit(double product_and_sum) {
  return product_and_sum / (float16_product + float32_sum);
}

}  // namespace

ParameterSchema gpu_schema() {
  ParameterSchema schema = compute_schema();
  for (const auto& part : {memory_schema(), overhead_schema(), ablation_schema()}) {
    schema.insert(schema.end(), part.begin(), part.end());
  }
  return schema;
}

Joules EnergyParams::per_tensor_flop(MatrixPipe pipe) const {
  switch (pipe) {
    case MatrixPipe::Fp4:
      return per_tensor_flop_16bit * share_of_16bit(float16_product / 16 + float32_sum);
    case MatrixPipe::Fp8:
      return per_tensor_flop_16bit * share_of_16bit(float16_product / 4 + float32_sum);
    case MatrixPipe::Int8:
      return per_tensor_flop_16bit * share_of_16bit(int8_product + int32_sum);
    case MatrixPipe::Float16:
    case MatrixPipe::Bfloat16:
      return per_tensor_flop_16bit;
    case MatrixPipe::Float32:
      break;
  }
  return per_vector_flop;
}

GpuParams at_clock(GpuParams params, Hertz clock) {
  const double pace = clock / params.clock;
  const auto slower = [&](Picoseconds& time) { time = from_seconds(to_seconds(time) / pace); };
  params.clock = clock;
  for (FlopsPerSecond* peak : {&params.peak_float32, &params.peak_float16, &params.peak_bfloat16,
                               &params.peak_fp8, &params.peak_int8, &params.peak_fp4}) {
    *peak = *peak * pace;
  }
  params.l2_bandwidth = params.l2_bandwidth * pace;
  // Of a miss, the way through L2 slows down and the memory's own part does not.
  const Picoseconds beyond_l2 = params.hbm_latency - params.l2_latency;
  slower(params.l2_latency);
  params.hbm_latency = params.l2_latency + beyond_l2;
  slower(params.matrix_latency);
  slower(params.stage_handoff);
  slower(params.cta_start);
  slower(params.atomic_interval);  // L2 runs in the core domain
  return params;
}

GpuParams with_fewer_sms(GpuParams params, std::int64_t given) {
  if (given < 0 || given >= params.sms) {
    throw ModelError(fmt::format("gpu: {} of {} SMs cannot be given away", given, params.sms));
  }
  const double left = static_cast<double>(params.sms - given) / static_cast<double>(params.sms);
  for (FlopsPerSecond* peak : {&params.peak_float32, &params.peak_float16, &params.peak_bfloat16,
                               &params.peak_fp8, &params.peak_int8, &params.peak_fp4}) {
    *peak = *peak * left;
  }
  params.sms -= given;
  return params;
}

FlopsPerSecond GpuParams::matrix_peak(MatrixPipe pipe) const {
  FlopsPerSecond peak(0);
  switch (pipe) {
    case MatrixPipe::Float32:
      peak = peak_float32;
      break;
    case MatrixPipe::Bfloat16:
      peak = peak_bfloat16;
      break;
    case MatrixPipe::Float16:
      peak = peak_float16;
      break;
    case MatrixPipe::Fp8:
      peak = peak_fp8;
      break;
    case MatrixPipe::Int8:
      peak = peak_int8;
      break;
    case MatrixPipe::Fp4:
      peak = peak_fp4;
      break;
  }
  if (peak.count() <= 0) {
    throw ModelError(fmt::format("gpu: this chip has no matrix units for {}", name_of(pipe)));
  }
  return peak;
}

ElementType math_type(ElementType weights, ElementType activations) {
  return bytes_of(weights) > bytes_of(activations) ? weights : activations;
}

namespace {

/// How the framework's libraries multiply narrow types.
void resolve_products(const ParameterSet& set, GpuParams& p) {
  if (set.has("product_library")) {
    p.product_library = static_cast<ProductLibrary>(set.count("product_library"));
  }
  if (set.has("stream_k")) p.offers_stream_k = set.count("stream_k") == 1;
  if (set.has("alternates_promotion")) {
    p.alternates_promotion = set.count("alternates_promotion") == 1;
  }
  if (set.has("expert_widening")) p.expert_widening = set.value("expert_widening");
  if (set.has("norm_access")) p.norm_access = set.count("norm_access");
  if (set.has("attention_copies")) p.copies_grouped_heads = set.count("attention_copies") == 1;
}

}  // namespace

GpuParams resolve(const Chip& chip, const Software& software) {
  const ParameterSet& set = chip.parameters;
  check_overrides(chip);
  GpuParams p;
  resolve_compute(set, p);
  resolve_memory(set, p);
  p.energy = resolve_energy(set);
  p.launch_overhead = time_value(set, "launch_overhead");
  if (software.parameters.has("launch_overhead")) {
    p.launch_overhead += time_value(software.parameters, "launch_overhead");
  }
  resolve_products(software.parameters, p);
  p.hides_launch = set.count("dependent_launch") == 1 &&
                   software.parameters.has("dependent_launch") &&
                   software.parameters.count("dependent_launch") == 1;
  p.launches_tensorrt_attention = software.parameters.has("tensorrt_attention") &&
                                  software.parameters.count("tensorrt_attention") == 1;
  p.cta_start = time_value(set, "cta_start");
  p.kernel_tail = time_value(set, "kernel_tail");
  apply_ablations(set, p);
  return p;
}

}  // namespace tandem::gpu
