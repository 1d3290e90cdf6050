// Cables of both generations, and the bandwidths that follow from them and from a vector every 27
// (10, 20, 40) cycles.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::lpu {
namespace {

using testing::ShippedFabric;

double gigabytes(const ShippedFabric& fabric, int link, int links) {
  return links * link_rate(fabric.geometry, link).count() / 1e9;
}

// Every cable has two ends, both at the same level.
void expect_symmetric(const Topology& topology) {
  for (int chip = 0; chip < topology.chips(); ++chip) {
    for (int link = 0; link < topology.links_per_chip(); ++link) {
      const Port other = topology.peer(chip, link);
      if (!other.connected()) continue;
      ASSERT_NE(other.chip, chip);
      ASSERT_EQ(topology.peer(other.chip, other.link), (Port{chip, link}));
    }
  }
}

TEST(Topology, EveryCableHasTwoEnds) {
  for (const int nodes : {1, 2, 3, 7, 8, 9, 17}) {
    expect_symmetric(ShippedFabric("lpu_v1_quadfour", {nodes}).topology);
    expect_symmetric(ShippedFabric("lpu_v1_single_dragonfly", {nodes}).topology);
  }
  expect_symmetric(ShippedFabric("lpu_v1_dragonfly", {9, 5}).topology);
  for (const int trays : {1, 3, 4, 15, 16}) {
    expect_symmetric(ShippedFabric("lp30_lpx", {trays, 3}).topology);
  }
}

TEST(Topology, PortsOfAnLpuV1Carry235GigabytesPerSecond) {
  // C6: 320 B in 27 cycles of 900 MHz = 10.667 GB/s; 11 ports, both directions: 234.7.
  const ShippedFabric quadfour("lpu_v1_quadfour");
  EXPECT_EQ(quadfour.topology.links_per_chip(), 11);
  EXPECT_NEAR(gigabytes(quadfour, 0, 11 * 2), 235, 0.5);
}

TEST(Topology, PartitionsWithSkippedNodesKeepThePublishedBandwidth) {
  // Nodes reach four ahead with four links each. Across a cut, pairs at distance d: d of them, so
  // 4 (1 + 2 + 3 + 4) = 40 links; with s nodes skipped 4 x (1 + .. + (4 - s)): 24, 12, 4.
  const ShippedFabric quadfour("lpu_v1_quadfour", {40});
  const double published[] = {427, 256, 128, 43};
  for (int skipped = 0; skipped < 4; ++skipped) {
    const int links = quadfour.topology.links_between(0, 72, 72 + 8 * skipped, 72);
    EXPECT_NEAR(gigabytes(quadfour, 7, links), published[skipped], 0.5) << skipped;
  }
  EXPECT_EQ(quadfour.topology.links_between(0, 72, 72 + 8 * 4, 72), 0);
}

TEST(Topology, BisectionOf72LpusIs853GigabytesPerSecond) {
  // Nine nodes in a ring that reaches four ahead and four behind: all pairs, four links each.
  // Four nodes against five: 20 pairs.
  const ShippedFabric quadfour("lpu_v1_quadfour");
  EXPECT_EQ(quadfour.topology.chips(), 72);
  EXPECT_NEAR(gigabytes(quadfour, 7, quadfour.topology.links_between(0, 32, 32, 40)), 853, 0.5);
}

TEST(Topology, PartitionsOf72And136HaveDiameters3And5) {
  EXPECT_EQ(ShippedFabric("lpu_v1_quadfour").topology.diameter(), 3);
  EXPECT_EQ(ShippedFabric("lpu_v1_quadfour", {17}).topology.diameter(), 5);
}

TEST(Topology, ThirtyThreeNodesReachEachOtherDirectly) {
  const Topology topology = ShippedFabric("lpu_v1_single_dragonfly").topology;
  EXPECT_EQ(topology.chips(), 264);
  for (int node = 1; node < 33; ++node) {
    EXPECT_EQ(topology.links_between(0, 8, 8 * node, 8), 1) << node;
  }
  EXPECT_EQ(topology.diameter(), 3);
}

TEST(Topology, RacksOfNineNodesReach144OtherRacks) {
  const Topology topology = ShippedFabric("lpu_v1_dragonfly").topology;
  EXPECT_EQ(topology.chips(), 10440);
  int inside = 0;
  for (int node = 1; node < 9; ++node) {
    EXPECT_EQ(topology.links_between(0, 8, 8 * node, 8), 2) << node;
  }
  for (int node = 0; node < 9; ++node) {
    inside += topology.links_between(8 * node, 8, 0, 72) -
              topology.links_between(8 * node, 8, 8 * node, 8);
  }
  EXPECT_EQ(inside, 144);
  for (int rack = 1; rack < 145; ++rack) {
    ASSERT_EQ(topology.links_between(0, 72, 72 * rack, 72), 1) << rack;
  }
  // Three hops to the port that leads to a rack, one to it, three inside (docs/deviations.md).
  const std::vector<int> hops = topology.hops_from(0);
  EXPECT_EQ(*std::max_element(hops.begin(), hops.end()), 7);
}

TEST(Topology, LpxTraysAreCompleteAndTraysMeetAtTheSameIndex) {
  const ShippedFabric lpx("lp30_lpx", {16, 4});
  const Topology& topology = lpx.topology;
  EXPECT_EQ(topology.chips(), 4 * 256);
  EXPECT_EQ(topology.links_between(0, 1, 1, 15), 15);
  // Chip 21 is index 5 of tray 1: one cable to index 5 of each of the 15 other trays of its rack.
  EXPECT_EQ(topology.links_between(21, 1, 0, 256) - topology.links_between(21, 1, 16, 16), 15);
  for (int tray = 0; tray < 16; ++tray) {
    EXPECT_EQ(topology.link_to(21, 16 * tray + 5).has_value(), tray != 1) << tray;
  }
  // Two of the four single lanes to the rack ahead, two to the one behind; the first has none
  // behind.
  EXPECT_EQ(topology.links_between(21, 1, 256, 256), 2);
  EXPECT_EQ(topology.links_between(256 + 21, 1, 0, 256), 2);
  EXPECT_EQ(topology.links_between(21, 1, 512, 512), 0);
  // Two hops in a rack of 16 trays, three to the fourth rack.
  const std::vector<int> hops = topology.hops_from(21);
  EXPECT_EQ(*std::max_element(hops.begin(), hops.begin() + 256), 2);
  EXPECT_EQ(*std::max_element(hops.begin(), hops.end()), 2 + 3);
}

TEST(Topology, LinksOfAnLp30RunAtTheirLanes) {
  // 4, 2 and 1 lanes of 100 Gb/s: a flit of 328 B in 10, 20 and 40 whole cycles of 1.5 GHz is 48,
  // 24 and 12 GB/s of payload. Lanes of all cables: 15 x 4 + 15 x 2 + 4 x 1 = 94 of the chip's 96.
  const ShippedFabric lpx("lp30_lpx");
  EXPECT_DOUBLE_EQ(gigabytes(lpx, 0, 1), 48);
  EXPECT_DOUBLE_EQ(gigabytes(lpx, 15, 1), 24);
  EXPECT_DOUBLE_EQ(gigabytes(lpx, 30, 1), 12);
}

TEST(Topology, NoLinkIsFasterThanItsLanes) {
  // 328 B of a flit in `interval` cycles against lanes x rate of the serial lanes.
  for (const char* name :
       {"lpu_v1_quadfour", "lpu_v1_single_dragonfly", "lpu_v1_dragonfly", "lp30_lpx"}) {
    const ShippedFabric shipped(name, {});
    for (const FabricLevel& level : shipped.fabric.levels) {
      const double seconds = level.parameters.value("interval") / shipped.geometry.clock.count();
      const double raw = level.parameters.value("lanes") * level.parameters.value("lane_rate");
      EXPECT_LE(328 / seconds, raw) << name << " " << level.name;
    }
  }
}

TEST(Topology, RefusesMoreUnitsThanThePortsAllow) {
  const Fabric fabric = testing::shipped().fabric("lpu_v1_single_dragonfly");
  EXPECT_THROW(Topology(fabric, std::vector<int>{34}), ModelError);
  EXPECT_THROW(Topology(fabric, std::vector<int>{8, 8, 8}), ModelError);
}

}  // namespace
}  // namespace tandem::lpu
