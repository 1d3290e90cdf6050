#include "models/link/system_network.hpp"

#include <algorithm>

namespace tandem::link {

SystemNetwork::SystemNetwork(const System& system, NetworkOptions options)
    : network_(make_topology(system), options) {
  std::map<std::string, std::size_t> known;
  for (const TopologyLink& link : network_.topology().links()) {
    const auto [entry, is_new] = known.emplace(link.link_class, classes_.size());
    if (is_new) classes_.push_back(link.link_class);
    class_of_.push_back(entry->second);
  }
}

SystemNetwork::MessageId SystemNetwork::send(Picoseconds at, const ChipAddress& from,
                                             const ChipAddress& to, Bytes size, Payload payload) {
  const Topology& topology = network_.topology();
  return network_.send(at, topology.chip(from.pool, from.index), topology.chip(to.pool, to.index),
                       size, std::move(payload));
}

std::optional<Picoseconds> SystemNetwork::next_delivery() {
  return network_.next_delivery();
}

SystemNetwork::Delivery SystemNetwork::pop_delivery() {
  link::Delivery done = network_.pop_delivery();
  return {done.id, done.time, std::move(done.payload)};
}

Picoseconds SystemNetwork::floor(const ChipAddress& from, const ChipAddress& to, Bytes size) const {
  const Topology& topology = network_.topology();
  return network_.floor(topology.chip(from.pool, from.index), topology.chip(to.pool, to.index),
                        size);
}

std::map<std::string, LinkUse> SystemNetwork::usage() const {
  std::vector<LinkUse> uses(classes_.size());
  for (std::size_t i = 0; i < class_of_.size(); ++i) {
    const LinkStatistics one = network_.statistics(static_cast<LinkId>(i));
    LinkUse& use = uses[class_of_[i]];
    use.bytes += one.payload;
    use.busy = std::max(use.busy, one.busy);
    use.peak_queue = std::max(use.peak_queue, one.peak_queue);
  }
  std::map<std::string, LinkUse> classes;
  for (std::size_t i = 0; i < classes_.size(); ++i) classes.emplace(classes_[i], uses[i]);
  return classes;
}

std::unique_ptr<NetworkModel> make_network(const System& system) {
  return std::make_unique<SystemNetwork>(system);
}

}  // namespace tandem::link
