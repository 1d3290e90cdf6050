// Every kind of memory at the pin rate of a product, with the refresh time of its die density.
#pragma once

#include "models/hbm/timing.hpp"

namespace tandem {

struct DramPart {
  DramKind kind;
  double pin_rate;
  Picoseconds refresh;
};

/// Rates: Ramulator's own presets where it has one, otherwise V100, A100, H200, RTX 4090, LPDDR5X.
inline constexpr DramPart dram_parts[] = {{DramKind::Hbm2, 2e9, Picoseconds(160'000)},
                                          {DramKind::Hbm2e, 3.2e9, Picoseconds(350'000)},
                                          {DramKind::Hbm3, 6.4e9, Picoseconds(260'000)},
                                          {DramKind::Hbm3e, 7.8e9, Picoseconds(450'000)},
                                          {DramKind::Hbm4, 8e9, Picoseconds(450'000)},
                                          {DramKind::Gddr6, 14e9, Picoseconds(120'000)},
                                          {DramKind::Gddr6x, 21e9, Picoseconds(120'000)},
                                          {DramKind::Gddr7, 28e9, Picoseconds(180'000)},
                                          {DramKind::Lpddr5x, 8.533e9, Picoseconds(280'000)}};

inline DramTiming timing_of(const DramPart& part) {
  return dram_timing(part.kind, part.pin_rate, part.refresh);
}

}  // namespace tandem
