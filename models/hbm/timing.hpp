// DRAM timing of one pseudo-channel and the shape of a device (an HBM stack, a GDDR or LPDDR
// package). Values in nanoseconds come from the presets of public DRAM simulators, named beside
// each table in timing.cpp, and are quantised to the command clock that follows from the pin rate.
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/core/units.hpp"

namespace tandem {

enum class DramFamily : std::uint8_t { Hbm, Gddr, Lpddr };
enum class DramKind : std::uint8_t {
  Hbm2,
  Hbm2e,
  Hbm3,
  Hbm3e,
  Hbm4,
  Gddr6,
  Gddr6x,
  Gddr7,
  Lpddr5x
};
[[nodiscard]] std::string_view name_of(DramKind kind);

/// The kind from its family and the generation as a number: HBM 2, 2.5 (HBM2e), 3, 3.5 (HBM3e), 4;
/// GDDR 6, 6.5 (GDDR6X), 7; LPDDR 5.5 (LPDDR5X). Throws ModelError for others.
[[nodiscard]] DramKind dram_kind(DramFamily family, double generation);

/// Pseudo-channels and data pins of one device. A GDDR or LPDDR channel counts as one
/// pseudo-channel.
struct DramShape {
  std::int64_t pseudo_channels = 0;
  std::int64_t pins_per_pseudo_channel = 0;
  [[nodiscard]] std::int64_t pins() const { return pseudo_channels * pins_per_pseudo_channel; }
};
[[nodiscard]] DramShape dram_shape(DramKind kind);

/// Timing of one pseudo-channel. Times are whole command clocks, except `clock` itself, which is
/// kept in femtoseconds so that the bus rate is exact to a part in 10^5.
struct DramTiming {
  std::int64_t clock_fs = 0;          ///< command clock period
  std::int64_t act_to_read = 0;       ///< tRCDRD
  std::int64_t act_to_write = 0;      ///< tRCDWR
  std::int64_t precharge = 0;         ///< tRP
  std::int64_t act_to_pre = 0;        ///< tRAS
  std::int64_t act_to_act = 0;        ///< tRC, same bank
  std::int64_t read_to_pre = 0;       ///< tRTP
  std::int64_t write_to_pre = 0;      ///< CWL, the burst and tWR
  std::int64_t refresh = 0;           ///< tRFCab
  std::int64_t refresh_interval = 0;  ///< tREFI
  std::int64_t refresh_bank = 0;      ///< tRFCpb
  std::int64_t refresh_bank_gap = 0;  ///< tRREFD: per-bank refresh to activate of another bank
  std::int64_t burst_gap = 0;         ///< tCCD_S: other bank group; the burst on the bus
  std::int64_t burst_gap_long = 0;    ///< tCCD_L: same bank group (GDDR7: same bank)
  std::int64_t act_gap = 0;           ///< tRRD_S
  std::int64_t act_gap_long = 0;      ///< tRRD_L
  std::int64_t four_act_window = 0;   ///< tFAW; 0: the standard has none
  std::int64_t write_to_read = 0;     ///< tWTR_L after the last write data, plus CWL and the burst
  std::int64_t write_to_read_other = 0;  ///< the same with tWTR_S: other bank group
  std::int64_t read_to_write = 0;        ///< tRTW
  std::int64_t read_latency = 0;         ///< CL
  std::int64_t write_latency = 0;        ///< CWL
  std::int64_t banks = 16;
  std::int64_t bank_groups = 4;
  Bytes page{1024};
  Bytes burst{32};
  [[nodiscard]] Picoseconds time_of(std::int64_t clocks) const {
    return Picoseconds((clocks * clock_fs + 999) / 1000);
  }
};

/// Timing of a kind at a pin rate (bits per second and pin) with all-bank refresh time
/// `trfc`, which depends on the density of the dies.
[[nodiscard]] DramTiming dram_timing(DramKind kind, double pin_rate, Picoseconds trfc);

/// Share of time in which streaming reads use the bus under all-bank refresh:
/// 1 - (nRTP + nRP + nRFC + nRCD) / nREFI (bound of Ramulator's own throughput tests).
[[nodiscard]] double refresh_bound(const DramTiming& timing);

/// Bus clocks that one row train of `run` contiguous bytes per activation takes when trains rotate
/// over the banks: bus occupancy, or the activate limits (tRRD, tFAW/4, tRC/banks) where these are
/// longer. Shorter trains leave the bus idle.
[[nodiscard]] double row_train_clocks(const DramTiming& timing, Bytes run);

}  // namespace tandem
