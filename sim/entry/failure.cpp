#include "sim/entry/failure.hpp"

#include <ostream>

#include "models/lpu/program_walk.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/entry/commands.hpp"

namespace tandem::entry {

int report_failure(const std::exception_ptr& failure, std::ostream& out) {
  try {
    std::rethrow_exception(failure);
  } catch (const ConfigError& error) {
    out << error.what() << '\n';
    return bad_input;
  } catch (const ModelError& error) {
    out << "error: " << error.what() << '\n';
    return bad_input;
  } catch (const lpu::ScheduleError& error) {
    out << "internal error: the LPU compiler made a program that breaks a rule of the machine: "
        << error.what() << '\n';
    return own_fault;
  } catch (const std::exception& error) {
    out << "internal error: " << error.what() << '\n';
    return own_fault;
  }
}

}  // namespace tandem::entry
