// Parallel work as processes: the tandem executable started again as `tandem worker`, one task line
// in, one answer line out. SystemC allows one simulation per process, so threads would only queue.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace tandem::entry {

/// Runs every task line on one of `workers` processes and hands each answer line to `on_answer`
/// together with the index of its task, in order of arrival. Workers end when this process dies.
/// Throws std::runtime_error when a worker cannot be started or dies without an answer.
void run_on_workers(const std::vector<std::string>& tasks, int workers,
                    const std::function<void(std::size_t, const std::string&)>& on_answer);

/// The loop of a worker: answers lines from standard input on standard output until it closes.
void serve_as_worker(const std::function<std::string(const std::string&)>& answer);

}  // namespace tandem::entry
