// The one owner of SystemC's process-wide kernel. Shows nothing of SystemC, so that rooms which
// only start runs need not include it; writers of modules include module.hpp.
#pragma once

#include <exception>
#include <memory>

#include "sim/core/units.hpp"

namespace sc_core {
class sc_simcontext;
}

namespace tandem {

/// Exclusive use of SystemC's process-wide kernel for one simulation.
///
/// Contract:
///  - The constructor blocks while another thread holds a session: SystemC 2.3.4 is not
///  thread-safe.
///    A second session on the same thread throws ModelError.
///  - Modules are built after the session and die before it. Nothing of SystemC outlives it.
///  - An exception thrown by a module's process comes out of run() as it was thrown; the session
///  can
///    then only be destroyed. Later sessions do not notice.
///  - SystemC prints nothing; its warnings and errors are thrown as ModelError.
class Session {
 public:
  Session();
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs until nothing is left to happen.
  void run();
  /// Runs everything up to and including `end`; the clock then stands at `end`.
  void run_until(Picoseconds end);
  [[nodiscard]] Picoseconds now() const;
  /// Ends the run and lets run() throw `error`. Called by module shells; the first call counts.
  void fail(std::exception_ptr error);

 private:
  class Installed;  // the lock, the context and the handlers, restored in reverse order
  void start(bool to_the_end, Picoseconds duration);

  std::unique_ptr<Installed> installed_;
  std::exception_ptr error_;
};

}  // namespace tandem
