#include "models/link/network.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "sim/core/integers.hpp"

namespace tandem::link {
Network::Network(Topology topology, NetworkOptions options, std::shared_ptr<RouteTable> routes)
    : topology_(std::move(topology)),
      options_(options),
      known_routes_(routes ? std::move(routes) : std::make_shared<RouteTable>()),
      router_(topology_, options.route_reference),
      links_(topology_.links().size()) {}

const std::vector<Route>& Network::routes(NodeId from, NodeId to) const {
  const std::uint64_t ends = std::uint64_t{to_index(from)} << 32 | to_index(to);
  const auto known = known_routes_->find(ends);
  if (known != known_routes_->end()) return known->second;
  auto found = router_.equal_routes(from, to, options_.equal_routes);
  return known_routes_->emplace(ends, std::move(found)).first->second;
}

Network::Message Network::make_message(MessageId id, NodeId from, NodeId to, Bytes size) const {
  const std::vector<Route>& choices = routes(from, to);
  Message message;
  message.from = from;
  message.to = to;
  message.size = size;
  message.route = &choices[static_cast<std::size_t>(id) % choices.size()].links;
  message.piece = Bytes(1);
  for (const LinkId link : *message.route) {
    message.piece = std::max(message.piece, topology_.link(link).packet);
    message.credit_delay += topology_.link(link).latency;
  }
  const std::int64_t share = ceil_div(size.count(), options_.trains_per_message);
  const std::int64_t pieces =
      std::max(options_.packets_per_train, ceil_div(share, message.piece.count()));
  message.train = message.piece * pieces;
  message.trains = std::max<std::int64_t>(1, ceil_div(size.count(), message.train.count()));
  message.window = options_.window.count() == 0
                       ? message.trains
                       : std::max<std::int64_t>(1, options_.window.count() / message.train.count());
  return message;
}

MessageId Network::send(Picoseconds at, NodeId from, NodeId to, Bytes size, Payload payload) {
  if (at < committed_) {
    throw std::logic_error(fmt::format("network: send at {} ps, after an event at {} ps",
                                       at.count(), committed_.count()));
  }
  if (size.count() < 0 || (payload && static_cast<std::int64_t>(payload->size()) != size.count())) {
    throw ModelError(
        fmt::format("network: message of {} B does not match its payload", size.count()));
  }
  Message message = make_message(next_id_, from, to, size);
  message.sent = at;
  if (payload) message.target = std::make_shared<std::vector<std::byte>>(payload->size());
  message.source = std::move(payload);
  if (at < queue_.now()) roll_back(at);
  // What a look-ahead has done lies before `at` now and cannot change any more.
  forget_checkpoint();
  committed_ = at;
  if (messages_.empty()) first_message_ = next_id_;
  messages_.push_back(std::move(message));
  queue_.push(at, Phase::Issue, {.message = next_id_, .kind = EventKind::Offer});
  return next_id_++;
}

void Network::forget_checkpoint() {
  checkpoint_.reset();
  popped_.clear();
}

/// Back to the checkpoint, and on for good to just before `at`. What was popped since then comes
/// again and is dropped.
void Network::roll_back(Picoseconds at) {
  assert(checkpoint_);  // without one, now <= the last send or pop <= the time of this send
  queue_ = std::move(checkpoint_->queue);
  messages_ = std::move(checkpoint_->messages);
  first_message_ = checkpoint_->first_message;
  for (auto& [id, state] : checkpoint_->links) links_[to_index(id)] = std::move(state);
  ready_.clear();
  checkpoint_.reset();
  while (!queue_.empty() && queue_.next_time() < at) step();
  // Whoever popped what arrived at `at` itself has seen that instant as a whole.
  if (popped_.empty()) return;
  while (!queue_.empty() && queue_.next_time() <= at) step();
}

Network::LinkState& Network::state_of(LinkId id) {
  LinkState& state = links_[to_index(id)];
  if (checkpoint_ && state.saved != checkpoints_) {
    state.saved = checkpoints_;
    checkpoint_->links.emplace_back(id, state);
  }
  if (state.statistics.trains == 0) used_.push_back(id);
  return state;
}

Network::Message& Network::message_of(MessageId id) {
  return messages_[static_cast<std::size_t>(id - first_message_)];
}

void Network::drop_whole_messages() {
  while (!messages_.empty() && messages_.front().is_whole()) {
    messages_.pop_front();
    ++first_message_;
  }
}

std::optional<Picoseconds> Network::next_delivery() {
  if (!checkpoint_ && ready_.empty()) {
    checkpoint_.emplace(Checkpoint{queue_, messages_, first_message_, {}});
    ++checkpoints_;
  }
  go_to_delivery();
  if (ready_.empty()) return std::nullopt;
  return ready_.front().time;
}

void Network::go_to_delivery() {
  // Everything of the same instant must be in before the first of it may pop.
  while (!queue_.empty() && (ready_.empty() || queue_.next_time() <= ready_.front().time)) step();
}

Delivery Network::pop_delivery() {
  go_to_delivery();  // for good: there is nothing to undo
  if (ready_.empty()) throw ModelError("network: nothing is under way");
  Delivery delivery = std::move(ready_.front());
  ready_.erase(ready_.begin());
  committed_ = std::max(committed_, delivery.time);
  if (checkpoint_) popped_.insert(delivery.id);
  return delivery;
}

std::optional<Delivery> Network::advance(Picoseconds limit) {
  if (checkpoint_) roll_back(committed_);
  while (!queue_.empty() && queue_.next_time() <= (ready_.empty() ? limit : ready_.front().time)) {
    step();
  }
  if (ready_.empty()) return std::nullopt;
  Delivery delivery = std::move(ready_.front());
  ready_.erase(ready_.begin());
  committed_ = std::max(committed_, delivery.time);
  return delivery;
}

void Network::step() {
  const auto entry = queue_.pop();
  const Event& event = entry.event;
  switch (event.kind) {
    case EventKind::Offer:
      offer(event.message, message_of(event.message), entry.time);
      break;
    case EventKind::Head:
      head(event, entry.time);
      break;
    case EventKind::Arrive:
      arrive(event, entry.time);
      break;
    case EventKind::Credit:
      credit(event.message, entry.time);
      break;
  }
}

/// Puts the message's next train at the back of its first link, credits permitting.
void Network::offer(MessageId id, Message& message, Picoseconds now) {
  if (message.next_train == message.trains) return;
  if (message.next_train - message.credited >= message.window) {
    message.waits_for_credit = true;
    return;
  }
  Event event{now, now, id, static_cast<std::int32_t>(message.next_train++), 0, EventKind::Head};
  if (!message.route->empty()) {
    queue_.push(now, Phase::Issue, event);
    return;
  }
  event.kind = EventKind::Arrive;
  queue_.push(now, Phase::Complete, event);
  offer(id, message, now);
}

Bytes Network::payload_of(const Message& message, std::int64_t train) const {
  return std::min(message.train, message.size - message.train * train);
}

/// The first packet of a train is ready to be sent over hop `event.hop`.
void Network::head(const Event& event, Picoseconds now) {
  Message& message = message_of(event.message);
  const auto hop = static_cast<std::size_t>(event.hop);
  const LinkId link = (*message.route)[hop];
  const TopologyLink& wire = topology_.link(link);
  LinkState& state = state_of(link);
  const Bytes payload = payload_of(message, event.train);
  const Picoseconds whole = serialisation_time(wire, payload);
  const Bytes one = std::min(payload, message.piece);
  const std::int64_t pieces =
      std::max<std::int64_t>(1, ceil_div(payload.count(), message.piece.count()));
  const Bytes full = one * (pieces - 1);  // all but the last piece
  // First piece, middle and last piece are reserved apart: each may have to wait until it is here,
  // and what others send fits between. Full pieces arrive evenly spaced, so the last of them bounds
  // the middle.
  const Picoseconds first = serialisation_time(wire, one);
  const Slot start = state.schedule.reserve(now, now, first);
  Picoseconds before = start.end;
  Picoseconds end = start.end;
  if (pieces > 1) {
    const Picoseconds but_last = serialisation_time(wire, full);
    const Picoseconds middle = but_last - first;
    const Picoseconds ready = std::max(start.end, event.before + first - middle);
    before = state.schedule.reserve(now, ready, middle).end;
    end = state.schedule.reserve(now, std::max(before, event.tail), whole - but_last).end;
  }
  if (options_.counts_queues) count_queue(state, event, now, {start.start, end});
  state.statistics.payload += payload;
  state.statistics.wire += wire_bytes(wire, payload);
  state.statistics.trains += 1;

  if (hop == 0 && message.next_train < message.trains) {
    queue_.push(end, Phase::Issue, {.message = event.message, .kind = EventKind::Offer});
  }
  Event next = event;
  next.hop = static_cast<std::int16_t>(event.hop + 1);
  next.before = before + wire.latency;
  next.tail = end + wire.latency;
  if (hop + 1 == message.route->size()) {
    next.kind = EventKind::Arrive;
    queue_.push(next.tail, Phase::Complete, next);
    return;
  }
  if (options_.forwarding == Forwarding::StoreAndForward) {
    next.before = next.tail;
    queue_.push(next.tail, Phase::Issue, next);
    return;
  }
  queue_.push(start.end + wire.latency, Phase::Issue, next);
}

/// Counts whom a train finds before it when it waits for its slot, and leaves it for others to
/// find.
void Network::count_queue(LinkState& state, const Event& event, Picoseconds now, Slot slot) {
  Message& message = message_of(event.message);
  if (message.leaves.empty()) message.leaves.assign(message.route->size(), Picoseconds(-1));
  Picoseconds& leaves = message.leaves[static_cast<std::size_t>(event.hop)];
  state.pending.let_go(now);
  if (slot.start > now) {
    const std::int64_t others = state.pending.count() - (leaves > now ? 1 : 0);
    state.statistics.peak_queue = std::max(state.statistics.peak_queue, others);
  }
  state.pending.add(event.message, slot.end, leaves);
  leaves = std::max(leaves, slot.end);
}

/// A whole train is at its destination: its bytes are copied out of the sender's buffer.
void Network::arrive(const Event& event, Picoseconds now) {
  Message& message = message_of(event.message);
  const Bytes payload = payload_of(message, event.train);
  if (message.target && payload.count() > 0) {
    const std::int64_t offset = message.train.count() * event.train;
    std::memcpy(message.target->data() + offset, message.source->data() + offset,
                static_cast<std::size_t>(payload.count()));
  }
  message.arrived += 1;
  if (!message.is_whole()) {
    if (message.window < message.trains) {
      queue_.push(now + message.credit_delay, Phase::Release,
                  {.message = event.message, .train = event.train, .kind = EventKind::Credit});
    }
    return;
  }
  if (popped_.erase(event.message) > 0) {
    drop_whole_messages();
    return;
  }
  Delivery delivery{event.message,
                    message.from,
                    message.to,
                    message.size,
                    message.sent,
                    now,
                    std::move(message.target)};
  const auto position =
      std::lower_bound(ready_.begin(), ready_.end(), delivery.id,
                       [](const Delivery& done, MessageId id) { return done.id < id; });
  ready_.insert(position, std::move(delivery));
  drop_whole_messages();
}

void Network::credit(MessageId id, Picoseconds now) {
  if (id < first_message_ || message_of(id).is_whole()) return;  // it needs no further credit
  Message& message = message_of(id);
  message.credited += 1;
  if (!message.waits_for_credit) return;
  message.waits_for_credit = false;
  offer(id, message, now);
}

Picoseconds Network::floor(NodeId from, NodeId to, Bytes size) const {
  std::optional<Picoseconds> least;
  for (const Route& route : routes(from, to)) {
    std::vector<const TopologyLink*> way;
    for (const LinkId id : route.links) way.push_back(&topology_.link(id));
    const Picoseconds total = least_time(way, size);
    least = least ? std::min(*least, total) : total;
  }
  return *least;
}

LinkStatistics Network::statistics(LinkId id) const {
  const LinkState& state = links_.at(to_index(id));
  LinkStatistics result = state.statistics;
  result.busy = state.schedule.busy();
  return result;
}

std::vector<std::pair<LinkId, LinkStatistics>> Network::take_statistics() {
  assert(messages_.empty() && ready_.empty());
  forget_checkpoint();
  std::sort(used_.begin(), used_.end());
  std::vector<std::pair<LinkId, LinkStatistics>> taken;
  for (const LinkId id : used_) {
    LinkState& state = links_[to_index(id)];
    if (state.statistics.trains == 0) continue;  // it was there before, or came to nothing
    LinkStatistics statistics = std::exchange(state.statistics, {});
    statistics.busy = state.schedule.take_busy();
    taken.emplace_back(id, statistics);
  }
  used_.clear();
  return taken;
}

void Network::skip(std::int64_t messages, Picoseconds until) {
  assert(messages_.empty() && ready_.empty());
  forget_checkpoint();
  next_id_ += messages;
  committed_ = std::max(committed_, until);
}

}  // namespace tandem::link
