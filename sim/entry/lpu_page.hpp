// The page of `tandem lpu view` with slots for its data; CMake joins it from sim/entry/lpu_page.
#pragma once

namespace tandem::entry {

/// HTML with styles and scripts inside; @HEAD@ and @RUNS@ stand where the data goes.
extern const char* const lpu_page;

}  // namespace tandem::entry
