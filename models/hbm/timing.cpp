#include "models/hbm/timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Nanosecond values of one standard, and what it counts in clocks or bytes.
struct Preset {
  double trcd, trcdwr, trp, tras, trc, trtp, twr;
  double trrd, trrd_long, tfaw, twtr_short, twtr, trtw, tcl, tcwl;
  double trfc_bank, trrefd, trefi;
  std::int64_t beats_per_clock;
  std::int64_t burst_gap, burst_gap_long;
  std::int64_t bank_groups;
  std::int64_t page;
};

// CMU-SAFARI/ramulator2@c5b1c3a python/ramulator/dram/hbm{2,3,4}.py: HBM2_2000 (1 ns clock),
// HBM3_6400 (625 ps) and HBM4_8000 (500 ps), in ns. HBM2e and HBM3e have no preset of their own:
// the ns values of HBM2 and HBM3 at a faster clock. tRTW of HBM2: the DRAMSys HBM2 memspec.
constexpr Preset hbm2{14, 12, 14, 34,  48, 5,    16, 4, 4, 15, 6,   8,
                      18, 14, 5,  200, 8,  3900, 2,  2, 4, 4,  1024};
constexpr Preset hbm3{19.375, 9.375, 16.25, 28.125, 45, 5.625, 20.625, 2.5, 3.125, 15, 4.375, 6.25,
                      12.5,   12.5,  6.25,  200,    5,  3900,  4,      2,   4,     4,  1024};
constexpr Preset hbm4{19.5, 9.5, 16.5, 28.5, 45, 6,    21, 2.5, 3.5, 15, 4.5, 6.5,
                      12.5, 10,  5,    280,  4,  3900, 4,  2,   4,   2,  1024};
// gddr6.py of the same repository (commit 278f1ef), GDDR6_2000_1350mV_quad at 570 ps (Samsung 8 Gb
// data sheet): 16 pins, 16 bits per pin and burst, eight per clock. The burst of two clocks is
// tCCD_S there too; its tCCD of 4 and 6 belongs to the mode with half the rate. tRTW is nCL + 1.
// GDDR6X: the same ns values at its faster clock.
constexpr Preset gddr6{14.82, 9.12,  14.82, 30.21, 45.03, 2.28,  14.82, 3.99,
                       3.99,  15.96, 5.13,  6.27,  14.25, 13.68, 3.42,  59.85,
                       7.98,  1900,  8,     2,     3,     4,     2048};
// gddr7.py (commit 38c51d4), GDDR7_28000_PAM3 at 571 ps, which calls itself no vendor's table: 8
// pins, 32 bits per pin and burst, sixteen per clock, no bank groups (nCCD 2, same bank 4), no
// tFAW.
constexpr Preset gddr7{17.13,  10.849, 17.13, 34.26, 51.39, 2.284,  17.13, 2.284,
                       2.284,  0,      5.139, 6.281, 6.852, 13.704, 3.426, 59.955,
                       11.991, 1900,   16,    2,     4,     16,     2048};
// lpddr5.py (commit 0aba192), LPDDR5_6400 at 1250 ps, 16 Gb; tRTW is nCL + nBL + 2 - nCWL. 16 pins,
// 16 bits per pin and burst, eight per clock. LPDDR5X: the same ns values at its faster clock.
constexpr Preset lpddr5{18.75, 18.75, 18.75, 42.5, 61.25, 10,   35, 5, 5, 20, 6.25, 12.5,
                        15,    21.25, 11.25, 160,  7.5,   3906, 8,  2, 4, 4,  2048};

const Preset& preset_of(DramKind kind) {
  switch (kind) {
    case DramKind::Hbm2:
    case DramKind::Hbm2e:
      return hbm2;
    case DramKind::Hbm4:
      return hbm4;
    case DramKind::Gddr6:
    case DramKind::Gddr6x:
      return gddr6;
    case DramKind::Gddr7:
      return gddr7;
    case DramKind::Lpddr5x:
      return lpddr5;
    case DramKind::Hbm3:
    case DramKind::Hbm3e:
      break;
  }
  return hbm3;
}

struct Numbered {
  DramFamily family;
  double generation;
  DramKind kind;
  std::string_view name;
};

