// Does the memory obey its timing, and do the row trains agree with the burst-accurate channel?
#include <gtest/gtest.h>

#include "models/hbm/controller.hpp"
#include "models/hbm/memory.hpp"
#include "models/hbm/timing.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {
using namespace literals;

HbmConfig h100_like() {
  return {DramKind::Hbm3, 5, BytesPerSecond(3.35e12), 350_ns, true};
}

TEST(HbmTiming, Hbm3At6400MatchesThePresetInClocks) {
  // 4 beats per clock at 6.4 Gb/s: 625 ps. Ramulator HBM3_6400: nRCD 31, nRP 26, nRAS 45, nRC 72,
  // nRTP 9, nFAW 24, nREFI 6240; 260 ns = 416 clocks.
  const DramTiming timing = dram_timing(DramKind::Hbm3, 6.4e9, 260_ns);
  EXPECT_EQ(timing.clock_fs, 625000);
  EXPECT_EQ(timing.act_to_read, 31);
  EXPECT_EQ(timing.precharge, 26);
  EXPECT_EQ(timing.act_to_pre, 45);
  EXPECT_EQ(timing.act_to_act, 72);
  EXPECT_EQ(timing.read_to_pre, 9);
  EXPECT_EQ(timing.four_act_window, 24);
  EXPECT_EQ(timing.refresh_interval, 6240);
  // 1 - (9 + 26 + 416 + 31) / 6240 = 1 - 482/6240
  EXPECT_NEAR(refresh_bound(timing), 0.92276, 1e-5);
}

TEST(HbmTiming, PublishedRefreshBounds) {
  // HBM4 8 Gb/s, 450 ns: 1 - (12 + 33 + 900 + 39)/7800; HBM2 2 Gb/s, 160 ns: 1 -
  // (5+14+160+14)/3900.
  EXPECT_NEAR(refresh_bound(dram_timing(DramKind::Hbm4, 8e9, 450_ns)), 0.87385, 1e-5);
  EXPECT_NEAR(refresh_bound(dram_timing(DramKind::Hbm2e, 2e9, 160_ns)), 0.95051, 1e-5);
}

TEST(HbmTiming, UnknownGenerationIsAnError) {
  EXPECT_THROW((void)dram_kind(DramFamily::Hbm, 5), ModelError);
}

TEST(HbmTiming, ShortTrainsAreBoundByActivates) {
  const DramTiming timing = dram_timing(DramKind::Hbm3, 6.4e9, 260_ns);
  // A full 1 KiB page: 32 bursts x 2 clocks. One burst of 32 B: tFAW / 4 = 6 clocks beats tRRD 4
  // and tRC / 16 = 4.5.
  EXPECT_DOUBLE_EQ(row_train_clocks(timing, Bytes(1024)), 64);
  EXPECT_DOUBLE_EQ(row_train_clocks(timing, Bytes(32)), 6);
}

TEST(HbmChannel, StreamingReadsReachTheRefreshBoundWithinAPoint) {
  for (const auto& [generation, rate, trfc] : {std::tuple{DramKind::Hbm2e, 3.2e9, 350_ns},
                                               {DramKind::Hbm3, 5.234e9, 350_ns},
                                               {DramKind::Hbm3e, 7.8e9, 450_ns},
                                               {DramKind::Hbm4, 10.7e9, 530_ns}}) {
    const DramTiming timing = dram_timing(generation, rate, trfc);
    const ReadStream stream{Bytes(2 << 20)};
    const double ideal =
        static_cast<double>(timing.time_of(stream.bytes.count() / 32 * timing.burst_gap).count());
    const double with = ideal / static_cast<double>(simulate_channel(timing, stream, true).count());
    const double without =
        ideal / static_cast<double>(simulate_channel(timing, stream, false).count());
    EXPECT_NEAR(with, refresh_bound(timing), 0.01);
    EXPECT_GT(without, 0.995);
  }
}

