// The schedule of a program as one HTML page that needs nothing beside itself.
#pragma once

#include <string>

#include "models/lpu/program_walk.hpp"
#include "sim/entry/lpu_tools.hpp"

namespace tandem::entry {

/// A page with a timeline of every queue, for host registers as given (they count iterations of
/// loops and choose blocks). Its size grows with the words of the program, not with its cycles.
[[nodiscard]] std::string schedule_page(const OpenProgram& program,
                                        const lpu::HostRegisters& registers);

/// "r3=17" as a host register and its value, set in `registers`. Throws ConfigError for anything
/// else and for values above the program's limit.
void set_register(const std::string& text, const OpenProgram& program,
                  lpu::HostRegisters& registers);

}  // namespace tandem::entry
