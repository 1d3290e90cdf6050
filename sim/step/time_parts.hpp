// Where the time of a pass goes, by name.
#pragma once

#include <map>
#include <string>

#include "sim/core/units.hpp"

namespace tandem {

/// Names of parts with their times.
using TimeParts = std::map<std::string, Picoseconds>;

/// What is neither kernel nor exchange: other micro-batches have the chip, or it idles.
inline constexpr const char* waiting = "wait";

/// Kernels by role and exchanges by role ("exchange <role>") of one way through a pass that takes
/// `total`. What is left of it is waiting; kernels that overlap each other share their time.
[[nodiscard]] TimeParts parts_of(Picoseconds total, const TimeParts& kernels,
                                 const TimeParts& exchanges);

/// Adds the parts of another stretch of the same way.
void add_parts(const TimeParts& more, TimeParts& parts);

/// What takes most of a way: "exchange", "bridge", "feed_forward" (waiting for its turns included),
/// or what bounds the `kernels`. Waiting for others counts for none of them.
[[nodiscard]] std::string bound_of(const TimeParts& parts, const std::string& kernels);

/// Sum of all parts.
[[nodiscard]] Picoseconds total_of(const TimeParts& parts);

}  // namespace tandem
