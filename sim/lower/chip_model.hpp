// The one interface through which the engine knows chips. Implemented in models/gpu and models/lpu.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/core/timeline.hpp"
#include "sim/core/units.hpp"
#include "sim/lower/kernel.hpp"
#include "sim/lower/kernel_memory.hpp"
#include "sim/lower/kv_block.hpp"
#include "sim/lower/token_tree.hpp"
#include "sim/lower/weights.hpp"
#include "sim/numerics/tensor.hpp"

namespace tandem {

/// Integer counts of what a chip did, for energy. Names are stable result keys.
struct Activity {
  std::map<std::string, std::int64_t> counts;
  Activity& operator+=(const Activity& other);
};

/// What one kernel cost: cycle time and floor are computed apart.
struct KernelCost {
  std::string role;
  Picoseconds time;   ///< cycle clock, launch included
  Picoseconds floor;  ///< analytical: plan against peak rates and compulsory traffic
  std::string bound;  ///< what limits it: "tensor", "hbm", "l2", "launch", "sram", ...
  KernelWork work;
  Bytes memory_read;  ///< bytes that left HBM (GPU) or SRAM (LPU)
  Bytes memory_write;
  std::int64_t repeats = 1;  ///< identical kernels this entry stands for
  Watts power;               ///< mean board power over `time`; 0: the chip does not say
  Hertz clock;               ///< at which it ran; 0: the chip's own
  /// Part of `time` that equals simulated periods and was not simulated again.
  Picoseconds skipped;
  [[nodiscard]] double skipped_share() const { return time.count() > 0 ? skipped / time : 0; }
};

/// Kernels that a framework runs one after the other as one operator.
struct KernelRun {
  std::vector<Kernel> kernels;
  bool warm = false;  ///< operands that fit are resident in the last-level cache at entry
  /// Layers with weights of their own that the measurement replays in turn: warm weights stay in
  /// the cache only if those of all layers fit.
  std::int64_t weight_copies = 1;
  Picoseconds overhead{0};  ///< of the framework, beyond the kernels
  bool sustained = false;   ///< repeated until power settles: the chip may have to lower its clock
};

/// What one forward pass of a stage cost on one chip.
struct StageCost {
  Picoseconds time;
  Picoseconds floor;
  Cycles cycles;  ///< of the chip's core clock
  Activity activity;
  std::vector<KernelCost> kernels;
  std::string bottleneck;
  /// Parts that add up to `time`. Of a chip in a gang: before its first exchange, between each and
  /// the next, and after the last, with no exchange in them. Of a stage on LPUs: one per pass of
  /// its program. Empty where there are none.
  std::vector<Picoseconds> segments;
};

/// Where a stage's bytes go on one chip; the error of a placement that does not fit is made of it.
struct Fit {
  Bytes capacity;
  Bytes weights;              ///< with padding
  Bytes program;              ///< instruction bytes, tables, constants
  Bytes workspace;            ///< activations, buffers, framework, recurrent states beside KV
  Bytes kv_per_token;         ///< with padding
  std::int64_t kv_block = 1;  ///< tokens by which a request's KV grows
  /// Recurrent state of one request, with padding, of a stage without KV on a chip with request
  /// slots: there the states decide how many requests fit, whatever their length.
  Bytes state_per_sequence;
  [[nodiscard]] Bytes free_for_kv() const { return capacity - weights - program - workspace; }
  [[nodiscard]] std::int64_t kv_tokens() const;  ///< tokens of KV that fit, never negative
  /// What one request of `tokens` tokens keeps on the chip, in whole blocks of KV.
  [[nodiscard]] Bytes bytes_of_sequence(std::int64_t tokens) const;
  /// Requests of `tokens` tokens that fit, never negative.
  [[nodiscard]] std::int64_t sequences(std::int64_t tokens) const;
  [[nodiscard]] bool holds_weights() const { return free_for_kv().count() >= 0; }
};

/// What shares a chip with a stage: copies of another one, each with weights of its own and memory
/// of its own for the same requests.
struct Neighbours {
  Stage stage;
  std::int64_t copies = 1;
};

/// What enters and leaves a stage in a functional pass. First stage: token ids; later stages the
/// hidden rows [tokens, hidden]. Last stage: logits [sampled, head rows].
struct StageData {
  std::vector<std::int32_t> tokens;
  Tensor hidden;
  Tensor logits;
  TokenTree tree;  ///< how the newest tokens of the batch's only request branch
};

/// A pass under way on one chip of a gang. Numbers and time are as in LoadedStage::run.
class RankPass {
 public:
  virtual ~RankPass() = default;
  /// Runs to the next exchange, in the order of KernelGraph::exchanges, and returns what the chip
  /// brings to it: one tensor, or one per peer (all_to_all, dispatch, combine). Nothing at the end.
  virtual std::optional<std::vector<Tensor>> advance() = 0;
  /// Hands over what the exchange gave this chip, in the same form. Sums are without the residual.
  virtual void receive(std::vector<Tensor> results) = 0;
  /// After the end.
  virtual StageCost finish(StageData& out) = 0;
};

/// A chip that holds a stage's weights and the KV of its requests, and executes with real numbers.
class LoadedStage {
 public:
  virtual ~LoadedStage() = default;
  /// Runs one pass: numbers and time from the same execution. The KV of each slice's request must
  /// hold exactly slice.context tokens.
  virtual StageCost run(const Batch& batch, const StageData& in, StageData& out) = 0;
  /// Begins a pass of a stage that a gang shares; `in` must outlive it. Throws ModelError where the
  /// chip model does not run single ranks.
  [[nodiscard]] virtual std::unique_ptr<RankPass> begin(const Batch& batch, const StageData& in);
  /// What a request's tokens left in the stage's layers: KV and recurrent states.
  [[nodiscard]] virtual KvBlock export_kv(std::int64_t request) const = 0;
  /// Takes over what a request left elsewhere; `block` is in this stage's KV type. Throws
  /// ModelError where it has another shape.
  virtual void import_kv(std::int64_t request, const KvBlock& block) = 0;
  /// Keeps of a request what its first `tokens` tokens left, as if the others had never been
  /// computed. Throws ModelError where that cannot be.
  virtual void keep(std::int64_t request, std::int64_t tokens);
  /// Keeps the first `tokens` tokens and behind them, moved to where they belong, those at `places`
  /// of the cache, ascending: one path of a tree. Throws ModelError where that cannot be.
  virtual void keep_path(std::int64_t request, std::int64_t tokens,
                         std::span<const std::int64_t> places);
  /// Gives request `to` a copy of what `from` left; what `to` had before is dropped.
  virtual void fork(std::int64_t from, std::int64_t to);
  virtual void release(std::int64_t request) = 0;
};

/// One kind of chip with its software: answers how long, how many of what, and does it fit.
///
/// Contract:
///  - Answers depend only on the arguments and what was given at construction; two equal calls give
///    equal answers in any order and in any process. Caches inside must not change answers.
///  - `floor` is computed without `simulate`'s code; simulate(...).time >= floor(...) always holds
///    because the physics says so, never by clamping.
///  - What a model does not support throws ModelError that names it.
class ChipModel {
 public:
  virtual ~ChipModel() = default;
  [[nodiscard]] virtual const Chip& chip() const = 0;
  [[nodiscard]] virtual Hertz clock() const = 0;
  /// How much of the chip the stage takes when up to `sequences` requests of at most `max_context`
  /// tokens are in flight.
  [[nodiscard]] virtual Fit fit(const Stage& stage, std::int64_t sequences,
                                std::int64_t max_context) const = 0;
  /// The same with neighbours on the chip. Their activations take the room of the stage's: passes
  /// follow each other.
  [[nodiscard]] virtual Fit fit_beside(const Stage& stage, const Neighbours& neighbours,
                                       std::int64_t sequences, std::int64_t max_context) const;
  /// False where weights and one request of `max_context` tokens alone are more than the chip
  /// holds: much cheaper than fit(), which may have to compile, and never false where fit() has
  /// room.
  [[nodiscard]] virtual bool may_hold(const Stage&, std::int64_t /*max_context*/) const {
    return true;
  }
  /// Largest number of sequences in one pass (LPU programs have batch slots); 0 = no limit.
  [[nodiscard]] virtual std::int64_t batch_limit() const = 0;
  /// Decode passes whose KV lengths (context + 1) round up to the same multiple of this many tokens
  /// cost the same. 1 = every length is its own case.
  [[nodiscard]] virtual std::int64_t context_granularity() const { return 1; }
  /// Units over which the chip deals out the pieces of a kernel (SMs), so that time jumps where one
  /// piece more than a wave begins; 0 where schedules are static.
  [[nodiscard]] virtual std::int64_t parallel_units() const { return 0; }
  /// What the chip makes of the formats of a placement: where it does not multiply a pair of
  /// operands, rows are kept and weights widened. Throws ModelError that says what to write instead
  /// for formats that it does not take at all.
  [[nodiscard]] virtual Precision executed(const Precision& precision) const { return precision; }
  /// Type in which hidden states travel between this chip's stages.
  [[nodiscard]] virtual ElementType hidden_type(const Precision& precision) const {
    return precision.activations;
  }
  /// True where simulate() and load() take a gang as a whole (Stage::tensor); else the engine runs
  /// its chips one by one (Stage::shard) and the exchanges between them.
  [[nodiscard]] virtual bool runs_gangs() const { return false; }
  /// True where programs contain their sends and receives to the cycle: a hop between stages then
  /// adds the flight of a vector alone.
  [[nodiscard]] virtual bool schedules_links() const { return false; }
  [[nodiscard]] virtual StageCost simulate(const Stage& stage, const Batch& batch,
                                           TimelineRecorder* timeline = nullptr) const = 0;
  [[nodiscard]] virtual Picoseconds floor(const Stage& stage, const Batch& batch) const = 0;
  /// The chip while `units` of its compute units (SMs) do something else, as exchanges that run
  /// beside its kernels. Null where a model has no such units; throws ModelError where it has no
  /// more than these.
  [[nodiscard]] virtual std::unique_ptr<ChipModel> without_units(std::int64_t /*units*/) const {
    return nullptr;
  }
  /// Kernels by themselves, back to back: the sum of their times. The role is the first one's, the
  /// bound that of the longest.
  [[nodiscard]] virtual KernelCost simulate_run(const KernelRun& run) const = 0;
  [[nodiscard]] KernelCost simulate_kernel(const Kernel& kernel, bool warm) const {
    return simulate_run({{kernel}, warm, false});
  }
  /// Puts a stage with its weights on a chip for functional runs of requests of up to `max_context`
  /// tokens, `sequences` of them at a time.
  [[nodiscard]] virtual std::unique_ptr<LoadedStage> load(const Stage& stage,
                                                          const Weights& weights,
                                                          std::int64_t sequences,
                                                          std::int64_t max_context) const = 0;
  /// Kernels are kept on that shelf from now on, and taken from it. Does nothing where a model does
  /// not simulate kernel by kernel.
  virtual void share_kernels(std::shared_ptr<KernelMemory> /*memory*/,
                             const KernelShelf& /*shelf*/) {}
  /// Static power and energy per activity count, joules each, for sim/account.
  [[nodiscard]] virtual Watts static_power() const = 0;
  [[nodiscard]] virtual std::map<std::string, Joules> energy_per_count() const = 0;
};

/// Makes a chip model. The catalogue (models/catalog) is a table of these, handed to the engine by
/// sim/entry; the engine itself never names a hardware model.
struct ChipModelEntry {
  std::string name;  ///< "gpu", "lpu": Chip::model
  std::string doc;
  ParameterSchema schema;
  std::function<std::unique_ptr<ChipModel>(const Chip&, const Software&)> make;
  /// Of all chips that are made by this entry (ChipModel::share_kernels); null: none.
  std::shared_ptr<KernelMemory> kernels = nullptr;
};
using Catalogue = std::vector<ChipModelEntry>;

}  // namespace tandem
