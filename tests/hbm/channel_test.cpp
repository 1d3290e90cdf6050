// Is every timing parameter obeyed to the clock: not ready at t - 1, ready at t?
#include "models/hbm/channel.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// Distinct numbers, so that no limit hides behind another. Banks 0 and 4 share a group of four.
DramTiming distinct() {
  DramTiming t;
  t.clock_fs = 1'000'000;
  t.act_to_read = 14;
  t.act_to_write = 11;
  t.precharge = 13;
  t.act_to_pre = 34;
  t.act_to_act = 61;
  t.read_to_pre = 5;
  t.write_to_pre = 23;
  t.refresh = 260;
  t.refresh_interval = 3900;
  t.refresh_bank = 96;
  t.refresh_bank_gap = 8;
  t.burst_gap = 2;
  t.burst_gap_long = 4;
  t.act_gap = 3;
  t.act_gap_long = 6;
  t.four_act_window = 31;
  t.write_to_read = 17;
  t.write_to_read_other = 12;
  t.read_to_write = 9;
  t.read_latency = 14;
  t.write_latency = 5;
  return t;
}

struct Issued {
  DramCommand command;
  std::int64_t bank;
  std::int64_t at;
};

struct Probe {
  std::string parameter;
  std::vector<Issued> before;
  DramCommand command;
  std::int64_t bank;
  std::int64_t ready;  ///< expected first legal clock
};

using C = DramCommand;

// In every row the probed limit is the last one of the sum by hand: banks are opened at clock 0 and
// used at 100, when nothing of the activate holds any more (the largest, tRC, is 61).
const std::vector<Probe> probes = {
    {"tRCDRD", {{C::Activate, 0, 0}}, C::Read, 0, 14},
    {"tRCDWR", {{C::Activate, 0, 0}}, C::Write, 0, 11},
    {"tRAS", {{C::Activate, 0, 0}}, C::Precharge, 0, 34},
    // Precharged at 34: tRP would allow 47, tRC 61.
    {"tRC", {{C::Activate, 0, 0}, {C::Precharge, 0, 34}}, C::Activate, 0, 61},
    {"tRP", {{C::Activate, 0, 0}, {C::Precharge, 0, 70}}, C::Activate, 0, 83},
    {"tRP before tRFC", {{C::Activate, 0, 0}, {C::Precharge, 0, 70}}, C::RefreshAll, 0, 83},
    {"tRTP", {{C::Activate, 0, 0}, {C::Read, 0, 100}}, C::Precharge, 0, 105},
    {"tWR", {{C::Activate, 0, 0}, {C::Write, 0, 100}}, C::Precharge, 0, 123},
    {"tCCD_S", {{C::Activate, 0, 0}, {C::Activate, 1, 3}, {C::Read, 0, 100}}, C::Read, 1, 102},
    {"tCCD_L", {{C::Activate, 0, 0}, {C::Activate, 4, 6}, {C::Read, 0, 100}}, C::Read, 4, 104},
    {"tCCD_L same bank", {{C::Activate, 0, 0}, {C::Read, 0, 100}}, C::Read, 0, 104},
    {"tCCD_S write",
     {{C::Activate, 0, 0}, {C::Activate, 1, 3}, {C::Write, 0, 100}},
     C::Write,
     1,
     102},
    {"tCCD_L write",
     {{C::Activate, 0, 0}, {C::Activate, 4, 6}, {C::Write, 0, 100}},
     C::Write,
     4,
     104},
    {"tRRD_S", {{C::Activate, 0, 0}}, C::Activate, 1, 3},
    {"tRRD_L", {{C::Activate, 0, 0}}, C::Activate, 4, 6},
    // Activates at 0, 3, 6, 9: tRRD would allow the fifth, of an unused group member, at 12.
    {"tFAW",
     {{C::Activate, 0, 0}, {C::Activate, 1, 3}, {C::Activate, 2, 6}, {C::Activate, 3, 9}},
     C::Activate,
     4,
     31},
    {"tWTR_S", {{C::Activate, 0, 0}, {C::Activate, 1, 3}, {C::Write, 0, 100}}, C::Read, 1, 112},
    {"tWTR_L", {{C::Activate, 0, 0}, {C::Activate, 4, 6}, {C::Write, 0, 100}}, C::Read, 4, 117},
    {"tRTW", {{C::Activate, 0, 0}, {C::Activate, 1, 3}, {C::Read, 0, 100}}, C::Write, 1, 109},
    {"tRFCab", {{C::RefreshAll, 0, 100}}, C::Activate, 3, 360},
    {"tRFCab to itself", {{C::RefreshAll, 0, 100}}, C::RefreshAll, 0, 360},
    {"tRFCpb", {{C::RefreshBank, 2, 100}}, C::Activate, 2, 196},
    {"tRREFD", {{C::RefreshBank, 2, 100}}, C::Activate, 3, 108},
};

