// The page of `tandem report` with slots for its data and Plotly; CMake joins it from
// sim/entry/report_page.
#pragma once

namespace tandem::entry {

/// HTML with styles and scripts inside; @DATA@ and @PLOTLY@ stand where those go.
extern const char* const report_page;

}  // namespace tandem::entry
