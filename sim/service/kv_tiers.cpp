#include "sim/service/kv_tiers.hpp"

#include <algorithm>

namespace tandem {

Picoseconds TierPath::move(Picoseconds earliest, Bytes size) {
  const Picoseconds start = std::max(earliest, free_);
  const Picoseconds time = from_seconds(static_cast<double>(size.count()) / bandwidth_);
  free_ = start + time;
  busy_ += time;
  return free_ + latency_;
}

std::optional<BlockName> BlockTier::write(const BlockName& block, Bytes size, Picoseconds now) {
  const auto found = blocks_.find(block);
  if (found != blocks_.end()) {
    order_.splice(order_.end(), order_, found->second.place);
    return std::nullopt;
  }
  std::optional<BlockName> gone;
  if (held() == rules_.capacity) {
    gone = order_.front();
    order_.pop_front();
    blocks_.erase(*gone);
    ++use_.dropped;
  }
  ++use_.writes;
  order_.push_back(block);
  blocks_[block] = {std::prev(order_.end()), down_.move(now, size)};
  return gone;
}

Picoseconds BlockTier::read(const std::vector<BlockName>& blocks, Bytes size, Picoseconds now) {
  Picoseconds earliest = now;
  for (const BlockName& block : blocks) {
    Held& held = blocks_.at(block);
    earliest = std::max(earliest, held.written);
    order_.splice(order_.end(), order_, held.place);
  }
  use_.hits += std::ssize(blocks);
  return up_.move(earliest, Bytes(size.count() * std::ssize(blocks)));
}

TierUse BlockTier::use() const {
  TierUse use = use_;
  use.capacity = rules_.capacity;
  use.reading = up_.busy();
  use.writing = down_.busy();
  return use;
}

KvTiers::KvTiers(const std::optional<TierRules>& host, BlockTier* store, Bytes block,
                 std::int64_t block_tokens)
    : store_(store), block_(block), block_tokens_(block_tokens) {
  if (host) host_.emplace(*host);
}

std::int64_t KvTiers::blocks_below(const Request& request, std::int64_t from,
                                   std::int64_t to) const {
  std::int64_t found = 0;
  for (const BlockName& block : shared_block_names(request, block_tokens_, from, to)) {
    if (!in_host(block) && !in_store(block)) break;
    ++found;
  }
  return found;
}

double KvTiers::credit(const Request& request, std::int64_t from, std::int64_t to) const {
  constexpr double of_host = 0.75, of_store = 0.25;
  double credit = 0;
  for (const BlockName& block : shared_block_names(request, block_tokens_, from, to)) {
    if (!in_host(block) && !in_store(block)) break;
    credit += in_host(block) ? of_host : of_store;
  }
  return credit;
}

Picoseconds KvTiers::load(const Request& request, std::int64_t from, std::int64_t to,
                          Picoseconds now) {
  std::vector<BlockName> from_host, from_store;
  for (const BlockName& block : shared_block_names(request, block_tokens_, from, to)) {
    (in_host(block) ? from_host : from_store).push_back(block);
  }
  Picoseconds done = now;
  // From the last to the first, which is so the one used last.
  std::ranges::reverse(from_host);
  std::ranges::reverse(from_store);
  if (!from_host.empty()) done = std::max(done, host_->read(from_host, block_, now));
  if (!from_store.empty()) done = std::max(done, store_->read(from_store, block_, now));
  return done;
}

void KvTiers::write_to_store(const BlockName& block, Picoseconds now) {
  if (store_ != nullptr) static_cast<void>(store_->write(block, block_, now));
}

void KvTiers::write_down(const std::vector<BlockName>& blocks, Picoseconds now) {
  for (const BlockName& block : blocks) {
    if (!host_) {
      write_to_store(block, now);
    } else if (const auto gone = host_->write(block, block_, now)) {
      write_to_store(*gone, now);
    }
  }
}

}  // namespace tandem
