#include "models/link/system_network.hpp"

#include <algorithm>

#include "sim/core/hash.hpp"

namespace tandem::link {

std::shared_ptr<PeriodMemory> PeriodMemories::of(const Topology& topology) {
  Hasher hash;
  for (const TopologyNode& node : topology.nodes()) hash.add(node.forwards);
  for (const TopologyLink& link : topology.links()) {
    hash.add(to_index(link.from)).add(to_index(link.to)).add(link.bandwidth.count());
    hash.add(link.latency.count()).add(link.packet.count()).add(link.header.count());
  }
  std::shared_ptr<PeriodMemory>& memory = memories_[hash.value()];
  if (!memory || memory->is_full()) memory = std::make_shared<PeriodMemory>();
  return memory;
}

SystemNetwork::SystemNetwork(const System& system, std::shared_ptr<PeriodMemories> memories)
    : system_(system), memories_(std::move(memories)) {}

RememberingNetwork& SystemNetwork::wired() const {
  if (network_) return *network_;
  Topology topology = make_topology(system_);
  auto memory = memories_ ? memories_->of(topology) : nullptr;
  network_ = std::make_unique<RememberingNetwork>(std::move(topology), NetworkOptions{},
                                                  std::move(memory));
  std::map<std::string, std::size_t> known;
  for (const TopologyLink& link : still().topology().links()) {
    const auto [entry, is_new] = known.emplace(link.link_class, classes_.size());
    if (is_new) classes_.push_back(link.link_class);
    class_of_.push_back(entry->second);
  }
  return *network_;
}

SystemNetwork::MessageId SystemNetwork::send(Picoseconds at, const ChipAddress& from,
                                             const ChipAddress& to, Bytes size, Payload payload) {
  RememberingNetwork& network = wired();
  const Topology& topology = still().topology();
  return network.send(at, topology.chip(from.pool, from.index), topology.chip(to.pool, to.index),
                      size, std::move(payload));
}

std::optional<Picoseconds> SystemNetwork::next_delivery() {
  if (!network_) return std::nullopt;
  return network_->next_delivery();
}

SystemNetwork::Delivery SystemNetwork::pop_delivery() {
  link::Delivery done = wired().pop_delivery();
  return {done.id, done.time, std::move(done.payload)};
}

Picoseconds SystemNetwork::floor(const ChipAddress& from, const ChipAddress& to, Bytes size) const {
  const Network& network = still();
  const Topology& topology = network.topology();
  return network.floor(topology.chip(from.pool, from.index), topology.chip(to.pool, to.index),
                       size);
}

std::vector<std::string> SystemNetwork::path(const ChipAddress& from, const ChipAddress& to) const {
  const Network& network = still();
  const Topology& topology = network.topology();
  std::vector<std::string> classes;
  for (const LinkId id :
       network.route(topology.chip(from.pool, from.index), topology.chip(to.pool, to.index))
           .links) {
    classes.push_back(topology.link(id).link_class);
  }
  return classes;
}

std::map<std::string, LinkUse> SystemNetwork::usage() const {
  RememberingNetwork& network = wired();
  std::vector<LinkUse> uses(classes_.size());
  for (std::size_t i = 0; i < class_of_.size(); ++i) {
    const LinkStatistics one = network.statistics(static_cast<LinkId>(i));
    LinkUse& use = uses[class_of_[i]];
    use.bytes += one.payload;
    use.busy = std::max(use.busy, one.busy);
    use.peak_queue = std::max(use.peak_queue, one.peak_queue);
  }
  std::map<std::string, LinkUse> classes;
  for (std::size_t i = 0; i < classes_.size(); ++i) classes.emplace(classes_[i], uses[i]);
  return classes;
}

std::function<std::unique_ptr<NetworkModel>(const System&)> network_maker() {
  return [memories = std::make_shared<PeriodMemories>()](const System& system) {
    return std::make_unique<SystemNetwork>(system, memories);
  };
}

}  // namespace tandem::link
