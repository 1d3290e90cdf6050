#include "sim/entry/sweeps/sweep_run.hpp"

#include <fmt/format.h>

#include <chrono>

#include "sim/entry/context.hpp"
#include "sim/entry/sweeps/worker_pool.hpp"

namespace tandem::entry {
namespace {

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

/// "37 of 1000 points, 3 without result, 4.2 points/s, 3 min 49 s left"
class SweepProgress {
 public:
  SweepProgress(const std::string& label, std::size_t total) : progress_(label), total_(total) {}
  void count(bool is_ok) {
    ++done_;
    failed_ += is_ok ? 0 : 1;
  }
  void show() {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start_;
    std::string text = fmt::format("{} of {} points", done_, total_);
    if (failed_ > 0) text += fmt::format(", {} without result", failed_);
    if (done_ > 0 && spent.count() > 0) {
      const double rate = static_cast<double>(done_) / spent.count();
      text += fmt::format(", {:.2g} points/s, {} left", rate,
                          duration_text(static_cast<double>(total_ - done_) / rate));
    }
    progress_.update(text);
  }

 private:
  Progress progress_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::size_t total_;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

PointResult result_of_worker(const SweepTask& task, const WorkerAnswer& answer) {
  if (!answer.died) return result_of(task, answer.text);
  PointResult result = result_of(task);
  result.status = "error";
  result.error = fmt::format("two workers died of this point, the last {}", answer.text);
  return result;
}

}  // namespace

int run_tasks(const std::string& label, const std::vector<SweepTask>& due, int workers,
              const std::function<void(const PointResult&)>& take) {
  const Interruption interruption;
  std::vector<std::string> lines;
  for (const SweepTask& task : due) lines.push_back(task.task);
  SweepProgress progress(label, lines.size());
  WorkerPoolCalls calls;
  calls.on_answer = [&](std::size_t task, const WorkerAnswer& answer) {
    const PointResult result = result_of_worker(due[task], answer);
    take(result);
    progress.count(result.status == "ok");
  };
  calls.goes_on = [&] {
    progress.show();
    return Interruption::signal() == 0;
  };
  run_on_workers(lines, workers, calls);
  return Interruption::signal();
}

}  // namespace tandem::entry
