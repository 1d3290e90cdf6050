// Routes, cuts and export of small topologies drawn by hand.
#include "sim/graph/topology.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/graph/routes.hpp"

namespace tandem {
namespace {

using namespace tandem::literals;
using testing::ElementsAre;
using testing::HasSubstr;

TopologyLink wire(NodeId from, NodeId to, BytesPerSecond bandwidth, Picoseconds latency) {
  return {from, to, "wire", bandwidth, latency, 256_B, 16_B};
}

TEST(WireBytes, OneHeaderPerStartedPacket) {
  const TopologyLink link = wire(NodeId{0}, NodeId{1}, 1_GBps, 0_ps);
  EXPECT_EQ(wire_bytes(link, 256_B), 272_B);  // 256 + 16
  EXPECT_EQ(wire_bytes(link, 257_B), 289_B);  // 257 + 2 * 16
  EXPECT_EQ(wire_bytes(link, 0_B), 16_B);     // a header alone
}

TEST(SerialisationTime, IsWireBytesOverBandwidth) {
  // 272 B at 1 GB/s = 272 ns.
  EXPECT_EQ(serialisation_time(wire(NodeId{0}, NodeId{1}, 1_GBps, 5_ns), 256_B), 272_ns);
}

/// a --1--> b --1--> d and a --1--> c --1--> d, and a slow direct link a -> d.
struct Diamond {
  Topology topology;
  NodeId a, b, c, d;
  LinkId ac, ab, cd, bd, ad;
  Diamond() {
    a = topology.add_node(NodeKind::Switch, "a");
    b = topology.add_node(NodeKind::Switch, "b");
    c = topology.add_node(NodeKind::Switch, "c");
    d = topology.add_node(NodeKind::Switch, "d");
    // The link to c is added first: the tie-break must go by node id, not by order of addition.
    ac = topology.add_link(wire(a, c, 1_GBps, 10_ns));
    ab = topology.add_link(wire(a, b, 1_GBps, 10_ns));
    cd = topology.add_link(wire(c, d, 1_GBps, 10_ns));
    bd = topology.add_link(wire(b, d, 1_GBps, 10_ns));
    ad = topology.add_link(wire(a, d, 1_GBps, 400_ns));
  }
};

TEST(Router, TakesTheCheapestPathAndBreaksTiesByNodeId) {
  Diamond g;
  RouteFinder router(g.topology, 84_B);
  // 84 B + 16 B at 1 GB/s = 100 ns; two hops cost 2 * (100 + 10) = 220 ns, the direct link 500 ns.
  const Route route = router.route(g.a, g.d);
  EXPECT_THAT(route.links, ElementsAre(g.ab, g.bd));
  EXPECT_EQ(route.cost, 220_ns);
}

TEST(Router, ReferenceSizeDecidesBetweenLatencyAndHops) {
  Diamond g;
  RouteFinder router(g.topology, 1000_B);
  // 1000 B in 4 packets = 1064 B = 1064 ns: direct 1464 ns, two hops 2 * 1074 = 2148 ns.
  EXPECT_THAT(router.route(g.a, g.d).links, ElementsAre(g.ad));
}

TEST(Router, ListsEqualPathsUpToTheLimit) {
  Diamond g;
  RouteFinder router(g.topology, 84_B);
  const auto routes = router.equal_routes(g.a, g.d, 8);
  ASSERT_EQ(routes.size(), 2U);
  EXPECT_THAT(routes[0].links, ElementsAre(g.ab, g.bd));
  EXPECT_THAT(routes[1].links, ElementsAre(g.ac, g.cd));
  EXPECT_EQ(router.equal_routes(g.a, g.d, 1).size(), 1U);
}

TEST(Router, DirectedLinksAreNotTakenBackwards) {
  Diamond g;
  RouteFinder router(g.topology, 84_B);
  EXPECT_THROW((void)router.route(g.d, g.a), ModelError);
  EXPECT_TRUE(router.route(g.d, g.d).links.empty());
}

TEST(Router, DoesNotPassThroughAChipThatDoesNotForward) {
  Topology topology;
  const NodeId a = topology.add_chip("gpu", 0, false);
  const NodeId b = topology.add_chip("gpu", 1, false);
  const NodeId c = topology.add_chip("gpu", 2, false);
  topology.add_duplex(wire(a, b, 1_GBps, 1_ns));
  topology.add_duplex(wire(b, c, 1_GBps, 1_ns));
  RouteFinder router(topology, 84_B);
  EXPECT_EQ(router.route(a, b).links.size(), 1U);
  EXPECT_THROW((void)router.route(a, c), ModelError);
}

TEST(MinCut, IsTheSumOverTheNarrowestSide) {
  Diamond g;
  // Out of a: 3 links of 1 GB/s; out of b and c together: 2, plus the direct one = 3.
  EXPECT_DOUBLE_EQ(min_cut(g.topology, {g.a}, {g.d}).count(), 3e9);
  // Into b there is one link.
  EXPECT_DOUBLE_EQ(min_cut(g.topology, {g.a}, {g.b}).count(), 1e9);
  EXPECT_THROW((void)min_cut(g.topology, {g.a}, {g.a}), ModelError);
}

TEST(Dot, NamesNodesAndLinks) {
  Diamond g;
  const std::string dot = to_dot(g.topology);
  EXPECT_THAT(dot, HasSubstr("digraph"));
  EXPECT_THAT(dot, HasSubstr("0[label=\"a\", shape=diamond]"));
  EXPECT_THAT(dot, HasSubstr("0->2 [label=\"wire 1 GB/s\"]"));
}

TEST(Topology, RejectsImpossibleLinksAndDoubleChips) {
  Topology topology;
  const NodeId a = topology.add_chip("gpu", 0, false);
  EXPECT_THROW(topology.add_chip("gpu", 0, false), ModelError);
  EXPECT_THROW(topology.add_link(wire(a, a, BytesPerSecond(0), 0_ps)), ModelError);
  EXPECT_THROW((void)topology.chip("lpu", 0), ModelError);
}

}  // namespace
}  // namespace tandem
