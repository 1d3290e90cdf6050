// Implementation of the chip interface by compiled programs. Inside of models/lpu.
#pragma once

#include <map>
#include <mutex>
#include <tuple>

#include "models/lpu/chip_host.hpp"
#include "models/lpu/chip_model.hpp"

namespace tandem::lpu {

/// What a pass over a given number of KV blocks takes; counts are of all chips of a gang.
struct PassCost {
  std::int64_t cycles = 0;
  std::map<std::string, std::int64_t> counts;
  Picoseconds host;  ///< spent at the host
};

/// Time that a pass of so many tokens spends at the host, by what the stage exchanges with it.
[[nodiscard]] Picoseconds host_time(const StageLayout& layout, const Geometry& geometry,
                                    const HostLink& link, int tokens);
/// Lower bound of a batch from the rates of the weight paths, planes and ALUs; no schedule.
[[nodiscard]] Picoseconds floor_of_passes(const Stage& stage, const Batch& batch,
                                          const Geometry& geometry);
/// The cost of passes with the given numbers of KV blocks, in sequence.
[[nodiscard]] StageCost cost_of_passes(const std::vector<PassCost>& passes, const Stage& stage,
                                       const Batch& batch, const Geometry& geometry);

/// LPU of any geometry. A batch runs in passes of 1, 2, 4 ... tokens, whichever split takes least.
class LpuChip final : public ChipModel {
 public:
  LpuChip(const Chip& chip, const Software& software);
  [[nodiscard]] const Chip& chip() const override { return chip_; }
  [[nodiscard]] Hertz clock() const override { return geometry_.clock; }
  [[nodiscard]] Fit fit(const Stage& stage, std::int64_t sequences,
                        std::int64_t max_context) const override;
  [[nodiscard]] Fit fit_beside(const Stage& stage, const Neighbours& neighbours,
                               std::int64_t sequences, std::int64_t max_context) const override;
  [[nodiscard]] bool may_hold(const Stage& stage, std::int64_t max_context) const override;
  [[nodiscard]] std::int64_t batch_limit() const override { return most_tokens; }
  /// The residual stream, whatever the activations of the planes are.
  [[nodiscard]] Precision executed(const Precision& asked) const override;
  [[nodiscard]] ElementType hidden_type(const Precision&) const override {
    return ElementType::Float32;
  }
  [[nodiscard]] bool runs_gangs() const override { return true; }
  [[nodiscard]] bool schedules_links() const override { return true; }
  /// A KV block: the trip count of the attention loops is all that the context decides.
  [[nodiscard]] std::int64_t context_granularity() const override { return geometry_.lanes(); }
  [[nodiscard]] StageCost simulate(const Stage& stage, const Batch& batch,
                                   TimelineRecorder* timeline) const override;
  [[nodiscard]] Picoseconds floor(const Stage& stage, const Batch& batch) const override;
  [[nodiscard]] KernelCost simulate_run(const KernelRun& run) const override;
  [[nodiscard]] std::unique_ptr<LoadedStage> load(const Stage& stage, const Weights& weights,
                                                  std::int64_t sequences,
                                                  std::int64_t max_context) const override;
  /// Tokens of the widest passes of a stage whose requests are as long as it says.
  [[nodiscard]] int widest_pass(const Stage& stage) const;
  /// The program of such a stage's passes of so many tokens: see program_of_run().
  [[nodiscard]] std::shared_ptr<const CompiledStage> program(const Stage& stage, int width) const;
  [[nodiscard]] Watts static_power() const override;
  [[nodiscard]] std::map<std::string, Joules> energy_per_count() const override;

 private:
  struct Timed {
    std::shared_ptr<const CompiledStage> compiled;
    /// By loop and its further iterations; see pass_with().
    std::map<std::pair<std::size_t, std::int64_t>, PassCost> passes;
  };
  [[nodiscard]] std::int64_t rows_of(Bytes bytes) const;
  /// KV blocks of a request of so many tokens; 1 where the stage keeps none.
  [[nodiscard]] std::int64_t blocks_of(const Stage& stage, std::int64_t tokens) const;
  /// KV blocks of the longest request of a stage's pool.
  [[nodiscard]] std::int64_t longest_blocks(const Stage& stage) const;
  /// Most tokens of a pass of requests with so many KV blocks.
  [[nodiscard]] int room_for(const Stage& stage, std::int64_t blocks) const;
  /// The same of a stage without KV.
  [[nodiscard]] int room_beside_programs(const Stage& stage) const;
  /// The program of that width, the tokens of a pass, beside buffers for `room`.
  [[nodiscard]] Timed& timed(const Stage& stage, int room, int width) const;
  [[nodiscard]] std::int64_t largest_block_count(const Stage& stage, int room,
                                                 std::int64_t rows) const;
  /// Throws ModelError where not even one request of so many KV blocks fits.
  void check_context(const Stage& stage, std::int64_t blocks) const;
  /// Requests that fit beside the programs of passes of up to `room` tokens, and beside neighbours
  /// with as many.
  [[nodiscard]] std::int64_t largest_slot_count(const Stage& stage, std::int64_t blocks, int room,
                                                const Neighbours* neighbours = nullptr) const;
  /// Rows of the fullest bank that neighbours take with so many requests, their programs included.
  [[nodiscard]] std::int64_t rows_beside(const Neighbours& neighbours, std::int64_t slots,
                                         std::int64_t max_context) const;
  /// What fit() answers.
  [[nodiscard]] Fit fit_alone(const Stage& stage, std::int64_t max_context) const;
  [[nodiscard]] Fit measured_fit(const Stage& stage, std::int64_t max_context) const;
  /// Of all programs of up to `room` tokens.
  [[nodiscard]] Bytes program_bytes(const Stage& stage, int room) const;
  /// Further iterations of a token's loops over all KV blocks and over those of a window.
  struct Iterations {
    std::int64_t all = 0, window = 0;
  };
  [[nodiscard]] static Iterations iterations_of(const CompiledStage& compiled, std::int64_t blocks);
  /// One pass with so many for each token.
  [[nodiscard]] PassCost run_pass(const CompiledStage& compiled,
                                  const std::vector<Iterations>& iterations,
                                  TimelineRecorder* timeline) const;
  /// The pass in which loop `loop` alone has `further` further iterations: a token's loops over all
  /// blocks (2 t) or over those of a window (2 t + 1).
  const PassCost& pass_with(Timed& entry, std::size_t loop, std::int64_t further) const;
  [[nodiscard]] PassCost pass_cost(Timed& entry, const std::vector<std::int64_t>& blocks) const;
  [[nodiscard]] Picoseconds pass_time(const CompiledStage& compiled) const;

  Chip chip_;
  Geometry geometry_;
  LatencyTable latencies_;
  HostLink host_;
  mutable std::mutex mutex_;
  /// By stage key, room and width; changes no answer.
  mutable std::map<std::tuple<std::uint64_t, int, int>, Timed> cache_;
  /// Answers of room_for, by stage key and blocks.
  mutable std::map<std::pair<std::uint64_t, std::int64_t>, int> rooms_;
  /// Answers of fit(), by stage key and context.
  mutable std::map<std::pair<std::uint64_t, std::int64_t>, Fit> fits_;
};

}  // namespace tandem::lpu
