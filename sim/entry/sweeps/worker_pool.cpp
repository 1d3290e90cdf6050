#include "sim/entry/sweeps/worker_pool.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>

namespace tandem::entry {
namespace {

constexpr int poll_ms = 200;

volatile std::sig_atomic_t noted_signal = 0;

void note_signal(int signal) {
  noted_signal = signal;
}

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
    if (pid_ > 0 && task_) ::kill(pid_, SIGKILL);
    end();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// False when the worker is gone.
  bool give(std::size_t task, std::string line) {
    task_ = task;
    line += '\n';
    std::size_t done = 0;
    while (done < line.size()) {
      const ssize_t n = ::write(input_, line.data() + done, line.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }

  /// Reads what is there; the answer once its line is complete, or how the worker died.
  std::optional<WorkerAnswer> take_answer() {
    char buffer[65536];
    const ssize_t n = ::read(output_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return std::nullopt;
    if (n <= 0) return WorkerAnswer{true, end()};
    pending_.append(buffer, static_cast<std::size_t>(n));
    const std::size_t end = pending_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    WorkerAnswer answer{false, pending_.substr(0, end)};
    pending_.erase(0, end + 1);
    return answer;
  }

  /// Closes the pipes, waits for the end and says how it came.
  std::string end() {
    if (pid_ <= 0) return "ended";
    ::close(input_);
    ::close(output_);
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    if (WIFSIGNALED(status)) {
      return "killed by signal " + std::to_string(WTERMSIG(status)) + " (" +
             ::strsignal(WTERMSIG(status)) + ")";
    }
    return "ended with code " + std::to_string(WEXITSTATUS(status));
  }

  [[nodiscard]] int output() const { return output_; }
  [[nodiscard]] std::optional<std::size_t> task() const { return task_; }
  void rest() { task_.reset(); }

 private:
  [[noreturn]] static void become_worker(int input, int output, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // the parent died before prctl took hold
    ::signal(SIGINT, SIG_IGN);              // the parent, which gets it too, decides
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

/// Tasks that are due, and the workers at them.
class Pool {
 public:
  Pool(const std::vector<std::string>& tasks, int workers, const WorkerPoolCalls& calls)
      : tasks_(tasks), calls_(calls), deaths_(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) due_.push_back(i);
    workers_.resize(std::min(tasks.size(), static_cast<std::size_t>(std::max(workers, 1))));
  }

  void run() {
    while (left_ > 0 && calls_.goes_on()) {
      for (auto& worker : workers_) feed(worker);
      listen();
    }
  }

 private:
  void feed(std::unique_ptr<Worker>& worker) {
    while (!due_.empty() && (worker == nullptr || !worker->task())) {
      if (worker == nullptr) worker = std::make_unique<Worker>();
      const std::size_t task = due_.front();
      due_.pop_front();
      if (!worker->give(task, tasks_[task])) bury(worker, worker->end());
    }
  }

  void listen() {
    std::vector<pollfd> waiting;
    std::vector<std::unique_ptr<Worker>*> owners;
    for (auto& worker : workers_) {
      if (worker == nullptr || !worker->task()) continue;
      waiting.push_back({worker->output(), POLLIN, 0});
      owners.push_back(&worker);
    }
    const int ready = ::poll(waiting.data(), waiting.size(), poll_ms);
    if (ready < 0 && errno != EINTR) throw std::runtime_error("waiting for workers failed");
    for (std::size_t i = 0; ready > 0 && i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) hear(*owners[i]);
    }
  }

  void hear(std::unique_ptr<Worker>& worker) {
    const std::optional<WorkerAnswer> answer = worker->take_answer();
    if (!answer) return;
    if (answer->died) {
      bury(worker, answer->text);
      return;
    }
    const std::size_t task = *worker->task();
    worker->rest();
    feed(worker);  // before the answer is dealt with: that takes time too
    finish(task, *answer);
  }

  void bury(std::unique_ptr<Worker>& worker, const std::string& how) {
    const std::size_t task = *worker->task();
    worker.reset();
    if (++deaths_[task] < 2) {
      due_.push_front(task);
    } else {
      finish(task, {true, how});
    }
  }

  void finish(std::size_t task, const WorkerAnswer& answer) {
    --left_;
    calls_.on_answer(task, answer);
  }

  const std::vector<std::string>& tasks_;
  const WorkerPoolCalls& calls_;
  std::vector<int> deaths_;
  std::deque<std::size_t> due_;
  std::size_t left_ = tasks_.size();
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

Interruption::Interruption() : interrupt_{}, terminate_{} {
  noted_signal = 0;
  struct sigaction action {};
  action.sa_handler = note_signal;
  ::sigaction(SIGINT, &action, &interrupt_);
  ::sigaction(SIGTERM, &action, &terminate_);
}

Interruption::~Interruption() {
  ::sigaction(SIGINT, &interrupt_, nullptr);
  ::sigaction(SIGTERM, &terminate_, nullptr);
}

int Interruption::signal() {
  return noted_signal;
}

void run_on_workers(const std::vector<std::string>& tasks, int workers,
                    const WorkerPoolCalls& calls) {
  ::signal(SIGPIPE, SIG_IGN);
  Pool(tasks, workers, calls).run();
}

void serve_as_worker(const std::function<std::string(const std::string&)>& answer) {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << answer(line) << '\n' << std::flush;
}

}  // namespace tandem::entry
