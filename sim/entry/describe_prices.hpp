// What the hours of chips cost by a price book.
#pragma once

#include <string>

#include "sim/describe/scenario.hpp"

namespace tandem::entry {

/// One line per chip with a price: capital, what repays it, what `power` costs at the meter, and
/// rent, in USD per hour of service; then the hourly share of a dollar of capital. "-" where the
/// book has no such price.
[[nodiscard]] std::string describe_hours(const Prices& prices);

}  // namespace tandem::entry
