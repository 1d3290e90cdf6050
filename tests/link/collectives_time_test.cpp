// Times worked out by hand on a node whose links carry 1 GB/s with packets of 100 B and no header,
// 50 ns from chip to switch: a byte is a nanosecond, a way 100 ns.
#include <gtest/gtest.h>

#include "models/link/collectives/candidates.hpp"
#include "models/link/collectives/collective_model.hpp"
#include "models/link/collectives/executor.hpp"

namespace tandem::link {
namespace {

using namespace tandem::literals;

Topology star_of(std::int64_t chips, std::vector<NodeId>& places) {
  Topology topology;
  for (std::int64_t i = 0; i < chips; ++i) places.push_back(topology.add_chip("gpu", i, false));
  const NodeId hub = topology.add_node(NodeKind::Switch, "hub");
  for (std::int64_t i = 0; i < chips; ++i) {
    topology.add_duplex(
        {places[static_cast<std::size_t>(i)], hub, "wire", BytesPerSecond(1e9), 50_ns, 100_B, 0_B});
  }
  places.push_back(hub);
  return topology;
}

Fabric small_fabric(std::int64_t chips) {
  Fabric fabric;
  fabric.topology = star_of(chips, fabric.places);
  fabric.switch_topology = fabric.topology;
  fabric.nodes.emplace_back();
  for (std::int32_t i = 0; i < chips; ++i) fabric.nodes.front().push_back(i);
  fabric.latency = 100_ns;
  fabric.port = BytesPerSecond(1e9);
  fabric.clock = 1e9;
  fabric.sms = fabric.channels = 1;
  fabric.staged_copy = fabric.direct_copy = 1;
  fabric.entry = fabric.launch = 1_us;
  return fabric;
}

/// Blocks so fast that their copies take a picosecond.
Protocol bare_protocol() {
  Protocol protocol;
  protocol.start = 1_us;
  protocol.copy_rate = BytesPerSecond(1e18);
  return protocol;
}

TEST(CollectiveTime, RingStepsFollowEachOther) {
  const Fabric fabric = small_fabric(4);
  const Schedule schedule = ring(CollectiveOp::AllGather, fabric.nodes, 4000);
  // Start 1000; 3 steps of 1000 B each: 1000 + the first packet's second hop 100 + way 100.
  // What is passed over at the end takes 1 ps (1000 B at 1e18 B/s, rounded up).
  EXPECT_EQ(execute(fabric, schedule, bare_protocol(), 1_B).time, 4600_ns + 1_ps);
}

TEST(CollectiveTime, HandOverAddsItsShareOfTheWay) {
  const Fabric fabric = small_fabric(2);
  Protocol protocol = bare_protocol();
  protocol.handover_numerator = 7;
  protocol.handover_denominator = 2;
  // 1000 start + 500 bytes + 100 packet + 100 way + 2.5 x 100 more until it is handed over.
  EXPECT_EQ(execute(fabric, send_recv(500), protocol, 1_B).time, 1950_ns);
}

TEST(CollectiveTime, FlagsTakeTheirPlaceOnTheWire) {
  const Fabric fabric = small_fabric(2);
  Protocol protocol = bare_protocol();
  protocol.wire_numerator = 2;
  // 500 bytes are 1000 on the wire.
  EXPECT_EQ(execute(fabric, send_recv(500), protocol, 1_B).time, 2200_ns);
}

TEST(CollectiveTime, BlocksBoundWhatTheyCopy) {
  const Fabric fabric = small_fabric(2);
  Protocol protocol = bare_protocol();
  protocol.copy_rate = BytesPerSecond(0.25e9);
  // 500 bytes take the blocks 2000; the last then needs the way.
  EXPECT_EQ(execute(fabric, send_recv(500), protocol, 1_B).time, 3100_ns);
}

TEST(CollectiveTime, IncastSharesThePortOfTheReceiver) {
  const Fabric fabric = small_fabric(4);
  Schedule schedule;
  schedule.ranks = 4;
  schedule.elements = 1000;
  for (std::int32_t from = 1; from < 4; ++from) {
    Transfer transfer;
    transfer.from = from;
    transfer.to = 0;
    transfer.elements = 1000;
    schedule.add(std::move(transfer));
  }
  // Start 1000; first packets reach the switch at 100 + 50; then 3000 bytes through one port, and
  // 50 more.
  EXPECT_EQ(execute(fabric, schedule, bare_protocol(), 1_B).time, 4200_ns);
}

TEST(CollectiveTime, NodesShareTheirUplink) {
  // Two chips on either side; the switches between them are joined by one link of the same rate.
  Fabric fabric = small_fabric(4);
  fabric.topology = Topology();
  fabric.places.clear();
  std::vector<NodeId> hubs;
  for (std::int64_t i = 0; i < 4; ++i) {
    fabric.places.push_back(fabric.topology.add_chip("gpu", i, false));
  }
  for (const char* name : {"left", "right"}) {
    hubs.push_back(fabric.topology.add_node(NodeKind::Switch, name));
  }
  for (std::size_t i = 0; i < 4; ++i) {
    fabric.topology.add_duplex(
        {fabric.places[i], hubs[i / 2], "wire", BytesPerSecond(1e9), 50_ns, 100_B, 0_B});
  }
  fabric.topology.add_duplex({hubs[0], hubs[1], "up", BytesPerSecond(1e9), 50_ns, 100_B, 0_B});
  Schedule schedule;
  schedule.ranks = 4;
  schedule.elements = 1000;
  for (std::int32_t from = 0; from < 2; ++from) {
    Transfer transfer;
    transfer.from = from;
    transfer.to = from + 2;
    transfer.elements = 1000;
    schedule.add(std::move(transfer));
  }
  // Start 1000; first packets at the uplink at 150; 2000 bytes over it; the last packet 50 later at
  // the far switch, 100 on its last wire, 50 more.
  const Execution execution = execute(fabric, schedule, bare_protocol(), 1_B);
  EXPECT_EQ(execution.time, 3350_ns);
  EXPECT_EQ(execution.link_bytes.at("up"), 2000);
  EXPECT_EQ(execution.link_bytes.at("wire"), 4000);
}

TEST(NetworkAdvance, GoesNoFurtherThanTheLimitAndThenTakesSends) {
  std::vector<NodeId> places;
  Network network(star_of(3, places));
  network.send(0_ns, places[0], places[1], 1000_B);
  // 1000 bytes, the first packet's second hop 100, way 100.
  EXPECT_FALSE(network.advance(1199_ns));
  network.send(1199_ns, places[2], places[1], 100_B);
  EXPECT_EQ(network.advance(1200_ns)->time, 1200_ns);
  EXPECT_FALSE(network.advance(1300_ns));
  EXPECT_EQ(network.advance(5_us)->time, 1499_ns);  // 1199 + 100 + 100 + 100
  EXPECT_FALSE(network.advance(5_us));
}

TEST(CollectiveTime, NothingIsFasterThanItsFloor) {
  const Fabric fabric = small_fabric(8);
  for (const CollectiveOp op : {CollectiveOp::AllReduce, CollectiveOp::AllGather,
                                CollectiveOp::ReduceScatter, CollectiveOp::AllToAll}) {
    for (const std::int64_t bytes : {16, 1000, 4096, 100000}) {
      Collective collective;
      collective.op = op;
      collective.entry = CollectiveEntry::Library;
      collective.bytes = Bytes(bytes);
      for (const Candidate& candidate : candidates_of(fabric, collective)) {
        const Picoseconds time =
            execute(fabric, candidate.schedule, candidate.protocol, candidate.width).time;
        EXPECT_GE(time, floor_of(fabric, collective, candidate.schedule.algorithm))
            << candidate.schedule.algorithm << ' ' << bytes;
      }
    }
  }
}

TEST(CollectiveTime, FloorOfARingIsBytesAndWays) {
  const Fabric fabric = small_fabric(4);
  Collective collective;
  collective.bytes = 4000_B;
  // 2 x 3/4 x 4000 B less 16 B per rank of rounding at 1 B/ns, and 6 ways of 100 ns.
  EXPECT_EQ(floor_of(fabric, collective, "ring"), 5936_ns + 600_ns);
}

TEST(CollectiveRows, BulkSendsARowOncePerRank) {
  Collective collective;
  collective.op = CollectiveOp::MoeDispatch;
  collective.tokens = 100;
  collective.hidden = 64;
  collective.top_k = 2;
  collective.experts = 4;
  // Low latency: 100 x 2 rows to 2 ranks. Bulk: a rank has 2 of 4 experts; both of a token's lie
  // elsewhere with chance 2/4 x 1/3 = 1/6, so 5/6 of 100 rows.
  EXPECT_DOUBLE_EQ(rows_per_peer(collective, 2), 100);
  collective.transport = MoeTransport::Bulk;
  EXPECT_NEAR(rows_per_peer(collective, 2), 100.0 * 5 / 6, 1e-9);
}

// Three rows to eight ranks are 3/8 of a row each, not a whole one.
TEST(CollectiveRows, AreNotRoundedUpPerRank) {
  Collective collective;
  collective.op = CollectiveOp::MoeDispatch;
  collective.hidden = 1000;
  collective.type = ElementType::Bfloat16;
  collective.top_k = 1;
  collective.experts = 8;
  collective.tokens = 3;
  EXPECT_EQ(bytes_of_rows(collective, rows_per_peer(collective, 8)), Bytes(750));
  collective.tokens = 4;
  EXPECT_EQ(bytes_of_rows(collective, rows_per_peer(collective, 8)), Bytes(1000));
}

TEST(CollectiveRows, ExpertsMustLieEvenly) {
  Collective collective;
  collective.op = CollectiveOp::MoeDispatch;
  collective.tokens = collective.hidden = collective.top_k = 1;
  collective.experts = 5;
  EXPECT_THROW((void)rows_per_peer(collective, 2), ModelError);
}

}  // namespace
}  // namespace tandem::link
