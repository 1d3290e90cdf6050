// The memories below HBM of all replicas of a pool.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sim/describe/scenario.hpp"
#include "sim/service/kv_tiers.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {

/// What the tiers of a run did.
struct KvTiersUse {
  std::int64_t block_tokens = 0;
  Bytes block;  ///< of all chips of a replica
  std::optional<TierUse> host, store;
};

/// `serving.kv_tiers` of the system: hosts' memory is that of a replica's chips, the store is one.
class PoolTiers {
 public:
  PoolTiers(const Scenario& scenario, const PoolModel& pool);
  [[nodiscard]] KvTiers& of(std::int64_t replica) {
    return *replicas_.at(static_cast<std::size_t>(replica));
  }
  [[nodiscard]] KvTiersUse use() const;

 private:
  std::int64_t block_tokens_;
  Bytes block_;
  std::optional<TierRules> host_;
  std::optional<BlockTier> store_;
  std::vector<std::unique_ptr<KvTiers>> replicas_;
};

}  // namespace tandem
