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
  [[nodiscard]] double overlap_tokens(const Request& request) const override;
  [[nodiscard]] std::int64_t waiting() const override { return scheduler_->waiting(); }
  [[nodiscard]] Occupancy occupancy() const override;
  [[nodiscard]] std::int64_t kv_capacity() const override { return kv_blocks_; }
  [[nodiscard]] double kv_peak() const override;

 private:
  /// A pass under way.
  struct Flight {
    ScheduledStep step;
    StepEstimate estimate;
    Picoseconds end;
  };
  /// Blocks on their way up from below HBM.
  struct Load {
    Request* request;
    Picoseconds end;
  };
  void complete(Flight& flight, Picoseconds now);
  void move_blocks(const ScheduledStep& step, Picoseconds now);
  void end_loads(Picoseconds now);
  void issue(Picoseconds now);
  void kick(Picoseconds now);

  std::int64_t kv_blocks_;              ///< room
  std::optional<CascadeChip> cascade_;  ///< where passes share prefixes as vLLM chooses
  std::unique_ptr<BatchScheduler> scheduler_;
  std::vector<Flight> flights_;  ///< in the order of issue
  std::vector<Load> loads_;
};

}  // namespace tandem
