#include "sim/kernel/module.hpp"

#include <fmt/format.h>

#include "sim/kernel/time.hpp"

namespace tandem {

Module::Module(Session& session, sc_core::sc_module_name name)
    : sc_core::sc_module(name), session_(session), wake_("wake") {
  using SC_CURRENT_USER_MODULE = Module;
  SC_METHOD(activate);
  sensitive << wake_;
  dont_initialize();
}

void Module::wake_at(Picoseconds time) {
  if (time < now()) {
    throw ModelError(fmt::format("{}: asked to wake at {} ps, but it is {} ps", name(),
                                 time.count(), now().count()));
  }
  due_.push(time);
  arm();
}

void Module::arm() {
  // Of several notifications SystemC keeps the earliest, so only the first due time is ever set.
  if (due_.empty() || (armed_ && *armed_ <= due_.top())) return;
  armed_ = due_.top();
  wake_.notify(to_sc_time(*armed_ - now()));
}

void Module::activate() {
  try {
    armed_.reset();
    while (!due_.empty() && due_.top() <= now()) due_.pop();
    on_wake();
    arm();
  } catch (...) {
    session_.fail(std::current_exception());
  }
}

}  // namespace tandem
