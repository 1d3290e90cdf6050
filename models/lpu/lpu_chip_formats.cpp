// Which formats of weights the planes take.
#include <fmt/format.h>

#include "models/lpu/lpu_chip.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

// Programs multiply elements of one type, rows cast to it; a factor per matrix is all the scale
// that they know. Their planes take int8 too, but no operator of a network is compiled to it yet.
Precision LpuChip::executed(const Precision& asked) const {
  if (asked.kv_format != nullptr) {
    throw ModelError(fmt::format(
        "'{}' keeps keys and values as elements that its planes multiply, not in {}; write "
        "'kv_cache: float16', 'bfloat16' or 'fp8'",
        chip_.name, asked.kv_format->name));
  }
  const bool is_plain = asked.overrides.empty() && !asked.has_formats();
  if (!is_plain && !asked.is_expanded) {
    throw ModelError(fmt::format(
        "programs for '{}' multiply float16, bfloat16 or fp8, one of them for all weights and with "
        "one factor per matrix; write 'expand: load' and 'activations: float16' to hold formats as "
        "float16, or 'weights: fp8' without 'overrides'",
        chip_.name));
  }
  if (asked.is_expanded && bytes_of(asked.weights) != 2) {
    throw ModelError(
        fmt::format("'expand: load' on '{}' holds weights as the activations' type; "
                    "write 'activations: float16' or 'bfloat16'",
                    chip_.name));
  }
  Precision own = asked;
  own.activations = asked.weights;
  return own;
}

}  // namespace tandem::lpu
