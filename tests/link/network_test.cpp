// Times worked out by hand. Links carry 1 B/ns (1 GB/s) with packets of 100 B and no header unless
// a test says otherwise, so bytes are nanoseconds.
#include "models/link/network.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace tandem::link {
namespace {

using namespace tandem::literals;

TopologyLink wire(NodeId from, NodeId to, double rate = 1e9, Bytes packet = 100_B,
                  Bytes header = 0_B) {
  return {from, to, "wire", BytesPerSecond(rate), 50_ns, packet, header};
}

/// `count` chips around one switch; the last chip's link may be slower.
struct Star {
  Topology topology;
  std::vector<NodeId> chips;
  std::vector<LinkId> up, down;
  explicit Star(int count, double rate = 1e9) {
    const NodeId hub = topology.add_node(NodeKind::Switch, "hub");
    for (int i = 0; i < count; ++i) {
      chips.push_back(topology.add_chip("gpu", i, false));
      const auto [there, back] = topology.add_duplex(wire(chips.back(), hub, rate));
      up.push_back(there);
      down.push_back(back);
    }
  }
};

TEST(Network, OneHopIsSerialisationPlusLatency) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  t.add_duplex(wire(a, b));
  Network network(t);
  network.send(7_ns, a, b, 1000_B);
  EXPECT_EQ(network.pop_delivery().time, 1057_ns);  // 7 + 1000 + 50
}

TEST(Network, AWireWithoutLatencyDeliversWithTheLastByte) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  TopologyLink plain = wire(a, b);
  plain.latency = 0_ps;
  t.add_link(plain);
  Network network(t);
  network.send(0_ps, a, b, 4000_B);  // three trains
  EXPECT_EQ(network.pop_delivery().time, 4000_ns);
  EXPECT_EQ(network.next_delivery(), std::nullopt);
}

TEST(Network, HeadersCostTimePerPacket) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  t.add_duplex(wire(a, b, 1e9, 100_B, 20_B));
  Network network(t);
  network.send(0_ps, a, b, 250_B);
  // 3 packets: 250 + 3 * 20 = 310 ns, and 50 ns.
  EXPECT_EQ(network.pop_delivery().time, 360_ns);
  EXPECT_EQ(network.statistics(LinkId{0}).wire, 310_B);
  EXPECT_EQ(network.statistics(LinkId{0}).payload, 250_B);
}

TEST(Network, TwoHopsCutThroughByThePacket) {
  Star star(2);
  Network network(star.topology);
  network.send(0_ps, star.chips[0], star.chips[1], 1000_B);
  // The first packet is through the first link at 100 + 50; the second link then carries 1000 B
  // without a break: 150 + 1000 + 50.
  EXPECT_EQ(network.pop_delivery().time, 1200_ns);
}

TEST(Network, StoreAndForwardWaitsForTheTrain) {
  Star star(2);
  NetworkOptions options;
  options.forwarding = Forwarding::StoreAndForward;
  Network network(star.topology, options);
  network.send(0_ps, star.chips[0], star.chips[1], 1000_B);
  // 1000 B are one train (16 packets): 1000 + 50 + 1000 + 50.
  EXPECT_EQ(network.pop_delivery().time, 2100_ns);
}

TEST(Network, FastLinkBehindASlowOneIsNotHeld) {
  // a -(1 B/ns)-> s -(4 B/ns)-> d, and b likewise.
  Topology t;
  const NodeId s = t.add_node(NodeKind::Switch, "s");
  const NodeId a = t.add_chip("lpu", 0, false);
  const NodeId b = t.add_chip("lpu", 1, false);
  const NodeId d = t.add_chip("gpu", 0, false);
  t.add_link(wire(a, s));
  t.add_link(wire(b, s));
  const LinkId shared = t.add_link(wire(s, d, 4e9));
  Network network(t);
  network.send(0_ps, a, d, 1600_B);
  network.send(0_ps, b, d, 1600_B);
  // Alone: 1600 on the slow link, + 50, the last packet 25 on the fast one, + 50 = 1725. The middle
  // 14 packets of a hold the fast link for 350 as late as they may, [1225, 1575], and its last
  // packet [1650, 1675]; those of b fall into [1575, 1650] and [1675, 1950], its last packet ends
  // at 1975, + 50. Holding the link from the first packet to the last would give 3325 instead.
  EXPECT_EQ(network.pop_delivery().time, 1725_ns);
  EXPECT_EQ(network.pop_delivery().time, 2025_ns);
  EXPECT_EQ(network.statistics(shared).busy, 800_ns);  // 3200 B at 4 B/ns
}

TEST(Network, IncastSharesTheLastLinkFairly) {
  Star star(3);
  Network network(star.topology);
  network.send(0_ps, star.chips[0], star.chips[2], 16000_B);
  network.send(0_ps, star.chips[1], star.chips[2], 16000_B);
  // The link into chip 2 starts at 150 and carries 32000 B without a break: the last byte is over
  // at 32150 + 50. Trains of 1600 B alternate, so the other is done one train earlier at the
  // earliest.
  const Picoseconds first = network.pop_delivery().time;
  const Picoseconds second = network.pop_delivery().time;
  EXPECT_EQ(second, 32200_ns);
  EXPECT_GE(first, 32200_ns - 1600_ns);
  EXPECT_EQ(network.statistics(star.down[2]).peak_queue, 1);
  EXPECT_EQ(network.statistics(star.up[0]).peak_queue, 0);
}

