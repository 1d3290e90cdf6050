// DRAM timing of one HBM pseudo-channel and the shape of a stack. Values in nanoseconds come from
// the presets of public DRAM simulators (Ramulator 2.1: HBM2_2000, HBM3_6400, HBM4_8000) and are
// quantised to the command clock that follows from the pin rate.
#pragma once

#include <cstdint>

#include "sim/core/units.hpp"

namespace tandem {

enum class HbmGeneration : std::uint8_t { Hbm2e, Hbm3, Hbm3e, Hbm4 };

/// The generation written as 2.5 (HBM2e), 3, 3.5 (HBM3e) or 4. Throws ModelError for others.
[[nodiscard]] HbmGeneration hbm_generation(double number);

/// Pseudo-channels and data pins of one stack.
struct HbmStackShape {
  std::int64_t pseudo_channels = 0;
  std::int64_t pins_per_pseudo_channel = 0;
  [[nodiscard]] std::int64_t pins() const { return pseudo_channels * pins_per_pseudo_channel; }
};
[[nodiscard]] HbmStackShape stack_shape(HbmGeneration generation);

/// Timing of one pseudo-channel. Times are whole command clocks, except `clock` itself, which is
/// kept in femtoseconds so that the bus rate is exact to a part in 10^5.
struct HbmTiming {
  std::int64_t clock_fs = 0;          ///< command clock period
  std::int64_t act_to_read = 0;       ///< tRCDRD
  std::int64_t precharge = 0;         ///< tRP
  std::int64_t act_to_pre = 0;        ///< tRAS
  std::int64_t act_to_act = 0;        ///< tRC, same bank
  std::int64_t read_to_pre = 0;       ///< tRTP
  std::int64_t refresh = 0;           ///< tRFCab
  std::int64_t refresh_interval = 0;  ///< tREFI
  std::int64_t burst_gap = 0;         ///< tCCD_S: other bank group
  std::int64_t burst_gap_long = 0;    ///< tCCD_L: same bank group
  std::int64_t act_gap = 0;           ///< tRRD_S
  std::int64_t four_act_window = 0;   ///< tFAW
  std::int64_t write_to_read = 0;     ///< tWTR_L after the last write data, plus CWL and the burst
  std::int64_t read_to_write = 0;     ///< tRTW
  std::int64_t read_latency = 0;      ///< CL
  std::int64_t banks = 16;
  std::int64_t bank_groups = 4;
  Bytes page{1024};
  Bytes burst{32};
  [[nodiscard]] Picoseconds time_of(std::int64_t clocks) const {
    return Picoseconds((clocks * clock_fs + 999) / 1000);
  }
};

/// Timing of a generation at a pin rate (bits per second and pin) with all-bank refresh time
/// `trfc`, which depends on the density of the dies.
[[nodiscard]] HbmTiming hbm_timing(HbmGeneration generation, double pin_rate, Picoseconds trfc);

/// Share of time in which streaming reads use the bus under all-bank refresh:
/// 1 - (nRTP + nRP + nRFC + nRCD) / nREFI (bound of Ramulator's own throughput tests).
[[nodiscard]] double refresh_bound(const HbmTiming& timing);

/// Bus clocks that one row train of `run` contiguous bytes per activation takes when trains rotate
/// over the banks: bus occupancy, or the activate limits (tRRD, tFAW/4, tRC/banks) where these are
/// longer. Shorter trains leave the bus idle.
[[nodiscard]] double row_train_clocks(const HbmTiming& timing, Bytes run);

}  // namespace tandem
