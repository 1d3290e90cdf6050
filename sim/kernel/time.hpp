// Simulated time in SystemC's type. Both count whole picoseconds, so conversion is exact.
#pragma once

#include <systemc>

#include "sim/core/units.hpp"

namespace tandem {

/// Exact while SystemC's resolution is its default of 1 ps, which sessions never change. `time`
/// must not be negative.
[[nodiscard]] inline sc_core::sc_time to_sc_time(Picoseconds time) {
  return sc_core::sc_time::from_value(static_cast<sc_core::sc_time::value_type>(time.count()));
}
[[nodiscard]] inline Picoseconds from_sc_time(const sc_core::sc_time& time) {
  return Picoseconds(static_cast<std::int64_t>(time.value()));
}

}  // namespace tandem
