// A replica of chips with static schedules: every pass carries up to as many tokens as a program
// has batch slots, of those requests that wait when it enters. Passes follow each other through the
// stations, and a request has one decode pass under way at a time. Prompt tokens of a request may
// follow each other directly. Requests occupy KV slots.
#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "sim/service/replica.hpp"

namespace tandem {

class StreamingReplica final : public Replica {
 public:
  explicit StreamingReplica(const ReplicaSetup& setup);
  void submit(Request& request, Picoseconds now) override;
  ForkOutcome fork(Request& parent, Request& branch, Picoseconds now) override;
  void offer(Request& request, Picoseconds now) override;
  void arrive(Request& request, Picoseconds now) override;
  void resume(Request& request, std::int64_t tokens, Picoseconds now) override;
  void release(Request& request, Picoseconds now) override;
  void act(Picoseconds now, Phase phase) override;
  [[nodiscard]] Occupancy occupancy() const override;
  [[nodiscard]] std::int64_t kv_capacity() const override { return slots_; }
  [[nodiscard]] double kv_peak() const override;

 private:
  struct Waiting {
    Request* request;
    bool comes_with_kv;
    Picoseconds since;
  };
  /// A request that may start its next pass.
  struct Ready {
    Request* request;
    std::int64_t context;
  };
  struct Landing {
    Picoseconds end;  ///< when its tokens leave
    Request* request;
    RoundFloor floor;
    Picoseconds drafts;  ///< what the drafts behind it take
  };
  void admit(Picoseconds now);
  void issue(Picoseconds now);
  [[nodiscard]] std::int64_t tokens_at_hand() const;
  [[nodiscard]] std::int64_t width_of_pass();
  [[nodiscard]] std::int64_t best_width(std::int64_t context, std::int64_t tokens);
  std::vector<Ready> take_pass(Batch& batch);
  void land(Picoseconds now);
  void go_on(Picoseconds now);
  void free_slot(const Request& request, Picoseconds now);

  std::int64_t slots_;
  std::int64_t used_ = 0;
  std::int64_t peak_ = 0;
  std::deque<Waiting> waiting_;
  /// By group: branches that wait for the slot of one before them, which holds their prompt.
  std::map<std::int64_t, std::deque<Request*>> branches_;
  std::deque<Ready> ready_;
  std::deque<Landing> landings_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> widths_;  ///< known to be best
  /// Requests whose drafts are still under way on the last station, in the order of their ends.
  std::deque<Landing> drafting_now_;
};

}  // namespace tandem
