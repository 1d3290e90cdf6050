// Messages over a routed topology, as packet trains. A plain event-driven object on its own
// calendar queue: it needs no SystemC. The rule of contention and why it is so:
// docs/decisions/links.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/link/link_schedule.hpp"
#include "models/link/pending_messages.hpp"
#include "sim/core/calendar_queue.hpp"
#include "sim/core/units.hpp"
#include "sim/graph/routes.hpp"
#include "sim/graph/topology.hpp"

namespace tandem::link {

enum class Forwarding : std::uint8_t {
  CutThrough,      ///< a node sends a packet on as soon as it has the whole packet
  StoreAndForward  ///< a node sends a train on when it has the whole train (ablation)
};

struct NetworkOptions {
  Forwarding forwarding = Forwarding::CutThrough;
  /// A train holds at least this many packets of the largest packet size on its route ...
  std::int64_t packets_per_train = 16;
  /// ... and more when a message would otherwise have more trains than this.
  std::int64_t trains_per_message = 64;
  /// Credits: payload bytes of one message that may be under way; 0 is no bound. At least one train
  /// always may. A credit returns after the latencies of the route.
  Bytes window{0};
  /// Size by which routes are compared.
  Bytes route_reference{64 * 1024};
  /// Messages spread in turn over at most this many equal routes.
  std::size_t equal_routes = 8;
  /// Whether LinkStatistics::peak_queue is kept: it costs time per message under way.
  bool counts_queues = true;
};

using Payload = std::shared_ptr<const std::vector<std::byte>>;

/// A message that has arrived whole. `payload` is a buffer filled train by train from the sender's;
/// null when the message was timing only.
struct Delivery {
  MessageId id = 0;
  NodeId from{};
  NodeId to{};
  Bytes size;
  Picoseconds sent;
  Picoseconds time;
  Payload payload;
};

/// What one direction of a link did.
struct LinkStatistics {
  Bytes payload;
  Bytes wire;        ///< payload and headers
  Picoseconds busy;  ///< serialising
  std::int64_t trains = 0;
  std::int64_t peak_queue =
      0;  ///< most other messages that a train found before it, when it waited
};

/// Equal routes by both ends: networks that are wired alike can share what was found.
using RouteTable = std::unordered_map<std::uint64_t, std::vector<Route>>;

/// Moves messages with serialisation, latency and contention.
///
/// Contract:
///  - sends come in the order of their times, and none before a delivery already popped;
///  - asking for the next delivery does not commit to it: a send in between is still honoured;
///  - deliveries pop in (time, id) order, each at least floor() after its send;
///  - ids count from 0 in the order of sending.
class Network {
 public:
  /// `routes`: found by other networks of one thread over the same topology with the same options;
  /// null begins anew.
  explicit Network(Topology topology, NetworkOptions options = {},
                   std::shared_ptr<RouteTable> routes = nullptr);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  /// Throws std::logic_error when the time is too early, ModelError when there is no path, the size
  /// is negative or the payload has another size. from == to arrives at once.
  MessageId send(Picoseconds at, NodeId from, NodeId to, Bytes size, Payload payload = nullptr);
  /// Time of the next delivery if nothing more is sent; none when nothing is under way.
  [[nodiscard]] std::optional<Picoseconds> next_delivery();
  /// Throws ModelError when nothing is under way.
  Delivery pop_delivery();
  /// Goes on to the next delivery at or before `limit`, for good: later sends may not be earlier
  /// than what has been done. None when nothing arrives by then. For callers that know all sends up
  /// to `limit`; costs nothing per message under way, as looking ahead does.
  [[nodiscard]] std::optional<Delivery> advance(Picoseconds limit);
  /// The first of the equal routes that messages between two nodes take in turn.
  [[nodiscard]] const Route& route(NodeId from, NodeId to) const {
    return routes(from, to).front();
  }
  /// Latencies of the route plus the serialisation of the whole message on its slowest link; the
  /// least over equal routes. Uses none of the simulation.
  [[nodiscard]] Picoseconds floor(NodeId from, NodeId to, Bytes size) const;

