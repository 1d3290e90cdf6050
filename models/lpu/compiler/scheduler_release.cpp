// Releases in the middle of a program: flags become host registers.
#include <algorithm>

#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

std::int64_t Scheduler::available(int reg) const {
  const auto found = available_.find(reg);
  return found == available_.end() ? 0 : found->second;
}

bool Scheduler::crosses_release(std::int64_t cycle, int cycles) const {
  return std::any_of(releases_.begin(), releases_.end(), [&](const Release& release) {
    return cycle < release.cycle && cycle + cycles > release.cycle;
  });
}

// The last queue of a switch unit gives the Notify: pieces of schedule take the first that is free.
// It parks at once and has nothing to do until the release; every other queue parks when it has
// done what is placed before the release. Its registers change for all accesses behind it, so those
// at values of an earlier release come first.
std::int64_t Scheduler::release(int first_register, int count, std::int64_t flagged) {
  const int queue_index =
      geometry_.sxm_queue(Hemisphere::East, geometry_.sxm_queues_per_hemisphere - 1);
  std::int64_t last_access = 0;
  for (auto known = last_access_.lower_bound(first_register);
       known != last_access_.end() && known->first < first_register + count; ++known) {
    last_access = std::max(last_access, known->second);
  }
  std::int64_t cycle =
      std::max({flagged + 1, last_access + 1, loops_end_ + 1, segment_begin() + latencies_.barrier,
                releases_.empty() ? 0 : releases_.back().cycle + latencies_.barrier});
  const auto fits = [&] {
    for (std::int64_t c = cycle - latencies_.barrier; c < cycle; ++c) {
      if (queue(queue_index).busy(c)) return false;
    }
    return std::none_of(queue_.begin(), queue_.end(), [&](const QueueEvent& event) {
      return event.cycle < cycle && event.cycle + queue_cycles(event.instruction) > cycle;
    });
  };
  while (!fits()) ++cycle;
  const std::int64_t notify = cycle - latencies_.barrier;
  for (std::int64_t c = notify; c < cycle; ++c) queue(queue_index).take(c);
  Instruction word;
  word.op = Opcode::Notify;
  add(QueueEvent{notify, queue_index, word}, latencies_.barrier);
  releases_.push_back({notify, cycle});
  for (int k = 0; k < count; ++k) available_[first_register + k] = cycle;
  return cycle;
}

}  // namespace tandem::lpu