constexpr Numbered kinds[] = {{DramFamily::Hbm, 2, DramKind::Hbm2, "HBM2"},
                              {DramFamily::Hbm, 2.5, DramKind::Hbm2e, "HBM2e"},
                              {DramFamily::Hbm, 3, DramKind::Hbm3, "HBM3"},
                              {DramFamily::Hbm, 3.5, DramKind::Hbm3e, "HBM3e"},
                              {DramFamily::Hbm, 4, DramKind::Hbm4, "HBM4"},
                              {DramFamily::Gddr, 6, DramKind::Gddr6, "GDDR6"},
                              {DramFamily::Gddr, 6.5, DramKind::Gddr6x, "GDDR6X"},
                              {DramFamily::Gddr, 7, DramKind::Gddr7, "GDDR7"},
                              {DramFamily::Lpddr, 5.5, DramKind::Lpddr5x, "LPDDR5X"}};

}  // namespace

std::string_view name_of(DramKind kind) {
  const auto* found = std::find_if(std::begin(kinds), std::end(kinds),
                                   [&](const Numbered& entry) { return entry.kind == kind; });
  return found == std::end(kinds) ? std::string_view() : found->name;
}

DramKind dram_kind(DramFamily family, double generation) {
  for (const Numbered& entry : kinds) {
    if (entry.family == family && entry.generation == generation) return entry.kind;
  }
  throw ModelError(
      fmt::format("memory: no generation {} in this family; known: HBM 2, 2.5 (HBM2e), 3, 3.5 "
                  "(HBM3e), 4; GDDR 6, 6.5 (GDDR6X), 7; LPDDR 5.5 (LPDDR5X)",
                  generation));
}

DramShape dram_shape(DramKind kind) {
  switch (kind) {
    case DramKind::Hbm2:
    case DramKind::Hbm2e:
      return {16, 64};
    case DramKind::Hbm4:
      return {64, 32};
    case DramKind::Gddr6:
    case DramKind::Gddr6x:
      return {2, 16};
    case DramKind::Gddr7:
      return {4, 8};
    case DramKind::Lpddr5x:
      return {4, 16};
    case DramKind::Hbm3:
    case DramKind::Hbm3e:
      break;
  }
  return {32, 32};
}

DramTiming dram_timing(DramKind kind, double pin_rate, Picoseconds trfc) {
  const Preset& preset = preset_of(kind);
  DramTiming timing;
  const double clock_ns = static_cast<double>(preset.beats_per_clock) / pin_rate * 1e9;
  timing.clock_fs = static_cast<std::int64_t>(std::llround(clock_ns * 1e6));
  const auto clocks = [&](double ns) {
    return static_cast<std::int64_t>(std::ceil(ns / clock_ns - 1e-9));
  };
  timing.act_to_read = clocks(preset.trcd);
  timing.act_to_write = clocks(preset.trcdwr);
  timing.precharge = clocks(preset.trp);
  timing.act_to_pre = clocks(preset.tras);
  timing.act_to_act = clocks(preset.trc);
  timing.read_to_pre = clocks(preset.trtp);
  timing.refresh = clocks(static_cast<double>(trfc.count()) / 1000);
  timing.refresh_interval = static_cast<std::int64_t>(preset.trefi / clock_ns);
  timing.refresh_bank = clocks(preset.trfc_bank);
  timing.refresh_bank_gap = clocks(preset.trrefd);
  timing.burst_gap = preset.burst_gap;
  timing.burst_gap_long = preset.burst_gap_long;
  timing.act_gap = clocks(preset.trrd);
  timing.act_gap_long = clocks(preset.trrd_long);
  timing.four_act_window = clocks(preset.tfaw);
  timing.read_latency = clocks(preset.tcl);
  timing.write_latency = clocks(preset.tcwl);
  const std::int64_t write_end = timing.write_latency + timing.burst_gap;
  timing.write_to_read = clocks(preset.twtr) + write_end;
  timing.write_to_read_other = clocks(preset.twtr_short) + write_end;
  timing.write_to_pre = clocks(preset.twr) + write_end;
  timing.read_to_write = clocks(preset.trtw);
  timing.bank_groups = preset.bank_groups;
  timing.page = Bytes(preset.page);
  return timing;
}

double refresh_bound(const DramTiming& timing) {
  const auto lost = timing.read_to_pre + timing.precharge + timing.refresh + timing.act_to_read;
  return 1 - static_cast<double>(lost) / static_cast<double>(timing.refresh_interval);
}

double row_train_clocks(const DramTiming& timing, Bytes run) {
  const std::int64_t bytes = std::clamp<std::int64_t>(run.count(), 1, timing.page.count());
  const std::int64_t bursts = (bytes + timing.burst.count() - 1) / timing.burst.count();
  const double bus = static_cast<double>(bursts * timing.burst_gap);
  const double activates = std::max(
      {static_cast<double>(timing.act_gap), static_cast<double>(timing.four_act_window) / 4,
       static_cast<double>(timing.act_to_act) / static_cast<double>(timing.banks)});
  return std::max(bus, activates);
}

}  // namespace tandem
