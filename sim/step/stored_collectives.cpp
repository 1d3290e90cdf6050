#include "sim/step/stored_collectives.hpp"

#include "sim/core/hash.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {
namespace {

void add(const ParameterSet& parameters, Hasher& hash) {
  hash.add(parameters.all().size());
  for (const auto& [name, parameter] : parameters.all()) hash.add(name).add(parameter.value);
}

void add(const Collective& collective, Hasher& hash) {
  hash.add(collective.op).add(collective.entry).add(collective.bytes.count()).add(collective.type);
  hash.add(collective.tokens).add(collective.hidden).add(collective.top_k);
  hash.add(collective.experts).add(collective.groups).add(collective.top_groups);
  hash.add(collective.transport).add(collective.row_extra.count()).add(collective.sms);
}

}  // namespace

std::uint64_t collectives_key(const System& system, const Software& software) {
  Hasher hash;
  hash.add("collectives").add(system.groups.size());
  for (const ChipGroup& group : system.groups) {
    hash.add(group.pool).add(group.count).add(group.chips_per_node);
    hash.add(group.link).add(group.scale_out).add(group.switch_kind);
    hash.add(key_of(system.chips.at(group.chip), software));
  }
  hash.add(system.bridges.size());
  for (const Bridge& bridge : system.bridges) {
    hash.add(bridge.from).add(bridge.to).add(bridge.lanes).add(bridge.links.size());
    for (const std::string& link : bridge.links) hash.add(link);
  }
  for (const auto& [name, link] : system.links) {
    hash.add(name);
    add(link.parameters, hash);
  }
  add(system.parameters, hash);
  return hash.value();
}

CollectiveCost StoredCollectives::cost(const std::vector<ChipAddress>& ranks,
                                       const Collective& collective) {
  Hasher hash;
  hash.add(key_).add(ranks.size());
  for (const ChipAddress& rank : ranks) hash.add(rank.pool).add(rank.index);
  add(collective, hash);
  const std::uint64_t key = hash.value();
  if (const CollectiveCost* known = store_.find_collective(key)) return *known;
  return store_.put_collective(key, model_->cost(ranks, collective));
}

}  // namespace tandem
