// Messages that are sent together into an idle network, time and again: the KV of one prompt after
// the other. What they do depends on their routes and sizes alone, not on when they are sent.
#include <algorithm>

#include "models/link/network.hpp"
#include "sim/core/hash.hpp"

namespace tandem::link {
namespace {

constexpr std::size_t most_bursts = 256;

/// `later` less `earlier`; the longest queue is not a sum.
LinkStatistics difference(const LinkStatistics& later, const LinkStatistics& earlier) {
  return {later.payload - earlier.payload, later.wire - earlier.wire, later.busy - earlier.busy,
          later.trains - earlier.trains, later.peak_queue};
}

}  // namespace

/// Whether a message is sent together with those before it.
bool Network::joins_burst(Picoseconds at) const {
  return burst_ && !burst_->is_closed && burst_->sent == at;
}

/// Before the first message of what may become a burst.
void Network::open_burst(Picoseconds at) {
  leave_burst();
  if (!options_.remembers_bursts || !messages_.empty() || !ready_.empty()) return;
  burst_.emplace();
  burst_->sent = at;
  burst_->first = next_id_;
}

std::uint64_t Network::key_of_burst() const {
  Hasher hash;
  for (const auto& [id, message] : messages_) {
    hash.add(message.size.count()).add(message.route.size());
    for (const LinkId link : message.route) hash.add(to_index(link));
  }
  return hash.add(messages_.size()).value();
}

std::set<LinkId> Network::links_of_burst() const {
  std::set<LinkId> links;
  for (const auto& [id, message] : messages_) {
    links.insert(message.route.begin(), message.route.end());
  }
  return links;
}

/// All of the burst has been sent: takes what is known of it, or begins to learn it.
void Network::close_burst() {
  if (!burst_ || burst_->is_closed) return;
  burst_->is_closed = true;
  const bool carries_bytes = std::any_of(messages_.begin(), messages_.end(), [](const auto& entry) {
    return entry.second.target != nullptr;
  });
  burst_->key = key_of_burst();
  const auto known = bursts_.find(burst_->key);
  if (carries_bytes || (known == bursts_.end() && bursts_.size() == most_bursts)) {
    burst_.reset();
    return;
  }
  if (known != bursts_.end()) {
    burst_->known = &known->second;
    return;
  }
  for (const LinkId link : links_of_burst()) {
    burst_->before.push_back({link, statistics(link)});
    links_[to_index(link)].statistics.peak_queue = 0;
  }
}

Delivery Network::pop_known() {
  const Burst::Arrival& arrival = burst_->known->arrivals[burst_->popped++];
  const Message& message = messages_.at(burst_->first + arrival.id);
  const Picoseconds time = burst_->sent + arrival.after;
  committed_ = std::max(committed_, time);
  Delivery delivery{burst_->first + arrival.id,
                    message.from,
                    message.to,
                    message.size,
                    message.sent,
                    time,
                    nullptr};
  if (burst_->popped == burst_->known->arrivals.size()) end_burst();
  return delivery;
}

/// The last message of a known burst is out: counts what its links did.
void Network::end_burst() {
  for (const Burst::Use& use : burst_->known->uses) {
    LinkStatistics& own = links_[to_index(use.link)].statistics;
    own.payload += use.statistics.payload;
    own.wire += use.statistics.wire;
    own.busy += use.statistics.busy;
    own.trains += use.statistics.trains;
    own.peak_queue = std::max(own.peak_queue, use.statistics.peak_queue);
  }
  messages_.clear();
  queue_.clear();
  burst_.reset();
}

/// Learns from a delivery; with the last one the burst is remembered.
void Network::note_arrival(const Delivery& delivery) {
  if (!burst_) return;
  burst_->seen.arrivals.push_back({delivery.time - burst_->sent, delivery.id - burst_->first});
  const auto all = static_cast<std::size_t>(next_id_ - burst_->first);
  if (burst_->seen.arrivals.size() < all) return;
  for (const Burst::Use& before : burst_->before) {
    LinkStatistics& own = links_[to_index(before.link)].statistics;
    burst_->seen.uses.push_back(
        {before.link, difference(statistics(before.link), before.statistics)});
    own.peak_queue = std::max(own.peak_queue, before.statistics.peak_queue);
  }
  bursts_.emplace(burst_->key, std::move(burst_->seen));
  burst_.reset();
}

/// Something else comes in between, at `at`: what was taken as known is simulated up to there after
/// all, and what has been popped of it does not come again.
void Network::go_on_from_burst(Picoseconds at) {
  if (!burst_ || burst_->known == nullptr) return;
  const std::vector<Burst::Arrival>& arrivals = burst_->known->arrivals;
  for (std::size_t i = 0; i < burst_->popped; ++i) {
    popped_.insert(burst_->first + arrivals[i].id);
  }
  const bool has_popped = burst_->popped > 0;
  const Picoseconds last =
      has_popped ? burst_->sent + arrivals[burst_->popped - 1].after : burst_->sent;
  burst_.reset();
  while (!queue_.empty() &&
         (queue_.next_time() < at || (has_popped && queue_.next_time() <= last))) {
    step();
  }
}

/// Gives up learning: its links have had longer queues before, perhaps.
void Network::leave_burst() {
  if (!burst_) return;
  for (const Burst::Use& before : burst_->before) {
    LinkStatistics& own = links_[to_index(before.link)].statistics;
    own.peak_queue = std::max(own.peak_queue, before.statistics.peak_queue);
  }
  burst_.reset();
}

}  // namespace tandem::link
