// The event-driven GPU: drives the CTAs of a kernel plan through SMs, L2 and HBM.
//
// One slot per resident CTA. A slot issues the loads of its steps as stage buffers free up; loads
// cross the SM's port, L2 and, where they miss, HBM, each a first-come-first-served server; a step
// whose loads have arrived takes the SM's tensor pipe, then its vector and special-function pipes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/gpu/kernel_timing.hpp"
#include "models/gpu/l2_cache.hpp"
#include "models/gpu/plan.hpp"
#include "models/hbm/memory.hpp"
#include "sim/core/calendar_queue.hpp"

namespace tandem::gpu {

/// A server that takes requests in the order they are made.
struct Server {
  Picoseconds free{0};
  Picoseconds busy{0};
  /// Reserves `duration` from `now` at the earliest; returns the end.
  Picoseconds reserve(Picoseconds now, Picoseconds duration) {
    free = (free > now ? free : now) + duration;
    busy += duration;
    return free;
  }
};

/// Steps of an equal CTA that show the steady state.
inline constexpr int most_equal_steps = 96;

/// Runs kernels one at a time. Contract: run() starts from an idle machine and depends only on its
/// arguments and the parameters; run_next() goes on where the kernel before it has ended, with HBM
/// as that left it.
class Machine {
 public:
  explicit Machine(const GpuParams& params);
  [[nodiscard]] KernelTiming run(const KernelPlan& plan, const Residency& residency);
  [[nodiscard]] KernelTiming run_next(const KernelPlan& plan, const Residency& residency);

 private:
  enum class EventKind : std::uint8_t { Load, Tensor, TensorDone, Epilogue, Store };
  struct Event {
    EventKind kind;
    std::int32_t slot;
    std::int64_t cta;  ///< of Epilogue and Store
  };
  /// A step between the issue of its loads and the end of its tensor work.
  struct PendingStep {
    Picoseconds ready;
    Picoseconds tensor, chain, handoff, vector, special;
    Picoseconds hold;  ///< vector work during which the SM does no tensor work
    TileStore store;
    std::int64_t cta;
    bool is_last;
  };
  struct Slot {
    std::int32_t sm = 0;
    std::int64_t cta = -1;  ///< being loaded; -1: none
    int next_step = 0;
    int steps = 0;
    std::vector<PendingStep> pending;  ///< ring of `stages` entries
    std::size_t head = 0, count = 0;
    bool is_computing = false;
    Picoseconds loads_from{0};            ///< no load of the next step before
    Picoseconds vector_done{0};           ///< of the step before
    Picoseconds previous_vector_done{0};  ///< of the one before that
  };
  struct Sm {
    Server tensor, vector, special, port, store, staging;
  };

  void run_phase(const PlanPhase& phase, Picoseconds start);
  /// Whole periods of the grid that fill the machine, in CTAs; 0: the grid has no period.
  [[nodiscard]] std::int64_t repetition_of(const PlanPhase& phase) const;
  /// CTAs of the phase to simulate: all, or some repetitions fewer.
  [[nodiscard]] std::int64_t ctas_to_run(const PlanPhase& phase) const;
  /// Adds what CTAs and steps that were not simulated would have done: time at the rate at which
  /// repetitions started after the first one and in proportion to steps, counts in proportion to
  /// those since `before`.
  void skip_rounds(const PlanPhase& phase, Picoseconds start, const KernelTiming& before);
  /// Where the machine notes its state, and where it leaves repeated CTAs out.
  struct RepeatMark {
    std::int64_t cta;
    bool leaves_out;
    std::size_t repeat;  ///< of the phase
  };
  struct RepeatState {
    Picoseconds time;
    KernelTiming timing;
  };
  void prepare_repeats(const PlanPhase& phase);
  /// Moves next_cta_ behind repeated CTAs that need not be run, with what they would have done
  /// added: as often as they are left out, what has been done since the second of them began.
  void pass_repeats(Picoseconds now);
  void leave_out(const RepeatedCtas& repeat, const RepeatState& second, Picoseconds now);
  template <class Grow>
  void grow_counts(const KernelTiming& before, const KernelTiming& after, const Grow& grow);
  void prepare_slots(const PlanPhase& phase);
  /// Gives the slot the next CTA of the grid, if there is one.
  [[nodiscard]] bool assign_next(Slot& slot, Picoseconds now);
  void handle(const Event& event, Picoseconds now);
  void issue_loads(Slot& slot, std::int32_t index, Picoseconds now);
  [[nodiscard]] PendingStep make_pending(const Slot& slot, const Step& step, Picoseconds now);
  [[nodiscard]] Picoseconds load_tile(Sm& sm, const TileLoad& load, std::int64_t rounds,
                                      Picoseconds now);
  /// When the last byte of a store has left the SM, and when it has arrived.
  struct Sent {
    Picoseconds sent, done;
  };
  Sent store_tile(Sm& sm, const TileStore& store, std::int64_t cta, Picoseconds now);
  /// Keeps a tile in L2; what had to leave for it and has no other copy goes to HBM.
  void keep_tile(std::int64_t tile, Bytes bytes, Picoseconds ready, bool dirty, Picoseconds now);
  void schedule_tensor(Slot& slot, std::int32_t index, Picoseconds now);
  void start_tensor(Slot& slot, std::int32_t index, Picoseconds now);
  void finish_tensor(Slot& slot, std::int32_t index, Picoseconds now);
  void start_epilogue(const Event& event, Picoseconds now);
  void store_output(const Event& event, Picoseconds now);
  [[nodiscard]] double resident_share(Operand operand) const;
  /// The part of an output that has no room in L2.
  [[nodiscard]] Bytes leaving_output(Bytes store) const;
  [[nodiscard]] KernelTiming summarise(Picoseconds end) const;

  GpuParams params_;
  HbmMemory hbm_;
  double clock_per_ps_;
  double vector_per_ps_, special_per_ps_, shared_per_ps_, issue_per_ps_;
  Picoseconds exchange_;  ///< of values between warps through shared memory
  double tensor_per_ps_ = 0;

  const PlanPhase* phase_ = nullptr;
  Residency residency_;
  L2Cache cache_{Bytes(0), 0};
  Server l2_;
  Server shared_word_;  ///< L2's atomic unit, as far as one word is concerned
  Bytes l2_bytes_{0};
  SwitchingCounts switched_;
  std::vector<Sm> sms_;
  std::vector<Slot> slots_;
  CalendarQueue<Event> events_;
  std::int64_t next_cta_ = 0;
  std::int64_t last_cta_ = 0;                    ///< CTAs of the phase that are simulated
  std::int64_t repetition_ = 0;                  ///< of this phase
  Picoseconds second_round_{0}, last_round_{0};  ///< starts of those repetitions
  std::vector<RepeatMark> repeat_marks_;         ///< of this phase, by CTA
  std::size_t next_mark_ = 0;
  std::vector<RepeatState> second_repeats_;  ///< at the second of a run, by run
  Picoseconds left_out_{0};                  ///< of this phase, by repeated CTAs
  KernelTiming skipped_;                     ///< of rounds that were not simulated
  std::int64_t event_count_ = 0;
  Picoseconds setup_{0};  ///< of a CTA of this phase
  Picoseconds phase_end_{0};
  Picoseconds start_{0};  ///< of the kernel
  Picoseconds hbm_busy_before_{0};
  Bytes read_before_{0}, written_before_{0};
};

}  // namespace tandem::gpu
