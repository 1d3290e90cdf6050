// Turns replicas on and off while a service runs, by a planner's rules.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "sim/service/component.hpp"
#include "sim/service/planner/scaling.hpp"
#include "sim/service/replica.hpp"

namespace tandem {

/// What was decided at the end of an interval, and from what.
struct PlannerDecision {
  Picoseconds at;
  IntervalLoad load;
  Corrections corrections;
  ReplicaCounts wanted;    ///< for the load
  ReplicaCounts replicas;  ///< within the limits
  std::string limit;       ///< the tightest limit that cut it: "replicas", "chips", "power" or ""
};

struct PlannerUse {
  std::vector<PlannerDecision> decisions;
  double mean_prefill = 0;  ///< replicas that are on, over the run
  double mean_decode = 0;
};

/// Limits of a pool.
struct PoolLimits {
  std::int64_t replicas = 1;  ///< placed
  std::int64_t chips_per_replica = 1;
};

/// The replicas of one pool: the first ones are on. One that is turned on takes requests once it
/// has started; one that is turned off takes no more, and is off when its last request has left.
class ScaledPool {
 public:
  ScaledPool(std::int64_t placed, std::int64_t on_at_first);
  /// `busy`: whether a replica still serves, so that it goes on without a start.
  template <class Busy>
  void scale_to(std::int64_t replicas, Picoseconds now, Picoseconds start_time, const Busy& busy) {
    while (on_ < replicas) {
      const bool goes_on = busy(on_);
      turn_on(now, goes_on ? now : now + start_time);
    }
    while (on_ > replicas) turn_off(now);
  }
  [[nodiscard]] std::int64_t on() const { return on_; }
  /// Those that take requests: the first so many.
  [[nodiscard]] std::int64_t ready(Picoseconds now) const;
  /// Mean number of replicas on over [start, end]; those turned off are on until they are empty.
  [[nodiscard]] double mean_on(const std::vector<std::unique_ptr<Replica>>& replicas,
                               Picoseconds start, Picoseconds end) const;

 private:
  struct Span {
    Picoseconds on, off;
    bool is_over = false;
  };
  void turn_on(Picoseconds now, Picoseconds ready);
  void turn_off(Picoseconds now);

  std::int64_t on_ = 0;
  std::vector<Picoseconds> ready_at_;  ///< by replica
  std::vector<std::vector<Span>> spans_;
};

/// Counts what comes and what leaves, and decides at the end of every interval in which something
/// came. Between them the number of replicas stays.
class Autoscaler final : public Component {
 public:
  using Replicas = std::vector<std::unique_ptr<Replica>>;
  Autoscaler(const Planner& planner, ReplicaProfile& profile, const PoolLimits& prefill,
             const PoolLimits& decode, Agenda& agenda);
  void connect(const Replicas* prefill, const Replicas* decode);
  void arrived(const Request& request, Picoseconds now);
  void finished(const Request& request, Picoseconds now);
  void act(Picoseconds now, Phase phase) override;
  /// Replicas that take requests: the first so many.
  [[nodiscard]] std::int64_t prefill_ready(Picoseconds now) const { return prefill_.ready(now); }
  [[nodiscard]] std::int64_t decode_ready(Picoseconds now) const { return decode_.ready(now); }
  [[nodiscard]] PlannerUse use(Picoseconds start, Picoseconds end) const;

 private:
  void plan_next(Picoseconds now);
  [[nodiscard]] IntervalLoad interval_load() const;
  [[nodiscard]] PlannerDecision decide(Picoseconds now);
  void limit(PlannerDecision& decision) const;

  Planner planner_;
  ReplicaProfile& profile_;
  PoolLimits prefill_limits_, decode_limits_;
  Agenda& agenda_;
  const Replicas* prefill_replicas_ = nullptr;
  const Replicas* decode_replicas_ = nullptr;
  ScaledPool prefill_, decode_;
  std::vector<PlannerDecision> decisions_;
  bool has_plan_ = false;
  std::int64_t open_ = 0;  ///< requests that came and have not left
  // Of the interval so far.
  std::int64_t came_ = 0, left_ = 0, with_gaps_ = 0;
  double prompt_tokens_ = 0, output_tokens_ = 0, ttft_s_ = 0, itl_s_ = 0, duration_s_ = 0;
};

}  // namespace tandem