TEST(DramChannel, NotReadyOneClockBeforeAndReadyOnIt) {
  for (const Probe& probe : probes) {
    SCOPED_TRACE(probe.parameter);
    DramChannel channel(distinct());
    for (const Issued& one : probe.before) channel.issue(one.command, one.bank, 7, one.at);
    EXPECT_EQ(channel.earliest(probe.command, probe.bank), probe.ready);
    DramChannel early = channel;
    EXPECT_THROW(early.issue(probe.command, probe.bank, 7, probe.ready - 1), ModelError);
    EXPECT_NO_THROW(channel.issue(probe.command, probe.bank, 7, probe.ready));
  }
}

// Every number of the struct that the device uses moves some probe: one that is longer by one clock
// and moves none is not modelled.
TEST(DramChannel, EveryParameterMovesAProbe) {
  const std::vector<std::pair<const char*, std::int64_t DramTiming::*>> fields = {
      {"act_to_read", &DramTiming::act_to_read},
      {"act_to_write", &DramTiming::act_to_write},
      {"precharge", &DramTiming::precharge},
      {"act_to_pre", &DramTiming::act_to_pre},
      {"act_to_act", &DramTiming::act_to_act},
      {"read_to_pre", &DramTiming::read_to_pre},
      {"write_to_pre", &DramTiming::write_to_pre},
      {"refresh", &DramTiming::refresh},
      {"refresh_bank", &DramTiming::refresh_bank},
      {"refresh_bank_gap", &DramTiming::refresh_bank_gap},
      {"burst_gap", &DramTiming::burst_gap},
      {"burst_gap_long", &DramTiming::burst_gap_long},
      {"act_gap", &DramTiming::act_gap},
      {"act_gap_long", &DramTiming::act_gap_long},
      {"four_act_window", &DramTiming::four_act_window},
      {"write_to_read", &DramTiming::write_to_read},
      {"write_to_read_other", &DramTiming::write_to_read_other},
      {"read_to_write", &DramTiming::read_to_write}};
  for (const auto& [name, field] : fields) {
    bool moved = false;
    for (const Probe& probe : probes) {
      DramTiming longer = distinct();
      longer.*field += 1;
      DramChannel channel(longer);
      try {
        for (const Issued& one : probe.before) channel.issue(one.command, one.bank, 7, one.at);
        moved = moved || channel.earliest(probe.command, probe.bank) == probe.ready + 1;
      } catch (const ModelError&) {  // the way to the probe is no longer legal
      }
    }
    EXPECT_TRUE(moved) << name;
  }
}

TEST(DramChannel, StateForbidsWhatNoTimeAllows) {
  DramChannel channel(distinct());
  EXPECT_THROW((void)channel.earliest(C::Read, 0), ModelError);
  EXPECT_THROW((void)channel.earliest(C::Precharge, 0), ModelError);
  channel.issue(C::Activate, 0, 7, 0);
  EXPECT_EQ(channel.open_row(0), 7);
  EXPECT_THROW((void)channel.earliest(C::Activate, 0), ModelError);
  EXPECT_THROW((void)channel.earliest(C::RefreshBank, 0), ModelError);
  EXPECT_THROW((void)channel.earliest(C::RefreshAll, 3), ModelError);
}

}  // namespace
}  // namespace tandem