  [[nodiscard]] const Topology& topology() const { return topology_; }
  /// How many equal routes messages between two nodes take in turn, by their id.
  [[nodiscard]] std::size_t route_choices(NodeId from, NodeId to) const {
    return routes(from, to).size();
  }
  /// Counts up to the last send or pop, plus whatever a look-ahead has moved since.
  [[nodiscard]] LinkStatistics statistics(LinkId id) const;
  /// Statistics of the links that did something, ascending by id; all begin anew. Nothing may be
  /// under way.
  std::vector<std::pair<LinkId, LinkStatistics>> take_statistics();
  /// As if so many messages had come and gone until then, apart from statistics. Nothing may be
  /// under way.
  void skip(std::int64_t messages, Picoseconds until);

 private:
  /// Offer: the next train may join its first link; Head: a train's first packet is ready for a
  /// hop; Arrive: a whole train is at its destination; Credit: the sender learns of it.
  enum class EventKind : std::uint8_t { Offer, Head, Arrive, Credit };
  struct Event {
    Picoseconds before{0};  // Head: when all but the train's last piece is at this hop
    Picoseconds tail{0};    // Head: when all of it is
    MessageId message = 0;
    std::int32_t train = 0;
    std::int16_t hop = 0;  // Head: index on the route
    EventKind kind = EventKind::Offer;
  };
  struct Message {
    NodeId from{}, to{};
    Bytes size;
    Picoseconds sent;
    Bytes piece;  // largest packet of the route: what a node must have before it sends on
    Bytes train;  // payload of a full train
    std::int64_t trains = 0, next_train = 0, arrived = 0, credited = 0;
    std::int64_t window = 0;  // trains that may be under way
    bool waits_for_credit = false;
    Picoseconds credit_delay;
    const std::vector<LinkId>* route = nullptr;  // among known_routes_
    std::vector<Picoseconds> leaves;             // when its last train so far leaves each hop
    Payload source;
    std::shared_ptr<std::vector<std::byte>> target;
    [[nodiscard]] bool is_whole() const { return arrived == trains; }
  };
  struct LinkState {
    LinkSchedule schedule;
    LinkStatistics statistics;
    PendingMessages pending;
    std::int64_t saved = 0;  // the last checkpoint that has it
  };
  /// What a look-ahead may have to undo. Link states are saved when first touched.
  struct Checkpoint {
    CalendarQueue<Event> queue;
    std::deque<Message> messages;
    MessageId first_message = 0;
    std::vector<std::pair<LinkId, LinkState>> links;
  };

  void step();
  void go_to_delivery();
  [[nodiscard]] Message& message_of(MessageId id);
  void drop_whole_messages();
  void offer(MessageId id, Message& message, Picoseconds now);
  void head(const Event& event, Picoseconds now);
  void arrive(const Event& event, Picoseconds now);
  void credit(MessageId id, Picoseconds now);
  void count_queue(LinkState& state, const Event& event, Picoseconds now, Slot slot);
  void roll_back(Picoseconds at);
  void forget_checkpoint();
  LinkState& state_of(LinkId id);
  [[nodiscard]] Bytes payload_of(const Message& message, std::int64_t train) const;
  [[nodiscard]] const std::vector<Route>& routes(NodeId from, NodeId to) const;
  Message make_message(MessageId id, NodeId from, NodeId to, Bytes size) const;

  Topology topology_;
  NetworkOptions options_;
  std::shared_ptr<RouteTable> known_routes_;
  mutable RouteFinder router_;  // keeps distances; answers depend on the topology alone
  CalendarQueue<Event> queue_;
  std::deque<Message> messages_;  // under way, and whole ones behind the first that is not
  MessageId first_message_ = 0;   // its id
  std::vector<LinkState> links_;
  std::vector<LinkId> used_;     ///< links, some more than once, since statistics were taken
  std::vector<Delivery> ready_;  // ascending by id, all of one time
  std::optional<Checkpoint> checkpoint_;  ///< of the first look ahead since the last send
  std::int64_t checkpoints_ = 0;          ///< that there were
  std::set<MessageId> popped_;            ///< since the checkpoint, and not seen again
  MessageId next_id_ = 0;
  Picoseconds committed_{0};  // time of the last send or pop
};

}  // namespace tandem::link
