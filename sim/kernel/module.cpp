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
  due_.insert(time);
  arm();
}

void Module::arm() {
  if (due_.empty()) return;
  // Of several notifications SystemC keeps the earliest, so only the first due time is ever set.
  wake_.notify(to_sc_time(*due_.begin() - now()));
}

void Module::activate() {
  try {
    due_.erase(due_.begin(), due_.upper_bound(now()));
    on_wake();
    arm();
  } catch (...) {
    session_.fail(std::current_exception());
  }
}

}  // namespace tandem
