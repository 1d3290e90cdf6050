#include "sim/kernel/session.hpp"

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <systemc>
#include <thread>

#include "sim/core/diagnostics.hpp"
#include "sim/kernel/time.hpp"

// libsystemc.so is linked BIND_NOW and names sc_main even if nobody calls it.
extern "C" [[gnu::visibility("default")]] int sc_main(int, char**) {
  return 1;
}

namespace tandem {
namespace {

/// The exception to "no mutable globals": SystemC's kernel is one per process, and so is its lock.
struct KernelLock {
  std::mutex mutex;
  std::atomic<std::thread::id> owner;
};
KernelLock kernel_lock;

std::unique_lock<std::mutex> lock_kernel() {
  if (kernel_lock.owner.load() == std::this_thread::get_id()) {
    throw ModelError("SystemC session: this thread holds one already");
  }
  std::unique_lock<std::mutex> lock(kernel_lock.mutex);
  kernel_lock.owner = std::this_thread::get_id();
  return lock;
}

/// Reports become exceptions; information is dropped. SystemC would print.
void throw_report(const sc_core::sc_report& report, const sc_core::sc_actions&) {
  if (report.get_severity() == sc_core::SC_INFO) return;
  throw ModelError(std::string("SystemC: ") + report.get_msg_type() + ": " + report.get_msg());
}

}  // namespace

class Session::Installed {
 public:
  Installed() : lock_(lock_kernel()) {
    // Read when the first simulation of the process starts; the library does not print.
    ::setenv("SC_COPYRIGHT_MESSAGE", "DISABLE", 1);
    sc_core::sc_report_handler::set_handler(throw_report);
    context_ = std::make_unique<sc_core::sc_simcontext>();
    sc_core::sc_curr_simcontext = context_.get();
    sc_core::sc_default_global_context = context_.get();
  }
  ~Installed() {
    context_.reset();
    sc_core::sc_curr_simcontext = nullptr;
    sc_core::sc_default_global_context = nullptr;
    sc_core::sc_report_handler::set_handler(nullptr);
    kernel_lock.owner = std::thread::id();
  }
  Installed(const Installed&) = delete;
  Installed& operator=(const Installed&) = delete;

 private:
  std::unique_lock<std::mutex>
      lock_;  // first: held before the context exists, and until it is gone
  std::unique_ptr<sc_core::sc_simcontext> context_;
};

Session::Session() : installed_(std::make_unique<Installed>()) {}
Session::~Session() = default;

void Session::run() {
  start(true, Picoseconds(0));
}

void Session::run_until(Picoseconds end) {
  if (end < now()) throw ModelError("SystemC session: run_until() a time that has passed");
  start(false, end - now());
}

void Session::start(bool to_the_end, Picoseconds duration) {
  if (error_) throw ModelError("SystemC session: has failed before");
  if (to_the_end) {
    sc_core::sc_start();
  } else {
    sc_core::sc_start(to_sc_time(duration), sc_core::SC_RUN_TO_TIME);
  }
  if (error_) std::rethrow_exception(error_);
}

Picoseconds Session::now() const {
  return from_sc_time(sc_core::sc_time_stamp());
}

void Session::fail(std::exception_ptr error) {
  if (error_) return;
  error_ = std::move(error);
  sc_core::sc_pause();  // unlike sc_stop() it reports nothing
}

}  // namespace tandem
