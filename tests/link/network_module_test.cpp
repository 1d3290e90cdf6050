// A network in a SystemC session: the times are those of the network by itself.
#include "models/link/network_module.hpp"

#include <gtest/gtest.h>

namespace tandem::link {
namespace {

using namespace tandem::literals;

/// Sends every message back once.
class Echo : public Module {
 public:
  Echo(Session& session, const char* name, NetworkModule& network, NodeId node)
      : Module(session, name), inbox(*this), network_(network), node_(node) {
    network.attach(node, inbox);
  }
  Mailbox<Delivery> inbox;
  std::vector<Picoseconds> seen;

 private:
  void on_wake() override {
    while (const auto delivery = inbox.take(now())) {
      EXPECT_EQ(delivery->time, now());
      seen.push_back(now());
      if (delivery->id == 0) network_.send(node_, delivery->from, delivery->size);
    }
  }
  NetworkModule& network_;
  NodeId node_;
};

TEST(NetworkModule, NotifiesReceiversAtExactTimes) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  t.add_duplex({a, b, "wire", BytesPerSecond(1e9), 50_ns, 100_B, 0_B});
  Network network(t);
  Session session;
  NetworkModule shell(session, "network", network);
  Echo first(session, "first", shell, a);
  Echo second(session, "second", shell, b);
  shell.send(a, b, 1000_B);
  session.run();
  // 1000 ns at 1 B/ns and 50 ns there; the same back.
  ASSERT_EQ(second.seen.size(), 1U);
  ASSERT_EQ(first.seen.size(), 1U);
  EXPECT_EQ(second.seen[0], 1050_ns);
  EXPECT_EQ(first.seen[0], 2100_ns);
}

TEST(NetworkModule, DeliveryThatNobodyReceivesIsAnError) {
  Topology t;
  const NodeId a = t.add_chip("gpu", 0, false);
  const NodeId b = t.add_chip("gpu", 1, false);
  t.add_duplex({a, b, "wire", BytesPerSecond(1e9), 50_ns, 100_B, 0_B});
  Network network(t);
  Session session;
  NetworkModule shell(session, "network", network);
  shell.send(a, b, 1000_B);
  EXPECT_THROW(session.run(), ModelError);
}

}  // namespace
}  // namespace tandem::link
