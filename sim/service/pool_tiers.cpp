#include "sim/service/pool_tiers.hpp"

#include <fmt/format.h>

#include <string>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

/// KV of a block over all layers and heads, without copies that chips of a gang have of each other.
Bytes block_bytes(const PoolModel& pool, std::int64_t block_tokens) {
  const Stage& first = pool.stations().front().stages.front();
  Stage all;
  all.network = first.network;
  all.precision = pool.placement().precision;
  for (const Station& station : pool.stations()) {
    for (const Stage& stage : station.stages) all.layers += stage.layers;
  }
  return all.kv_bytes_per_token() * block_tokens;
}

/// `copies`: of what the system's numbers are for.
TierRules rules_of(const System& system, const std::string& tier, std::int64_t copies,
                   Bytes block) {
  const auto number = [&](const char* key) {
    return system.parameters.value("kv_tiers." + tier + "." + key);
  };
  const auto n = static_cast<double>(copies);
  TierRules rules;
  rules.capacity =
      static_cast<std::int64_t>(number("capacity") * n / static_cast<double>(block.count()));
  if (rules.capacity < 1) {
    throw ConfigError(fmt::format(
        "system.kv_tiers.{}.capacity: {:.3g} MB for {} chips hold no KV block, which "
        "takes {:.3g} MB; give it more, or choose other kv_tiers",
        tier, number("capacity") * n / 1e6, copies, static_cast<double>(block.count()) / 1e6));
  }
  rules.bandwidth = number("bandwidth") * n;
  rules.latency = from_seconds(number("latency"));
  return rules;
}

TierUse sum_of(TierUse a, const TierUse& b) {
  a.capacity += b.capacity;
  a.hits += b.hits;
  a.writes += b.writes;
  a.dropped += b.dropped;
  a.reading += b.reading;
  a.writing += b.writing;
  return a;
}

}  // namespace

PoolTiers::PoolTiers(const Scenario& scenario, const PoolModel& pool)
    : block_tokens_(scenario.serving.kv_block_tokens), block_(block_bytes(pool, block_tokens_)) {
  const std::string& tiers = scenario.serving.kv_tiers;
  if (tiers != "store") host_ = rules_of(scenario.system, "host", pool.chips_per_replica(), block_);
  if (tiers != "host") store_.emplace(rules_of(scenario.system, "store", 1, block_));
  for (std::int64_t i = 0; i < pool.placement().replicas; ++i) {
    replicas_.push_back(
        std::make_unique<KvTiers>(host_, store_ ? &*store_ : nullptr, block_, block_tokens_));
  }
}

KvTiersUse PoolTiers::use() const {
  KvTiersUse use{block_tokens_, block_, std::nullopt, std::nullopt};
  if (store_) use.store = store_->use();
  if (!host_) return use;
  TierUse host;
  for (const auto& replica : replicas_) host = sum_of(host, replica->host_use());
  use.host = host;
  return use;
}

}  // namespace tandem
