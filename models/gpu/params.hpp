// What the GPU model knows of one chip: the schema of its parameters and their resolved form.
#pragma once

#include <cstdint>

#include "models/hbm/memory.hpp"
#include "sim/core/units.hpp"
#include "sim/describe/parameter.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/product_format.hpp"
#include "sim/numerics/element.hpp"

namespace tandem::gpu {

/// Energy of one event of each kind, and power that flows anyway.
struct EnergyParams {
  Joules per_tensor_flop_16bit;
  Joules per_vector_flop;
  Joules per_special;
  Joules per_l2_byte;
  Joules per_hbm_byte;
  Joules per_launch;
  Watts idle;
  Watts active;               ///< clocks and schedulers while any kernel runs, at the nominal clock
  Watts tdp;                  ///< board limit that the governor keeps
  double voltage_slope = 0;   ///< relative fall of the voltage per relative fall of the clock
  double lowest_voltage = 1;  ///< relative to the voltage at the nominal clock

  /// One multiply or add of a tensor pipe. A multiplier's energy goes with the square of the width
  /// of its operands; the sum stays in 32 bits, in floating point or in integers.
  [[nodiscard]] Joules per_tensor_flop(MatrixPipe pipe) const;
};

/// How the SM issues matrix work: decides tile menus, occupancy and what overlaps.
enum class MatrixIssue : std::uint8_t {
  Warp,       ///< synchronous, operands in registers: mma.sync (Ampere, Ada, RTX Blackwell), MFMA
  Warpgroup,  ///< asynchronous from shared memory, sums in registers: wgmma (Hopper)
  TensorMemory,  ///< asynchronous, sums in tensor memory: tcgen05 (data-centre Blackwell)
};

/// Whose kernels multiply narrow types: decides tiles and split-K (library_tiles.hpp).
enum class ProductLibrary : std::uint8_t {
  Chosen,       ///< the tiling that costs least: cuBLAS, DeepGEMM
  Vllm,         ///< CUTLASS kernels of vLLM and those of FlashInfer, by dispatch rules
  TensorRtLlm,  ///< kernels of TensorRT-LLM with their defaults
};

/// One chip, resolved. Rates are of the whole chip and dense.
struct GpuParams {
  std::int64_t sms = 0;
  Hertz clock;
  FlopsPerSecond peak_float32, peak_float16, peak_bfloat16, peak_fp8, peak_int8, peak_fp4;
  double special_per_clock = 16;        ///< special-function results per SM and clock
  double shared_bytes_per_clock = 128;  ///< shared-memory bandwidth of an SM
  double port_bytes_per_clock = 64;     ///< L2 to SM, per SM
  double store_bytes_per_clock = 32;    ///< SM to L2, per SM
  MatrixIssue matrix_issue = MatrixIssue::Warp;
  Picoseconds matrix_latency;  ///< of one tensor instruction on its accumulator
  /// A CTA's tensor work pauses this long per stage buffer: barrier, operand fetch, first result.
  Picoseconds stage_handoff;
  double matrix_efficiency = 1;  ///< sustained share of the tensor peak

  Bytes l2_capacity;  ///< what one kernel can keep: the knee of the measured bandwidth curve
  BytesPerSecond l2_bandwidth;
  Picoseconds l2_latency;
  Picoseconds atomic_interval;  ///< between two atomic updates of one word
  HbmConfig hbm;
  Picoseconds hbm_latency;  ///< from the SM, unloaded, L2 miss included
  Bytes hbm_capacity;
  Bytes reserved_memory;  ///< driver, context, ECC
  Bytes framework_workspace;

  Bytes shared_memory;  ///< per SM, usable by CTAs
  Bytes registers;
  Bytes tensor_memory;  ///< per SM; holds the sums of tcgen05 products, no registers do
  std::int64_t max_threads = 2048;
  std::int64_t max_ctas = 32;
  Bytes max_bytes_in_flight;        ///< outstanding loads per SM
  std::int64_t multicast = 1;       ///< CTAs of a cluster that share the load of one operand
  bool overlaps_softmax = false;    ///< the indexer weighs scores beside its next product
  bool persistent_kernels = false;  ///< the epilogue of one tile overlaps the loads of the next

  Picoseconds launch_overhead;  ///< between two kernels of a graph
  /// Programmatic dependent launch: a kernel is launched and sets its first CTAs up while the one
  /// before it runs, and waits for that one's last store only (CUDA C++ Programming Guide).
  bool hides_launch = false;
  bool launches_tensorrt_attention = false;  ///< the framework has TensorRT-LLM's kernels
  Picoseconds cta_start;                     ///< barrier and descriptor set-up of a CTA
  Picoseconds kernel_tail;                   ///< from the last store to "done"

  // What products of narrow types do in the framework's libraries.
  ProductLibrary product_library = ProductLibrary::Chosen;
  bool offers_stream_k = false;       ///< products may divide the slices of their last tiles evenly
  double expert_widening = 8;         ///< instructions per weight that experts widen
  bool alternates_promotion = false;  ///< warpgroups promote sums while others multiply
  std::int64_t norm_access = 16;      ///< bytes that a thread of a norm loads at once
  bool copies_grouped_heads = false;  ///< queries and results of grouped heads are copied around
                                      ///< decode attention that takes heads for rows

  bool model_l2 = true;      ///< off: no tile is ever found in L2
  bool model_launch = true;  ///< off: launch, CTA start and tail cost nothing
  bool model_power = true;   ///< off: the board limit never lowers the clock

  EnergyParams energy;

  /// From the end of one kernel of a graph to the start of the next.
  [[nodiscard]] Picoseconds launch_gap() const {
    return hides_launch ? Picoseconds(0) : launch_overhead;
  }
  /// Peak of matrix products in one pipe. Throws ModelError when the chip has no units for it.
  [[nodiscard]] FlopsPerSecond matrix_peak(MatrixPipe pipe) const;
  /// Element-wise operations per second: one per CUDA core and clock, half of the FMA peak, which
  /// holds at `clock` like all peaks.
  [[nodiscard]] FlopsPerSecond vector_peak() const {
    return FlopsPerSecond(peak_float32.count() / 2);
  }
  [[nodiscard]] FlopsPerSecond special_peak() const {
    return FlopsPerSecond(special_per_clock * clock.count() * static_cast<double>(sms));
  }
};

/// Parameters of hw_configs/chips files with `model: gpu`.
[[nodiscard]] ParameterSchema gpu_schema();

/// Resolves a chip and its software. Throws ModelError on impossible combinations,
/// and where an override changes `sms` or `clock` but not the totals that belong to them.
/// Software constants read when present: launch_overhead (added to the chip's, per kernel).
[[nodiscard]] GpuParams resolve(const Chip& chip, const Software& software);

/// The same chip with its SM and L2 domain at another clock: rates and cycle-counted latencies of
/// SMs, crossbar and L2 follow, the memory keeps its own clock, launches are made by the front end.
[[nodiscard]] GpuParams at_clock(GpuParams params, Hertz clock);

/// The same chip with some of its SMs given to others: their rates are gone, L2 and memory are
/// shared. Throws ModelError where none is left.
[[nodiscard]] GpuParams with_fewer_sms(GpuParams params, std::int64_t given);

/// The type in which a product of these operands is computed: the wider one.
[[nodiscard]] ElementType math_type(ElementType weights, ElementType activations);

}  // namespace tandem::gpu
