// A replica of chips with dynamic schedules: continuous batching over paged KV, several passes in
// flight where it is a pipeline.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "sim/lower/cascade.hpp"
#include "sim/service/batch_scheduler.hpp"
#include "sim/service/replica.hpp"

namespace tandem {

class BatchingReplica final : public Replica {
 public:
  BatchingReplica(const ReplicaSetup& setup, const Serving& serving);
  void submit(Request& request, Picoseconds now) override;
  ForkOutcome fork(Request& parent, Request& branch, Picoseconds now) override;
  void offer(Request& request, Picoseconds now) override;
  void arrive(Request& request, Picoseconds now) override;
  void resume(Request& request, std::int64_t tokens, Picoseconds now) override;
  void release(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;
  [[nodiscard]] std::int64_t cached_tokens(const Request& request) const override {
    return scheduler_->kv().tokens_here(request);
  }
  [[nodiscard]] double kv_peak() const override;

 private:
  /// A pass under way.
  struct Flight {
    ScheduledStep step;
    StepEstimate estimate;
    Picoseconds end;
  };
  void complete(Flight& flight, Picoseconds now);
  void issue(Picoseconds now);
  void kick(Picoseconds now);

  std::int64_t kv_blocks_;              ///< room
  std::optional<CascadeChip> cascade_;  ///< where passes share prefixes as vLLM chooses
  std::unique_ptr<BatchScheduler> scheduler_;
  std::vector<Flight> flights_;  ///< in the order of issue
};

}  // namespace tandem
