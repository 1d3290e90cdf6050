// KV blocks below HBM: in the memory of a replica's hosts, and in a store that all replicas share.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/service/request.hpp"
#include "sim/service/shared_blocks.hpp"

namespace tandem {

/// A memory for blocks and the way to it.
struct TierRules {
  std::int64_t capacity = 0;  ///< blocks
  double bandwidth = 0;       ///< bytes/s, each way
  Picoseconds latency;
};

/// What a tier did in a run.
struct TierUse {
  std::int64_t capacity = 0;  ///< blocks, of all replicas
  std::int64_t hits = 0;      ///< blocks that were loaded from it
  std::int64_t writes = 0;    ///< blocks that were written into it
  std::int64_t dropped = 0;   ///< blocks that had to make room, and went down or were forgotten
  Picoseconds reading;        ///< time in which the way up was in use
  Picoseconds writing;
};

/// One way between two memories: transfers one behind the other.
class TierPath {
 public:
  TierPath(double bandwidth, Picoseconds latency) : bandwidth_(bandwidth), latency_(latency) {}
  /// When `size` is across, if it is there from `earliest` on.
  Picoseconds move(Picoseconds earliest, Bytes size);
  [[nodiscard]] Picoseconds busy() const { return busy_; }

 private:
  double bandwidth_;
  Picoseconds latency_;
  Picoseconds free_;
  Picoseconds busy_;
};

/// A memory for blocks of which the one used longest ago makes room.
class BlockTier {
 public:
  explicit BlockTier(const TierRules& rules)
      : rules_(rules), up_(rules.bandwidth, rules.latency), down_(rules.bandwidth, rules.latency) {}
  [[nodiscard]] bool has(const BlockName& block) const { return blocks_.contains(block); }
  /// Writes a block that comes at `now`; one that is here is only used again. Returns the one that
  /// made room.
  std::optional<BlockName> write(const BlockName& block, Bytes size, Picoseconds now);
  /// Reads blocks that are here, all at once. Returns when they are across.
  Picoseconds read(const std::vector<BlockName>& blocks, Bytes size, Picoseconds now);
  [[nodiscard]] TierUse use() const;
  [[nodiscard]] std::int64_t held() const { return std::ssize(blocks_); }

 private:
  struct Held {
    std::list<BlockName>::iterator place;
    Picoseconds written;
  };
  TierRules rules_;
  TierPath up_;
  TierPath down_;
  std::list<BlockName> order_;  ///< those used longest ago first
  std::map<BlockName, Held> blocks_;
  TierUse use_;
};

/// What is below the HBM of one replica.
///
/// Contract: blocks that HBM drops are written into the first tier, those that it drops into the
/// next; each stays where it is when it is read. A block is read from the first tier that has it,
/// on that tier's way; ways up and down are full duplex, and each carries one transfer after the
/// other.
class KvTiers final : public CacheBelow {
 public:
  /// `store`: of all replicas, may be null. `block`: bytes of a KV block, of all chips.
  KvTiers(const std::optional<TierRules>& host, BlockTier* store, Bytes block,
          std::int64_t block_tokens);
  [[nodiscard]] std::int64_t blocks_below(const Request& request, std::int64_t from,
                                          std::int64_t to) const override;
  /// The same blocks as a router counts them (NVIDIA Dynamo's defaults): 0.75 each in the hosts'
  /// memory, 0.25 in the store.
  [[nodiscard]] double credit(const Request& request, std::int64_t from, std::int64_t to) const;
  /// Blocks [from, to) of a request's table go up, as far as they are below. Returns when the last
  /// one is there.
  Picoseconds load(const Request& request, std::int64_t from, std::int64_t to, Picoseconds now);
  /// HBM dropped these, in this order.
  void write_down(const std::vector<BlockName>& blocks, Picoseconds now);
  [[nodiscard]] TierUse host_use() const { return host_ ? host_->use() : TierUse{}; }

 private:
  [[nodiscard]] bool in_host(const BlockName& block) const { return host_ && host_->has(block); }
  [[nodiscard]] bool in_store(const BlockName& block) const {
    return store_ != nullptr && store_->has(block);
  }
  void write_to_store(const BlockName& block, Picoseconds now);

  std::optional<BlockTier> host_;
  BlockTier* store_;
  Bytes block_;
  std::int64_t block_tokens_;
};

}  // namespace tandem
