// Parallel work as processes: the tandem executable started again as `tandem worker`, one task line
// in, one answer line out. SystemC allows one simulation per process, so threads would only queue.
#pragma once

#include <csignal>
#include <functional>
#include <string>
#include <vector>

namespace tandem::entry {

/// While it lives, Ctrl-C and SIGTERM do not end this process but are noted.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  /// The signal that came; 0 for none.
  [[nodiscard]] static int signal();

 private:
  struct sigaction interrupt_;
  struct sigaction terminate_;
};

/// What came of a task: a worker's answer line, or how the worker ended that had it.
struct WorkerAnswer {
  bool died = false;
  std::string text;  ///< the answer; or "killed by signal 9"
};

struct WorkerPoolCalls {
  /// A task is done; in order of arrival.
  std::function<void(std::size_t task, const WorkerAnswer&)> on_answer;
  /// Called a few times a second; false ends the work: workers are killed and what they were at is
  /// lost.
  std::function<bool()> goes_on;
};

/// Runs every task line on one of `workers` processes. A worker that dies is replaced and its task
/// given to another one once more; a task that two workers died of is answered with `died`. Workers
/// end when this process dies. Throws std::runtime_error when no worker can be started.
void run_on_workers(const std::vector<std::string>& tasks, int workers,
                    const WorkerPoolCalls& calls);

/// The loop of a worker: answers lines from standard input on standard output until it closes.
void serve_as_worker(const std::function<std::string(const std::string&)>& answer);

}  // namespace tandem::entry
