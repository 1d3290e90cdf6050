// A network that remembers answers as one that does not, whatever it is asked and when: deliveries,
// looks ahead and what its links did.
#include "models/link/busy_periods.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "models/link/system_network.hpp"
#include "sim/core/random.hpp"
#include "tests/support/property.hpp"

namespace tandem::link {
namespace {

/// Messages sent together: sender and receiver by index, and size.
struct Message {
  std::size_t from, to;
  Bytes size;
};
struct Burst {
  Picoseconds at;
  const std::vector<Message>* messages;
};

/// Two switches side by side between `count` chips, so that there are two equal routes; rates and
/// latencies at random.
struct TwoStars {
  Topology topology;
  std::vector<NodeId> chips;
  TwoStars(RandomStream& random, int count) {
    const NodeId left = topology.add_node(NodeKind::Switch, "left");
    const NodeId right = topology.add_node(NodeKind::Switch, "right");
    for (int i = 0; i < count; ++i) {
      chips.push_back(topology.add_chip("gpu", i, false));
      const double rate = 1e9 * static_cast<double>(random.integer(1, 4));
      const Picoseconds latency{1000 * random.integer(1, 50)};
      for (const NodeId hub : {left, right}) {
        topology.add_duplex({chips.back(), hub, "wire", BytesPerSecond(rate), latency, Bytes(100),
                             Bytes(random.integer(0, 1) * 20)});
      }
    }
  }
};

std::vector<Message> random_messages(RandomStream& random, std::int64_t chips) {
  std::vector<Message> messages(static_cast<std::size_t>(random.integer(1, 6)));
  for (Message& message : messages) {
    message.from = static_cast<std::size_t>(random.integer(0, chips - 1));
    message.to = static_cast<std::size_t>(random.integer(0, chips - 1));
    message.size = Bytes(random.integer(0, 3) * 2500 + random.integer(0, 1));
  }
  return messages;
}

/// Bursts from a few kinds with gaps from a few, so that periods repeat, wholly and in part.
std::vector<Burst> random_bursts(RandomStream& random,
                                 const std::vector<std::vector<Message>>& kinds) {
  constexpr Picoseconds gaps[] = {Picoseconds(0), Picoseconds(1000000), Picoseconds(9000000),
                                  Picoseconds(200000000)};
  std::vector<Burst> bursts;
  Picoseconds at{0};
  for (int i = 0; i < 40; ++i) {
    at += gaps[random.integer(0, 3)];
    const auto kind = static_cast<std::size_t>(random.integer(0, std::ssize(kinds) - 1));
    bursts.push_back({at, &kinds[kind]});
  }
  return bursts;
}

std::string text_of(const LinkStatistics& use) {
  return std::to_string(use.payload.count()) + " " + std::to_string(use.wire.count()) + " " +
         std::to_string(use.busy.count()) + " " + std::to_string(use.trains) + " " +
         std::to_string(use.peak_queue);
}

/// All that a network says when it gets these bursts. `looks`: whether it is asked for the next
/// delivery behind each, as the engine does.
template <class AnyNetwork>
std::vector<std::string> log_of(AnyNetwork& network, const TwoStars& stars,
                                const std::vector<Burst>& bursts, bool looks) {
  std::vector<std::string> log;
  const auto pop = [&] {
    const Delivery done = network.pop_delivery();
    log.push_back(std::to_string(done.id) + " " + std::to_string(done.size.count()) + " sent " +
                  std::to_string(done.sent.count()) + " at " + std::to_string(done.time.count()));
  };
  for (const Burst& burst : bursts) {
    while (network.next_delivery() && *network.next_delivery() <= burst.at) pop();
    for (const Message& message : *burst.messages) {
      const MessageId id =
          network.send(burst.at, stars.chips[message.from], stars.chips[message.to], message.size);
      log.push_back("sent " + std::to_string(id));
    }
    if (looks) log.push_back("next " + std::to_string(network.next_delivery()->count()));
  }
  while (network.next_delivery()) pop();
  for (std::size_t i = 0; i < stars.topology.links().size(); ++i) {
    log.push_back(text_of(network.statistics(static_cast<LinkId>(i))));
  }
  return log;
}

TEST(BusyPeriods, RememberedAnswersAreThoseOfTheTrains) {
  RandomStream random(20261122, "busy-periods");
  for (int round = 0; round < tandem::test::property_cases(150); ++round) {
    const TwoStars stars(random, 4);
    std::vector<std::vector<Message>> kinds(static_cast<std::size_t>(random.integer(1, 3)));
    for (auto& kind : kinds) kind = random_messages(random, 4);
    const bool looks = round % 3 != 0;
    const auto memory = std::make_shared<PeriodMemory>();
    for (int repeat = 0; repeat < 3; ++repeat) {  // the second and third know what the first learnt
      const std::vector<Burst> bursts = random_bursts(random, kinds);
      Network plain(stars.topology);
      RememberingNetwork remembering(stars.topology, {}, memory);
      ASSERT_EQ(log_of(remembering, stars, bursts, looks), log_of(plain, stars, bursts, looks))
          << "round " << round << ", repeat " << repeat;
    }
  }
}

// What is counted in the midst of a period that is answered from memory.
TEST(BusyPeriods, StatisticsAreThoseOfTheTrainsAtAnyTime) {
  RandomStream random(20261122, "busy-periods-statistics");
  const TwoStars stars(random, 3);
  Network plain(stars.topology);
  RememberingNetwork remembering(stars.topology, {});
  for (int round = 0; round < 6; ++round) {
    const Picoseconds at{round * std::int64_t{1000000000}};
    for (const std::size_t from : {0, 1}) {
      for (int i = 0; i < 2; ++i) {
        plain.send(at, stars.chips[from], stars.chips[2], Bytes(5000));
        remembering.send(at, stars.chips[from], stars.chips[2], Bytes(5000));
      }
    }
    EXPECT_EQ(remembering.next_delivery(), plain.next_delivery());
    for (int left = 4; left > 0; --left) {
      EXPECT_EQ(remembering.pop_delivery().time, plain.pop_delivery().time);
      for (std::size_t i = 0; i < stars.topology.links().size() && round % 2 == 1; ++i) {
        const auto link = static_cast<LinkId>(i);
        EXPECT_EQ(text_of(remembering.statistics(link)), text_of(plain.statistics(link)));
      }
    }
  }
}

TEST(BusyPeriods, BeginAnewWhereTheMemoryIsFull) {
  PeriodMemories memories;
  const Topology topology;
  const auto first = memories.of(topology);
  EXPECT_EQ(memories.of(topology), first);
  while (first->add(first->root(), {}) != nullptr) continue;
  const auto second = memories.of(topology);
  EXPECT_NE(second, first);
  EXPECT_FALSE(second->is_full());
}

TEST(BusyPeriods, PayloadsArriveAndMistakesAreThoseOfTheNetwork) {
  RandomStream random(20261122, "busy-periods-payloads");
  const TwoStars stars(random, 2);
  RememberingNetwork network(stars.topology, {});
  EXPECT_THROW((void)network.pop_delivery(), ModelError);
  const auto payload = std::make_shared<const std::vector<std::byte>>(3000, std::byte{7});
  for (int round = 0; round < 3; ++round) {
    const Picoseconds at{round * std::int64_t{1000000000}};
    network.send(at, stars.chips[0], stars.chips[1], Bytes(3000));
    EXPECT_THROW(network.send(at, stars.chips[0], stars.chips[1], Bytes(-1)), ModelError);
    network.send(at, stars.chips[0], stars.chips[1], Bytes(3000), payload);
    EXPECT_EQ(network.pop_delivery().payload, nullptr);
    EXPECT_EQ(*network.pop_delivery().payload, *payload);
    EXPECT_THROW(network.send(at, stars.chips[0], stars.chips[1], Bytes(1)), std::logic_error);
  }
}

}  // namespace
}  // namespace tandem::link
