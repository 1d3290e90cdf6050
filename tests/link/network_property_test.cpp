// Over random topologies and messages: never below the floor; alone, exactly a packet-by-packet
// pipeline; every byte carried; the same answers every time.
#include <gtest/gtest.h>

#include <algorithm>

#include "models/link/network.hpp"
#include "sim/core/random.hpp"
#include "tests/support/property.hpp"

namespace tandem::link {
namespace {

/// Uniform in [0, n).
std::int64_t below(RandomStream& random, std::int64_t n) {
  return random.integer(0, n - 1);
}

/// A chain of 2 to 5 nodes of one packet size, rates and latencies at random.
Topology random_chain(RandomStream& random, std::vector<NodeId>& nodes) {
  Topology t;
  const auto count = 2 + below(random, 4);
  const Bytes packet{64 + below(random, 4000)};
  const Bytes header{below(random, 64)};
  for (std::int64_t i = 0; i < count; ++i) nodes.push_back(t.add_chip("lpu", i, true));
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) {
    const double rate = 1e9 * static_cast<double>(1 + below(random, 900));
    const Picoseconds latency{below(random, 2000000)};
    t.add_duplex({nodes[i], nodes[i + 1], "wire", BytesPerSecond(rate), latency, packet, header});
  }
  return t;
}

/// When the last packet is over, if every packet goes on as soon as it is whole and its link is
/// free: c(p, h) = max(c(p, h-1) + latency(h-1), c(p-1, h)) + time(p, h). In picoseconds without
/// rounding, so that the simulation's rounding shows.
double packet_pipeline(const Topology& t, const std::vector<LinkId>& route, std::int64_t size) {
  std::vector<double> done(route.size(), 0);
  const std::int64_t packet = t.link(route[0]).packet.count();
  double end = 0;
  for (std::int64_t left = size; left > 0; left -= packet) {
    double at = 0;
    for (std::size_t h = 0; h < route.size(); ++h) {
      const TopologyLink& wire = t.link(route[h]);
      const auto bytes = static_cast<double>(std::min(left, packet) + wire.header.count());
      done[h] = std::max(at, done[h]) + bytes * 1e12 / wire.bandwidth.count();
      at = done[h] + static_cast<double>(wire.latency.count());
    }
    end = at;
  }
  return end;
}

TEST(NetworkProperty, AloneEqualsThePacketPipelineAndIsNeverBelowTheFloor) {
  RandomStream random(20261121, "network-alone");
  for (int round = 0; round < tandem::test::property_cases(2000); ++round) {
    std::vector<NodeId> nodes;
    const Topology t = random_chain(random, nodes);
    Network network(t);
    const auto size = 1 + below(random, 2000000);
    network.send(Picoseconds(0), nodes.front(), nodes.back(), Bytes(size));
    const Picoseconds time = network.pop_delivery().time;
    RouteFinder router(t, Bytes(1024));
    const auto route = router.route(nodes.front(), nodes.back()).links;
    const double exact = packet_pipeline(t, route, size);
    // A last piece is the difference of two rounded times, so it may lose 1 ps on each of at most
    // 4 links. Each of at most 64 trains and their pieces rounds up by less than 1 ps per link.
    EXPECT_GE(static_cast<double>(time.count()) - exact, -4) << "round " << round;
    EXPECT_LE(static_cast<double>(time.count()), exact + 3 * 64.0 * 4) << "round " << round;
    EXPECT_GE(time, network.floor(nodes.front(), nodes.back(), Bytes(size))) << "round " << round;
  }
}

struct Sent {
  Picoseconds at;
  std::size_t from, to;
  Bytes size;
};

std::vector<Delivery> run(const Topology& t, const std::vector<NodeId>& nodes,
                          const std::vector<Sent>& sends, NetworkOptions options, bool look) {
  Network network(t, options);
  std::vector<Delivery> all;
  for (const Sent& sent : sends) {
    while (look && network.next_delivery() && *network.next_delivery() <= sent.at) {
      all.push_back(network.pop_delivery());
    }
    network.send(sent.at, nodes[sent.from], nodes[sent.to], sent.size);
  }
  while (network.next_delivery()) all.push_back(network.pop_delivery());
  Bytes carried{0};
  for (std::size_t i = 0; i < t.links().size(); ++i) {
    const LinkStatistics one = network.statistics(static_cast<LinkId>(i));
    carried += one.payload;
    EXPECT_LE(one.busy, all.back().time);
  }
  Bytes expected{0};  // on a chain every message crosses |from - to| links
  for (const Sent& sent : sends) {
    const auto hops = std::max(sent.from, sent.to) - std::min(sent.from, sent.to);
    expected += sent.size * static_cast<std::int64_t>(hops);
  }
  EXPECT_EQ(carried, expected);
  for (const Delivery& done : all) {
    EXPECT_GE(done.time - done.sent, network.floor(done.from, done.to, done.size));
  }
  return all;
}

TEST(NetworkProperty, UnderLoadNeverBelowTheFloorAndLookingChangesNothing) {
  RandomStream random(20261121, "network-load");
  for (int round = 0; round < 200; ++round) {
    std::vector<NodeId> nodes;
    const Topology t = random_chain(random, nodes);
    NetworkOptions options;
    if (round % 3 == 1) options.forwarding = Forwarding::StoreAndForward;
    if (round % 3 == 2) options.window = Bytes(65536);
    std::vector<Sent> sends;
    Picoseconds at{0};
    for (int i = 0; i < 12; ++i) {
      at += Picoseconds(below(random, 3000000));
      sends.push_back({at, static_cast<std::size_t>(below(random, std::ssize(nodes))),
                       static_cast<std::size_t>(below(random, std::ssize(nodes))),
                       Bytes(below(random, 500000))});
    }
    const auto plain = run(t, nodes, sends, options, false);
    const auto looking = run(t, nodes, sends, options, true);
    ASSERT_EQ(plain.size(), sends.size());
    ASSERT_EQ(looking.size(), sends.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
      EXPECT_EQ(plain[i].id, looking[i].id) << "round " << round;
      EXPECT_EQ(plain[i].time, looking[i].time) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace tandem::link
