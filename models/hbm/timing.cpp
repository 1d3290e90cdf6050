#include "models/hbm/timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Nanosecond values of one preset; clocks where the standard counts clocks.
struct Preset {
  double trcd, trp, tras, trc, trtp, trrd, tfaw, twtr, trtw, tcl, tcwl;
  std::int64_t beats_per_clock;
  std::int64_t bank_groups;
};

// Ramulator 2.1 HBM2_2000 (1 ns clock), HBM3_6400 (625 ps) and HBM4_8000 (500 ps), in ns.
// HBM2e and HBM3e have no preset of their own: the ns values of HBM2 and HBM3 at a faster clock.
// tRTW of HBM2: the DRAMSys HBM2 memspec.
constexpr Preset hbm2{14, 14, 34, 48, 5, 4, 15, 8, 18, 14, 5, 2, 4};
constexpr Preset hbm3{19.375, 16.25, 28.125, 45, 5.625, 2.5, 15, 6.25, 12.5, 12.5, 6.25, 4, 4};
constexpr Preset hbm4{19.5, 16.5, 28.5, 45, 6, 2.5, 15, 6.5, 12.5, 10, 5, 4, 2};

const Preset& preset_of(HbmGeneration generation) {
  switch (generation) {
    case HbmGeneration::Hbm2e:
      return hbm2;
    case HbmGeneration::Hbm4:
      return hbm4;
    case HbmGeneration::Hbm3:
    case HbmGeneration::Hbm3e:
      break;
  }
  return hbm3;
}

}  // namespace

HbmGeneration hbm_generation(double number) {
  if (number == 2.5) return HbmGeneration::Hbm2e;
  if (number == 3) return HbmGeneration::Hbm3;
  if (number == 3.5) return HbmGeneration::Hbm3e;
  if (number == 4) return HbmGeneration::Hbm4;
  throw ModelError(fmt::format(
      "hbm: no generation {}; known: 2.5 (HBM2e), 3 (HBM3), 3.5 (HBM3e), 4 (HBM4)", number));
}

HbmStackShape stack_shape(HbmGeneration generation) {
  switch (generation) {
    case HbmGeneration::Hbm2e:
      return {16, 64};
    case HbmGeneration::Hbm4:
      return {64, 32};
    case HbmGeneration::Hbm3:
    case HbmGeneration::Hbm3e:
      break;
  }
  return {32, 32};
}

HbmTiming hbm_timing(HbmGeneration generation, double pin_rate, Picoseconds trfc) {
  const Preset& preset = preset_of(generation);
  HbmTiming timing;
  const double clock_ns = static_cast<double>(preset.beats_per_clock) / pin_rate * 1e9;
  timing.clock_fs = static_cast<std::int64_t>(std::llround(clock_ns * 1e6));
  const auto clocks = [&](double ns) {
    return static_cast<std::int64_t>(std::ceil(ns / clock_ns - 1e-9));
  };
  timing.act_to_read = clocks(preset.trcd);
  timing.precharge = clocks(preset.trp);
  timing.act_to_pre = clocks(preset.tras);
  timing.act_to_act = clocks(preset.trc);
  timing.read_to_pre = clocks(preset.trtp);
  timing.refresh = clocks(static_cast<double>(trfc.count()) / 1000);
  timing.refresh_interval = static_cast<std::int64_t>(3900 / clock_ns);
  timing.burst_gap = 2;
  timing.burst_gap_long = 4;
  timing.act_gap = clocks(preset.trrd);
  timing.four_act_window = clocks(preset.tfaw);
  timing.write_to_read = clocks(preset.twtr) + clocks(preset.tcwl) + timing.burst_gap;
  timing.read_to_write = clocks(preset.trtw);
  timing.read_latency = clocks(preset.tcl);
  timing.bank_groups = preset.bank_groups;
  return timing;
}

double refresh_bound(const HbmTiming& timing) {
  const auto lost = timing.read_to_pre + timing.precharge + timing.refresh + timing.act_to_read;
  return 1 - static_cast<double>(lost) / static_cast<double>(timing.refresh_interval);
}

double row_train_clocks(const HbmTiming& timing, Bytes run) {
  const std::int64_t bytes = std::clamp<std::int64_t>(run.count(), 1, timing.page.count());
  const std::int64_t bursts = (bytes + timing.burst.count() - 1) / timing.burst.count();
  const double bus = static_cast<double>(bursts * timing.burst_gap);
  const double activates = std::max(
      {static_cast<double>(timing.act_gap), static_cast<double>(timing.four_act_window) / 4,
       static_cast<double>(timing.act_to_act) / static_cast<double>(timing.banks)});
  return std::max(bus, activates);
}

}  // namespace tandem
