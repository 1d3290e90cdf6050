#include "models/link/busy_periods.hpp"

#include <algorithm>

namespace tandem::link {
namespace {

using Kind = PeriodEvent::Kind;

/// Some 60 MB.
constexpr std::size_t most_nodes = std::size_t{1} << 19;

void add(const LinkStatistics& more, LinkStatistics& sum) {
  sum.payload += more.payload;
  sum.wire += more.wire;
  sum.busy += more.busy;
  sum.trains += more.trains;
  sum.peak_queue = std::max(sum.peak_queue, more.peak_queue);
}

}  // namespace

PeriodMemory::Node* PeriodMemory::find(const Node& node, const PeriodEvent& event) {
  for (Node* next : node.next) {
    if (next->event == event) return next;
  }
  return nullptr;
}

bool PeriodMemory::is_full() const {
  return nodes_.size() >= most_nodes;
}

PeriodMemory::Node* PeriodMemory::add(Node& node, const PeriodEvent& event) {
  if (is_full()) return nullptr;
  Node& added = nodes_.emplace_back();
  added.event = event;
  node.next.push_back(&added);
  return &added;
}

RememberingNetwork::RememberingNetwork(Topology topology, NetworkOptions options,
                                       std::shared_ptr<PeriodMemory> memory)
    : network_(std::move(topology), options, memory ? memory->routes() : nullptr),
      may_remember_(options.window.count() == 0),
      memory_(memory ? std::move(memory) : std::make_shared<PeriodMemory>()),
      totals_(network_.topology().links().size()) {}

void RememberingNetwork::begin(Picoseconds at) {
  begin_ = at;
  is_told_ = may_remember_;
  node_ = may_remember_ ? &memory_->root() : nullptr;
}

/// Nothing is under way any more.
void RememberingNetwork::end() {
  if (is_told_ && node_->uses) {
    for (const PeriodMemory::Use& use : *node_->uses)
      add(use.statistics, totals_[to_index(use.link)]);
    network_.skip(std::ssize(sent_), last_);
  } else {
    catch_up();
    std::vector<PeriodMemory::Use> uses;
    for (const auto& [link, use] : network_.take_statistics()) {
      uses.push_back({link, use});
      add(use, totals_[to_index(link)]);
    }
    if (node_ != nullptr) {
      node_->uses = std::make_unique<const std::vector<PeriodMemory::Use>>(std::move(uses));
    }
  }
  first_ += std::ssize(sent_);
  sent_.clear();
  unheard_.clear();
  popped_ = 0;
  is_told_ = false;
}

/// Whether the answer to `event` is in memory; then the period goes on there. If not, the network
/// has heard all that came before and is to be asked.
bool RememberingNetwork::is_remembered(const PeriodEvent& event) {
  if (!is_told_) return false;
  if (PeriodMemory::Node* next = PeriodMemory::find(*node_, event)) {
    node_ = next;
    unheard_.push_back(event);
    return true;
  }
  catch_up();
  return false;
}

void RememberingNetwork::learn(const PeriodEvent& event, Picoseconds time, MessageId message) {
  if (node_ == nullptr) return;
  PeriodMemory::Node* next = PeriodMemory::find(*node_, event);
  if (next == nullptr) {
    next = memory_->add(*node_, event);
    if (next != nullptr) {
      next->time = time;
      next->message = message;
    }
  }
  node_ = next;
}

/// Tells the network what it has not heard, in the order in which it came: from here on it is as if
/// it had been asked all along.
void RememberingNetwork::catch_up() {
  is_told_ = false;
  for (const PeriodEvent& event : unheard_) {
    switch (event.kind) {
      case Kind::Send:
        network_.send(begin_ + event.after, event.from, event.to, event.size);
        break;
      case Kind::Look:
        (void)network_.next_delivery();
        break;
      case Kind::Pop:
        (void)network_.pop_delivery();
        break;
    }
  }
  unheard_.clear();
}

MessageId RememberingNetwork::note(Picoseconds at, NodeId from, NodeId to, Bytes size) {
  const MessageId id = first_ + std::ssize(sent_);
  sent_.push_back({id, from, to, size, at, Picoseconds(0), nullptr});
  last_ = at;
  return id;
}

MessageId RememberingNetwork::send(Picoseconds at, NodeId from, NodeId to, Bytes size,
                                   Payload payload) {
  if (sent_.empty()) begin(at);
  const auto turn = static_cast<std::size_t>(first_ + std::ssize(sent_));
  const auto route = static_cast<std::uint32_t>(turn % network_.route_choices(from, to));
  const PeriodEvent event{Kind::Send, route, from, to, at - begin_, size};
  const bool is_plain = payload == nullptr && at >= last_;
  if (!is_plain) {
    catch_up();
    node_ = nullptr;
  }
  if (!is_plain || !is_remembered(event)) {
    network_.send(at, from, to, size, std::move(payload));
    learn(event, Picoseconds(0), 0);
  }
  return note(at, from, to, size);
}

std::optional<Picoseconds> RememberingNetwork::next_delivery() {
  if (sent_.empty()) return std::nullopt;
  const PeriodEvent event{Kind::Look};
  const bool has_looked = is_told_ && node_->event.kind == Kind::Look;
  if (has_looked || is_remembered(event)) return begin_ + node_->time;
  const std::optional<Picoseconds> time = network_.next_delivery();
  if (node_ != nullptr && node_->event.kind != Kind::Look) learn(event, *time - begin_, 0);
  return time;
}

Delivery RememberingNetwork::pop_delivery() {
  if (sent_.empty()) return network_.pop_delivery();  // throws
  const PeriodEvent event{Kind::Pop};
  Delivery delivery;
  if (is_remembered(event)) {
    delivery = sent_[static_cast<std::size_t>(node_->message)];
    delivery.time = begin_ + node_->time;
  } else {
    delivery = network_.pop_delivery();
    learn(event, delivery.time - begin_, delivery.id - first_);
  }
  last_ = delivery.time;
  if (++popped_ == sent_.size()) end();
  return delivery;
}

LinkStatistics RememberingNetwork::statistics(LinkId id) {
  if (is_told_) catch_up();
  LinkStatistics sum = totals_.at(to_index(id));
  add(network_.statistics(id), sum);
  return sum;
}

}  // namespace tandem::link
