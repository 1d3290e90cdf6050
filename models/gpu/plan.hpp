// A kernel plan: the exact schedule of CTAs that a kernel becomes on a GPU. Plans say what each CTA
// loads, computes and stores, step by step; the machine (machine.hpp) says when.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/gpu/params.hpp"
#include "sim/lower/kernel.hpp"
#include "sim/lower/product_format.hpp"

namespace tandem::gpu {

/// What a load belongs to: decides whether it can be resident in L2 when the kernel starts.
enum class Operand : std::uint8_t { Weight, Activation, Kv, Workspace };

/// One tile to fetch into an SM. Loads of equal `tile` are the same bytes: once in L2 they hit.
struct TileLoad {
  std::int64_t tile = 0;
  Bytes bytes;
  Operand operand = Operand::Activation;
  std::int64_t sharers = 1;  ///< CTAs of a cluster that take it from one L2 read
};

/// Bytes that leave an SM. Output goes to HBM unless it may stay in L2; a workspace tile stays in
/// L2 until it is evicted and read or written back.
struct TileStore {
  Bytes output;
  Bytes workspace;
  std::int64_t tile = -1;  ///< that the workspace bytes make resident
};

/// One turn of a CTA's main loop: loads into a stage buffer, then tensor work, then vector work,
/// then stores that nobody waits for.
struct Step {
  TileLoad loads[4];
  int load_count = 0;
  Flops tensor;               ///< useful operations
  Flops tensor_padded;        ///< with the padding of partial tiles and masked pairs
  std::int64_t chain = 0;     ///< tensor instructions that each wait for the one before
  std::int64_t handoffs = 0;  ///< stage buffers after which the CTA's matrix work pauses
  std::int64_t rounds = 1;    ///< turns of the loads, each issued when the one before has arrived
  Bytes scale_copies;         ///< block scales that tensor memory takes between its instructions
  /// Times that warps wait for each other's values in shared memory, one after the other.
  std::int64_t exchanges = 0;
  Bytes shared_traffic;  ///< operand bytes the tensor instructions read from shared memory
  Flops vector;
  Flops special;
  Flops vector_padded;   ///< with masked pairs; zero: as `vector`
  Flops special_padded;  ///< with masked pairs; zero: as `special`
  /// Instructions of all threads where they exceed the useful ones: conversions, addresses,
  /// control.
  Flops issue;
  TileStore store;
  void add(const TileLoad& load) {
    if (load.bytes.count() > 0) loads[load_count++] = load;
  }
};

/// What a CTA does after its last step.
struct Epilogue {
  TileLoad load;  ///< residual; zero bytes: none
  Flops vector;
  Flops special;
  Bytes staging;                 ///< shared-memory traffic on the way from registers to the store
  Bytes store;                   ///< part of the kernel's output
  Bytes workspace_store;         ///< partial results, kept in L2
  std::int64_t store_tile = -1;  ///< tile that the workspace store makes resident
  std::int64_t exchanges = 0;    ///< as in Step
  bool updates_shared_word = false;  ///< an atomic update of one word that all CTAs of a grid share
};

/// The CTAs of one phase. Contract: pure; steps(cta) >= 1; tiles are numbered 0 .. tiles() - 1.
class CtaProgram {
 public:
  virtual ~CtaProgram() = default;
  [[nodiscard]] virtual std::int64_t ctas() const = 0;
  [[nodiscard]] virtual std::int64_t tiles() const = 0;
  [[nodiscard]] virtual int steps(std::int64_t cta) const = 0;
  virtual void step(std::int64_t cta, int index, Step& out) const = 0;
  virtual void epilogue(std::int64_t cta, Epilogue& out) const = 0;
};

/// How the vector work of a step shares an SM with tensor work.
enum class VectorWork : std::uint8_t {
  AfterTensor,   ///< after its own tensor work; other CTAs may use the tensor pipe meanwhile
  BesideTensor,  ///< step i + 1 may use the tensor pipe before step i's vector work
  Lockstep,      ///< all warps of the SM do tensor work, then all do vector work
  BesideValues,  ///< special functions run beside the second of two products, the rest after it
};

/// A run of CTAs in which a part does the same again and again, with other tiles. The machine runs
/// the first `kept` of `count` parts of `period` CTAs each from `first` on, and lets the others be
/// as those after the first. Runs may lie inside parts of others.
struct RepeatedCtas {
  std::int64_t first = 0, period = 0, count = 0, kept = 3;
  [[nodiscard]] std::int64_t second() const { return first + period; }
  [[nodiscard]] std::int64_t left_out() const { return first + kept * period; }
  [[nodiscard]] std::int64_t end() const { return first + count * period; }
};

/// One grid launch inside a kernel; a phase starts when the one before it has stored everything.
struct PlanPhase {
  std::shared_ptr<const CtaProgram> program;
  std::int64_t ctas_per_sm = 1;
  std::int64_t stages = 2;  ///< steps whose loads may be outstanding or waiting per CTA
  MatrixPipe pipe = MatrixPipe::Bfloat16;
  bool has_setup = true;           ///< CTAs set barriers and descriptors up before they load
  bool is_launched = false;        ///< a launch of its own, behind the phase before it
  bool persistent = false;         ///< a slot loads its next CTA while the last one finishes
  bool overlaps_epilogue = false;  ///< persistent: the next tile's tensor work runs beside it
  Picoseconds tile_setup;          ///< persistent: from a CTA's last load to the next one's first
  VectorWork vector_work = VectorWork::AfterTensor;
  /// Warps fetch operands from shared memory and multiply them in turn: the times add up.
  bool fetches_in_order = false;
  /// All CTAs do the same: the machine may run some rounds of them and let the others last as long.
  bool has_equal_ctas = false;
  /// CTAs after which the grid does the same again, with other tiles: the machine may run some
  /// repetitions and let the others last as long. 0: all CTAs are run.
  std::int64_t period = 0;
  std::vector<RepeatedCtas> repeats;  ///< with a period of 0
};

/// Sums over all CTAs of a plan. `tensor`, `vector`, `special`, `store` equal work_of's closed
/// forms.
struct PlanTotals {
  Flops tensor, tensor_padded, vector, special;
  Bytes requested;  ///< loads by SMs, re-reads included
  Bytes store;      ///< the kernel's output
  Bytes workspace;  ///< partial results written and read back
  std::int64_t ctas = 0;
  std::int64_t steps = 0;
};

struct KernelPlan {
  std::string algorithm;  ///< e.g. "gemm 128x256 split 1"
  std::vector<PlanPhase> phases;
};

/// Adds a plan up CTA by CTA.
[[nodiscard]] PlanTotals totals_of(const KernelPlan& plan);

/// The plan a good library would use for this kernel on this chip. Throws ModelError "gpu: no
/// kernel plan for 'gated_delta' yet" for kinds that have none, and for variants beyond the plan of
/// a kind.
[[nodiscard]] KernelPlan plan_kernel(const GpuParams& params, const Kernel& kernel);

/// How many CTAs of one phase fit on an SM: shared memory, registers, threads, CTA slots.
struct CtaDemand {
  Bytes shared_memory;
  Bytes registers;
  std::int64_t threads = 128;
};
[[nodiscard]] std::int64_t ctas_per_sm(const GpuParams& params, const CtaDemand& demand);

/// Neighbouring turns that are simulated as one where a kernel has more than `budget`: few enough
/// that tiles stay small beside L2 and CTAs keep the turns that their pipeline needs.
[[nodiscard]] constexpr std::int64_t merged_turns(std::int64_t turns, std::int64_t budget) {
  constexpr std::int64_t most = 8;
  const std::int64_t wanted = turns / budget;
  return wanted < 1 ? 1 : (wanted < most ? wanted : most);
}

/// Boundaries of main-loop turns over `units` units of work (k slices, KV tiles): 0 = first,
/// ascending, last = units. Turns grow geometrically from one unit so that the pipeline fills as
/// finely as in hardware, and are at most `largest` units; sums are exact for any choice.
[[nodiscard]] std::vector<std::int64_t> loop_turns(std::int64_t units, std::int64_t largest);

}  // namespace tandem::gpu