TEST(Network, MessagesOfOneSenderShareItsUplink) {
  Star star(3);
  Network network(star.topology);
  network.send(0_ps, star.chips[0], star.chips[1], 16000_B);
  network.send(0_ps, star.chips[0], star.chips[2], 1600_B);
  // Uplink: train 1 of A [0, 1600], B [1600, 3200], then A again. B's head is at the hub at
  // 1600 + 100 + 50, then 1600 + 50: 3400. A's last train leaves the uplink at 17600, + 50, its
  // last packet 100, + 50.
  const Delivery b = network.pop_delivery();
  EXPECT_EQ(b.id, 1);
  EXPECT_EQ(b.time, 3400_ns);
  EXPECT_EQ(network.pop_delivery().time, 17800_ns);
  EXPECT_EQ(network.statistics(star.up[0]).busy, 17600_ns);
}

TEST(Network, OppositeDirectionsDoNotShare) {
  Star star(2);
  Network network(star.topology);
  network.send(0_ps, star.chips[0], star.chips[1], 1000_B);
  network.send(0_ps, star.chips[1], star.chips[0], 1000_B);
  // Each as if alone, see TwoHopsCutThroughByThePacket.
  EXPECT_EQ(network.pop_delivery().time, 1200_ns);
  EXPECT_EQ(network.pop_delivery().time, 1200_ns);
}

TEST(Network, CreditsBoundWhatIsUnderWay) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  t.add_duplex(wire(a, b));
  NetworkOptions options;
  options.window = 1600_B;  // one train
  Network network(t, options);
  network.send(0_ps, a, b, 3200_B);
  // Train 1 arrives at 1650, its credit is back at 1700, train 2 arrives at 1700 + 1650.
  EXPECT_EQ(network.pop_delivery().time, 3350_ns);
}

TEST(Network, DeliversTheBytesThatWereSent) {
  Star star(2);
  Network network(star.topology);
  std::vector<std::byte> bytes(10007);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  const auto sent = std::make_shared<const std::vector<std::byte>>(bytes);
  network.send(0_ps, star.chips[0], star.chips[1], 10007_B, sent);
  const Delivery delivery = network.pop_delivery();
  ASSERT_NE(delivery.payload, nullptr);
  EXPECT_NE(delivery.payload, sent);
  EXPECT_EQ(*delivery.payload, bytes);
}

TEST(Network, LookingAheadDoesNotCommit) {
  Star star(3);
  Network plain(star.topology);
  Network curious(star.topology);
  const auto drive = [&](Network& network, bool look) {
    std::vector<Picoseconds> times;
    network.send(0_ps, star.chips[0], star.chips[2], 16000_B);
    if (look) {
      EXPECT_EQ(network.next_delivery(), 16200_ns);  // 100 + 50 + 16000 + 50
    }
    network.send(3000_ns, star.chips[1], star.chips[2], 16000_B);
    if (look) (void)network.next_delivery();
    network.send(4000_ns, star.chips[0], star.chips[1], 500_B);
    while (network.next_delivery()) times.push_back(network.pop_delivery().time);
    return times;
  };
  const auto expected = drive(plain, false);
  ASSERT_EQ(expected.size(), 3U);
  EXPECT_EQ(drive(curious, true), expected);
  for (const LinkId id : {star.up[0], star.up[1], star.down[1], star.down[2]}) {
    EXPECT_EQ(curious.statistics(id).busy, plain.statistics(id).busy);
    EXPECT_EQ(curious.statistics(id).peak_queue, plain.statistics(id).peak_queue);
  }
}

TEST(Network, SendToSelfArrivesAtOnceAndEmptyMessagesTravel) {
  Star star(2);
  Network network(star.topology);
  network.send(5_ns, star.chips[0], star.chips[0], 100_B);
  EXPECT_EQ(network.pop_delivery().time, 5_ns);
  network.send(5_ns, star.chips[0], star.chips[1], 0_B);
  // No payload and no header: the least time a link is taken for is 1 ps, twice, and 2 * 50 ns.
  EXPECT_EQ(network.pop_delivery().time, 100005_ps + 1_ps + 1_ps - 5_ps + 5_ns);
}

TEST(Network, AnswersAtOnceToWhatArrivedAfterLookingFurtherAhead) {
  Star star(2);
  Network network(star.topology);
  network.send(0_ps, star.chips[0], star.chips[1], 1000_B);
  network.send(0_ps, star.chips[0], star.chips[1], 1600_B);
  // As TwoHopsCutThroughByThePacket: 1200, and the second right behind it on the uplink: 2600 +
  // 200.
  EXPECT_EQ(network.next_delivery(), 1200_ns);
  EXPECT_EQ(network.pop_delivery().time, 1200_ns);
  EXPECT_EQ(network.next_delivery(), 2800_ns);
  network.send(1200_ns, star.chips[1], star.chips[0], 500_B);
  const Delivery answer = network.pop_delivery();
  EXPECT_EQ(answer.id, 2);
  EXPECT_EQ(answer.time, 1900_ns);
  EXPECT_EQ(network.pop_delivery().time, 2800_ns);
  EXPECT_FALSE(network.next_delivery());
}

TEST(Network, RejectsSendsIntoThePastAndWrongPayloads) {
  Star star(2);
  Network network(star.topology);
  network.send(5_ns, star.chips[0], star.chips[1], 100_B);
  EXPECT_THROW(network.send(4_ns, star.chips[0], star.chips[1], 100_B), std::logic_error);
  const auto bytes = std::make_shared<const std::vector<std::byte>>(3);
  EXPECT_THROW(network.send(6_ns, star.chips[0], star.chips[1], 4_B, bytes), ModelError);
  (void)network.pop_delivery();
  EXPECT_THROW(network.send(6_ns, star.chips[0], star.chips[1], 4_B), std::logic_error);
  EXPECT_THROW((void)network.pop_delivery(), ModelError);
}

}  // namespace
}  // namespace tandem::link
