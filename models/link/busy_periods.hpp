// A network that remembers its busy periods: one that goes like an earlier one is answered from
// memory, packet trains and all. Why that changes nothing but time: docs/decisions/links.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "models/link/network.hpp"

namespace tandem::link {

/// What a network is asked in a busy period.
struct PeriodEvent {
  enum class Kind : std::uint8_t { Send, Look, Pop };
  Kind kind = Kind::Send;
  std::uint32_t route = 0;  ///< Send: which of the equal routes
  NodeId from{}, to{};      ///< Send
  Picoseconds after{0};     ///< Send: time since the period began
  Bytes size{0};            ///< Send
  bool operator==(const PeriodEvent&) const = default;
};

/// Busy periods of networks over one topology with the same options: a tree of what they were
/// asked, each with the answer. A way down from the root is a period; periods share how they begin.
class PeriodMemory {
 public:
  struct Use {
    LinkId link;
    LinkStatistics statistics;
  };
  struct Node {
    PeriodEvent event;
    Picoseconds time{0};    ///< Look, Pop: of the delivery, since the period began
    MessageId message = 0;  ///< Pop: counted from the period's first
    /// Where nothing is under way any more: what the period did to its links.
    std::unique_ptr<const std::vector<Use>> uses;
    std::vector<Node*> next;
  };
  [[nodiscard]] Node& root() { return root_; }
  /// What followed `node` and was asked like that; null where nothing was.
  [[nodiscard]] static Node* find(const Node& node, const PeriodEvent& event);
  /// Null when the memory is full.
  Node* add(Node& node, const PeriodEvent& event);
  [[nodiscard]] bool is_full() const;
  /// Of all networks that use this memory.
  [[nodiscard]] const std::shared_ptr<RouteTable>& routes() const { return routes_; }

 private:
  Node root_;
  std::deque<Node> nodes_;
  std::shared_ptr<RouteTable> routes_ = std::make_shared<RouteTable>();
};

/// Contract: that of Network, without advance(), and every answer is Network's. Messages with a
/// payload and networks with a window are not remembered.
class RememberingNetwork {
 public:
  /// `memory`: of networks over the same topology with the same options; null begins anew.
  RememberingNetwork(Topology topology, NetworkOptions options,
                     std::shared_ptr<PeriodMemory> memory = nullptr);
  MessageId send(Picoseconds at, NodeId from, NodeId to, Bytes size, Payload payload = nullptr);
  [[nodiscard]] std::optional<Picoseconds> next_delivery();
  Delivery pop_delivery();
  [[nodiscard]] LinkStatistics statistics(LinkId id);
  /// For what does not depend on messages.
  [[nodiscard]] const Network& network() const { return network_; }

 private:
  void begin(Picoseconds at);
  void end();
  bool is_remembered(const PeriodEvent& event);
  void learn(const PeriodEvent& event, Picoseconds time, MessageId message);
  void catch_up();
  MessageId note(Picoseconds at, NodeId from, NodeId to, Bytes size);

  Network network_;
  bool may_remember_;
  std::shared_ptr<PeriodMemory> memory_;
  std::vector<LinkStatistics> totals_;  ///< of all periods that are over

  std::vector<Delivery> sent_;  ///< messages of this period; their times are not known
  std::size_t popped_ = 0;      ///< of them; all: nothing is under way
  Picoseconds begin_{0};
  MessageId first_ = 0;                 ///< of the period's messages
  Picoseconds last_{0};                 ///< time of the last send or pop
  PeriodMemory::Node* node_ = nullptr;  ///< where the period stands; null: it is not remembered
  bool is_told_ = false;                ///< answers come from memory, the network has not heard
  std::vector<PeriodEvent> unheard_;    ///< what it has not heard
};

}  // namespace tandem::link
