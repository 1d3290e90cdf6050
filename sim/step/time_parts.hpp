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
/// Of that, what a micro-batch waits for the mixers' chips while others have them.
inline constexpr const char* waiting_for_mixers = "mixer_wait";

/// Kernels by role and exchanges by role ("exchange <role>") of one way through a pass that takes
/// `total`. What is left of it is waiting; kernels that overlap each other share their time.
[[nodiscard]] TimeParts parts_of(Picoseconds total, const TimeParts& kernels,
                                 const TimeParts& exchanges);

/// Adds the parts of another stretch of the same way.
void add_parts(const TimeParts& more, TimeParts& parts);

/// What takes most of a way by kind_of_part(): "exchange", "bridge", "feed_forward", or what bounds
/// the `kernels`. Hand-overs decide nothing, nor does waiting, but for the mixers' chips: whoever
/// waits for these waits for kernels.
[[nodiscard]] std::string bound_of(const TimeParts& parts, const std::string& kernels);

/// What a part counts for: "kernels" of all roles, "exchange", "bridge", "feed_forward" (waiting
/// for its turns included), "hand_over", or `waiting`.
[[nodiscard]] std::string kind_of_part(const std::string& part);

/// Sum of all parts.
[[nodiscard]] Picoseconds total_of(const TimeParts& parts);

}  // namespace tandem
