// What a command that threw tells its user, and the exit code that goes with it.
#pragma once

#include <exception>
#include <iosfwd>

namespace tandem::entry {

/// Writes what went wrong and gives the exit code: 2 where the user's input is wrong (ConfigError)
/// or asks for what a model does not support (ModelError), 3 for everything else. A ScheduleError
/// that arrives here is the LPU compiler's: commands that read programs of users turn theirs into
/// ConfigErrors.
[[nodiscard]] int report_failure(const std::exception_ptr& failure, std::ostream& out);

}  // namespace tandem::entry
