// What a pool's chips are multiplied by, in the words of its placement, for complaints.
#pragma once

#include <string>

#include "sim/describe/scenario.hpp"

namespace tandem::config {

/// "8 tensor x 4 attention_data x ": the chips that share a stage, as the user wrote them.
[[nodiscard]] std::string gang_text(const PoolPlacement& placement);

/// The key that multiplies the chips most; "pool" where nothing does.
[[nodiscard]] const char* largest_factor(const PoolPlacement& placement);

}  // namespace tandem::config
