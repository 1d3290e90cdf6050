#include "sim/entry/worker_pool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>

namespace tandem::entry {
namespace {

/// One worker process with pipes to its standard input and output.
class Worker {
 public:
  Worker() {
    int to_child[2];
    int from_child[2];
    if (::pipe2(to_child, O_CLOEXEC) != 0 || ::pipe2(from_child, O_CLOEXEC) != 0) {
      throw std::runtime_error("cannot make a pipe for a worker");
    }
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot start a worker");
    if (pid_ == 0) become_worker(to_child[0], from_child[1], parent);
    ::close(to_child[0]);
    ::close(from_child[1]);
    input_ = to_child[1];
    output_ = from_child[0];
  }
  ~Worker() {
    if (input_ >= 0) ::close(input_);
    if (output_ >= 0) ::close(output_);
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void give(std::size_t task, std::string line) {
    task_ = task;
    line += '\n';
    std::size_t done = 0;
    while (done < line.size()) {
      const ssize_t n = ::write(input_, line.data() + done, line.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw std::runtime_error("a worker stopped reading");
      done += static_cast<std::size_t>(n);
    }
  }

  /// Reads what is there; the answer once its line is complete.
  std::optional<std::string> take_answer() {
    char buffer[65536];
    const ssize_t n = ::read(output_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return std::nullopt;
    if (n <= 0) throw std::runtime_error("a worker died; run again with --workers 1 to see why");
    pending_.append(buffer, static_cast<std::size_t>(n));
    const std::size_t end = pending_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = pending_.substr(0, end);
    pending_.erase(0, end + 1);
    return line;
  }

  [[nodiscard]] int output() const { return output_; }
  [[nodiscard]] std::optional<std::size_t> task() const { return task_; }
  void rest() { task_.reset(); }

 private:
  [[noreturn]] static void become_worker(int input, int output, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // the parent died before prctl took hold
    ::dup2(input, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::execl("/proc/self/exe", "tandem", "worker", static_cast<char*>(nullptr));
    ::_exit(127);
  }

  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::optional<std::size_t> task_;
  std::string pending_;
};

}  // namespace

void run_on_workers(const std::vector<std::string>& tasks, int workers,
                    const std::function<void(std::size_t, const std::string&)>& on_answer) {
  ::signal(SIGPIPE, SIG_IGN);
  const std::size_t count = std::min(tasks.size(), static_cast<std::size_t>(std::max(workers, 1)));
  std::vector<std::unique_ptr<Worker>> pool;
  for (std::size_t i = 0; i < count; ++i) pool.push_back(std::make_unique<Worker>());
  std::size_t next = 0;
  std::size_t answered = 0;
  for (auto& worker : pool) {
    worker->give(next, tasks[next]);
    ++next;
  }
  while (answered < tasks.size()) {
    std::vector<pollfd> waiting;
    std::vector<Worker*> owners;
    for (auto& worker : pool) {
      if (!worker->task()) continue;
      waiting.push_back({worker->output(), POLLIN, 0});
      owners.push_back(worker.get());
    }
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
      throw std::runtime_error("waiting for workers failed");
    }
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      const auto line = owners[i]->take_answer();
      if (!line) continue;
      on_answer(*owners[i]->task(), *line);
      ++answered;
      owners[i]->rest();
      if (next < tasks.size()) {
        owners[i]->give(next, tasks[next]);
        ++next;
      }
    }
  }
}

void serve_as_worker(const std::function<std::string(const std::string&)>& answer) {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << answer(line) << '\n' << std::flush;
}

}  // namespace tandem::entry
