// What happened when within one pass, for timelines.
#pragma once

#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem {

/// Something that took a while on one track; times count from the start of the pass.
struct PassSpan {
  std::string track;
  std::string label;
  Picoseconds start;
  Picoseconds end;
};

/// Spans of a track do not overlap.
using PassTrace = std::vector<PassSpan>;

}  // namespace tandem
