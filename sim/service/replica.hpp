// What all replicas of pools have in common: they compute requests, token by token, and hand them
// on. Two kinds follow: batching (dynamic schedules) and streaming (static schedules).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/service/component.hpp"
#include "sim/service/host_clock.hpp"
#include "sim/service/occupancy.hpp"
#include "sim/service/request.hpp"
#include "sim/step/estimator.hpp"

namespace tandem {

class DraftPasses;
class KvTiers;
class Perturbation;
class TierPasses;
class TimelineRecorder;

/// When a pass occupies a station of its pipeline.
struct StationSpan {
  Picoseconds start, end;
};

/// KV that a pass will have written of a request: tokens [first_token, first_token + tokens), in
/// the layers of each station while it is there.
struct KvWritten {
  std::int64_t first_token = 0, tokens = 0;
  std::vector<StationSpan> stations;
};

/// What replicas report to: the router of the run.
class RequestSink {
 public:
  virtual ~RequestSink() = default;
  /// A pass of the request's prompt begins whose KV is needed elsewhere.
  virtual void writes_kv(Request&, const KvWritten&, Picoseconds /*now*/) {}
  /// A token left the pool at `now`; the request's counters are already up to date. May make the
  /// request wait.
  virtual void token(Request& request, Picoseconds now) = 0;
  /// The prompt is computed and the first token is out, but the rest runs elsewhere: its KV is held
  /// here until Replica::release().
  virtual void prefilled(Request& request, Picoseconds now) = 0;
  /// `replica` has set room aside for a request that was offered to it: its KV may come.
  virtual void reserved(Request& request, Replica& replica, Picoseconds now) = 0;
  virtual void finished(Request& request, Picoseconds now) = 0;
  /// A request lost its KV here and is computed again when there is room.
  virtual void preempted(Request&, Picoseconds) {}
};

/// The floor of a pass that ends with drafts: what its tokens wait for, and what the tokens of the
/// next one wait for besides.
struct RoundFloor {
  Picoseconds tokens, drafts;
};

/// The part a pool plays for a request.
enum class Role : std::uint8_t { Both, Prefill, Decode, Draft, Verify };

/// Times at which each station of a pipeline is free again; passes keep their order.
class PipelineClock {
 public:
  explicit PipelineClock(std::size_t stations) : free_(stations), busy_(stations) {}
  /// Sends a pass through, as early as `earliest`. Returns when its tokens are back at the start.
  Picoseconds enter(Picoseconds earliest, const StepEstimate& estimate);
  /// Where the last pass that entered is at what time.
  [[nodiscard]] const std::vector<StationSpan>& last_pass() const { return last_pass_; }
  [[nodiscard]] Picoseconds first_free() const { return free_.front(); }
  [[nodiscard]] std::size_t stations() const { return free_.size(); }
  /// Time that each station was occupied.
  [[nodiscard]] const std::vector<Picoseconds>& busy() const { return busy_; }