TEST(HbmMemory, RowTrainsAgreeWithTheBurstAccurateChannelWithinOnePercent) {
  // One stack of 32 pseudo-channels reads 32 streams side by side; each channel sees 1/32 of them.
  for (const std::int64_t run : {1024, 512, 256, 128}) {
    HbmConfig config = h100_like();
    config.stacks = 1;
    config.bandwidth = BytesPerSecond(0.67e12);
    HbmMemory memory(config);
    const Bytes per_channel(4 << 20);
    HbmRequest request{0, per_channel * 32, false, Bytes(run)};
    const double trains = static_cast<double>(memory.serve(0_ps, request).count());
    const ReadStream stream{per_channel, Bytes(run)};
    const double bursts =
        static_cast<double>(simulate_channel(memory.timing(), stream, true).count());
    EXPECT_NEAR(trains / bursts, 1.0, 0.01) << "run " << run;
  }
}

TEST(HbmMemory, OneStreamTakesBytesOverPeakTimesEfficiency) {
  HbmConfig config = h100_like();
  config.model_refresh = false;
  HbmMemory memory(config);
  // 335 MB at 3.35 TB/s: 100 us; 335e6 is not a multiple of 5 KiB, so one stack has up to 1 KiB
  // more.
  const Picoseconds done = memory.serve(0_ps, {0, 335_MB, false});
  EXPECT_NEAR(static_cast<double>(done.count()), 100e6, 2e3);
  EXPECT_EQ(memory.bytes_read(), 335_MB);
}

TEST(HbmMemory, RefreshAblationChangesTimeByTheBound) {
  HbmConfig off = h100_like();
  off.model_refresh = false;
  HbmMemory with(h100_like());
  HbmMemory without(off);
  const double ratio =
      without.serve(0_ps, {0, 100_MB, false}) / with.serve(0_ps, {0, 100_MB, false});
  EXPECT_NEAR(ratio, refresh_bound(with.timing()), 1e-4);
}

TEST(HbmMemory, RefreshThatLeavesHalfOfTheBandwidthOrLessIsAnError) {
  // HBM3: tREFI 3.9 us, and about 45 ns beside tRFC are lost per interval, so half of it is left
  // at a tRFC of 1.9 us; at 5 us the bound is below zero.
  HbmConfig config = h100_like();
  config.refresh_time = 1850_ns;
  EXPECT_GT(HbmMemory(config).streaming_efficiency(), 0.5);
  for (const Picoseconds refresh_time : {2_us, 3900_ns, 5_us}) {
    config.refresh_time = refresh_time;
    EXPECT_THROW(HbmMemory{config}, ModelError);
  }
  config.model_refresh = false;
  EXPECT_DOUBLE_EQ(HbmMemory(config).streaming_efficiency(), 1);
}

TEST(HbmMemory, TwoReadersShareTheBus) {
  HbmMemory memory(h100_like());
  const Picoseconds alone = memory.serve(0_ps, {0, 10_MB, false});
  memory.reset();
  (void)memory.serve(0_ps, {0, 10_MB, false});
  const Picoseconds second = memory.serve(0_ps, {0, 10_MB, false});
  EXPECT_NEAR(second / alone, 2.0, 1e-3);
}

TEST(HbmMemory, MixingDirectionsCostsTurnarounds) {
  HbmMemory memory(h100_like());
  Picoseconds reads(0);
  for (int i = 0; i < 200; ++i) reads = memory.serve(0_ps, {0, Bytes(1 << 20), false});
  memory.reset();
  Picoseconds mixed(0);
  for (int i = 0; i < 200; ++i) mixed = memory.serve(0_ps, {0, Bytes(1 << 20), i % 2 == 1});
  EXPECT_GT(mixed, reads);
  EXPECT_LT(mixed / reads, 1.5);
}

TEST(HbmMemory, SmallRequestUsesOneStackOnly) {
  HbmMemory memory(h100_like());
  // 512 B at address 0 and at address 1024 lie in different stacks: the second does not wait.
  const Picoseconds first = memory.serve(0_ps, {0, 512_B, false});
  EXPECT_EQ(memory.serve(0_ps, {1024, 512_B, false}), first);
  EXPECT_GT(memory.serve(0_ps, {0, 512_B, false}), first);
}

}  // namespace
}  // namespace tandem