 private:
  std::vector<Picoseconds> free_;
  std::vector<Picoseconds> busy_;
  std::vector<StationSpan> last_pass_;
};

/// What every replica is made with.
struct ReplicaSetup {
  StepEstimator* estimator = nullptr;
  DraftPasses* drafts = nullptr;         ///< what drafts on the same chips; null: nothing
  TierPasses* tiers = nullptr;           ///< of precision on the same chips; null: one for all
  KvTiers* kv_tiers = nullptr;           ///< below HBM; null: nothing
  Perturbation* perturbation = nullptr;  ///< of step times; null: none
  StepSampler* sampler = nullptr;        ///< sees every pass; null: nobody does
  RequestSink* sink = nullptr;
  Agenda* agenda = nullptr;
  TimelineRecorder* timeline = nullptr;
  Role role = Role::Both;
  std::string name;  ///< "gpu", as the pool's key in results
  std::int64_t index = 0;
  HostTime host;
};

/// One replica of a pool.
class Replica : public Component {
 public:
  explicit Replica(const ReplicaSetup& setup, std::size_t stations)
      : setup_(setup), pipeline_(stations), host_(setup.host) {}
  /// A request whose prompt is to be computed here.
  virtual void submit(Request& request, Picoseconds now) = 0;
  /// A request that goes on from the prompt of `parent`, which runs here, with the first token that
  /// it has been given. Says whether it runs, and what it waits for if not.
  virtual ForkOutcome fork(Request& parent, Request& branch, Picoseconds now) = 0;
  /// A request whose prompt KV waits on another replica; answered by RequestSink::reserved.
  virtual void offer(Request& request, Picoseconds now) = 0;
  /// The KV of a reserved request has arrived.
  virtual void arrive(Request& request, Picoseconds now) = 0;
  /// A request that waited may go on, on top of the KV of its first `tokens` tokens: what was
  /// computed beyond them is dropped.
  virtual void resume(Request& request, std::int64_t tokens, Picoseconds now) = 0;
  /// The KV of a prefilled request has left and may be dropped; or that of one that waits.
  virtual void release(Request& request, Picoseconds now) = 0;
  /// Tokens from the start of a request's prompt whose KV is here, and would not be computed again.
  [[nodiscard]] virtual std::int64_t cached_tokens(const Request&) const { return 0; }
  /// What a router takes as cached of them: those, and part of what is below HBM.
  [[nodiscard]] virtual double overlap_tokens(const Request& request) const {
    return static_cast<double>(cached_tokens(request));
  }
  /// Requests that were given to it and have not begun.
  [[nodiscard]] virtual std::int64_t waiting() const { return 0; }
  /// What it holds now.
  [[nodiscard]] virtual Occupancy occupancy() const = 0;
  /// The same over the run so far.
  [[nodiscard]] const OccupancyLog& occupancy_log() const { return occupancy_log_; }
  /// Blocks, or slots, that there are.
  [[nodiscard]] virtual std::int64_t kv_capacity() const = 0;
  /// Largest share of the KV room that was in use.
  [[nodiscard]] virtual double kv_peak() const = 0;
  /// Requests given to this replica that have not left it, for the router.
  [[nodiscard]] std::int64_t load() const { return load_; }
  [[nodiscard]] const std::string& name() const { return setup_.name; }
  [[nodiscard]] std::int64_t index() const { return setup_.index; }
  [[nodiscard]] PoolModel& pool() const { return setup_.estimator->pool(); }
  [[nodiscard]] const PipelineClock& pipeline() const { return pipeline_; }
  /// Sum of the floors of the periods of all passes: no run of them can be shorter.
  [[nodiscard]] Picoseconds floor_busy() const { return floor_busy_; }
  /// Tokens of prompts that its passes computed, those computed again included.
  [[nodiscard]] std::int64_t prompt_tokens() const { return prompt_tokens_; }

 protected:
  /// Runs a pass from `now`; returns when its tokens are out.
  Picoseconds run_pass(const Batch& batch, Picoseconds now, StepEstimate& estimate);
  /// To be called when what it holds may have changed.
  void note_occupancy(Picoseconds now) { occupancy_log_.note(now, occupancy()); }
  /// Counts what the last pass writes of a request's KV, and reports it where the rest of the
  /// request runs elsewhere.
  void report_kv(Request& request, const SequenceSlice& slice, Picoseconds now);
  /// Asks for act(at, Issue), unless that is planned already.
  void want_issue(Picoseconds at);
  /// To be called when an Issue comes.
  void note_issue(Picoseconds now);
  /// Counts one token of `request` and reports it; hands the request on when it is done here.
  /// Returns true when the request leaves this replica's schedule.
  bool emit_token(Request& request, Picoseconds now, Picoseconds floor);
  /// The same for what a pass of a pool that drafts gives: the accepted drafts and one token more.
  /// The next drafts then stand behind them.
  bool emit_round(Request& request, Picoseconds now, const RoundFloor& of_round);
  /// The floor of a pass, as far as its tokens wait for it, and of the drafts made behind them.
  [[nodiscard]] RoundFloor floor_of_round(const StepEstimate& estimate) const;

  ReplicaSetup setup_;
  PipelineClock pipeline_;
  std::int64_t load_ = 0;
  Picoseconds floor_busy_{0};
  std::int64_t prompt_tokens_ = 0;
  Picoseconds drafting_{0};         ///< of the last pass
  Picoseconds drafting_before_{0};  ///< of all passes before it

 private:
  void record_pass(const Batch& batch, Picoseconds start, Picoseconds end);
  /// What its chips do in the pass; asked for the first pass with prompts, the first without, and
  /// again when passes have twice as many tokens.
  void record_inside(const Batch& batch, Picoseconds start);

  HostClock host_;
  OccupancyLog occupancy_log_;
  std::optional<Picoseconds> planned_issue_;
  /// Tokens of the largest pass shown inside, with prompts and without.
  std::map<bool, std::int64_t> shown_inside_;
  std::vector<Picoseconds> lane_ends_;  ///< of the timeline: when the last span of a track ends
};

}  // namespace tandem
