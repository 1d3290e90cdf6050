#include "models/link/system_network.hpp"

#include <algorithm>

namespace tandem::link {

SystemNetwork::SystemNetwork(const System& system, NetworkOptions options)
    : network_(make_topology(system), options) {}

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
  std::map<std::string, LinkUse> classes;
  const auto& links = network_.topology().links();
  for (std::size_t i = 0; i < links.size(); ++i) {
    const LinkStatistics one = network_.statistics(static_cast<LinkId>(i));
    LinkUse& use = classes[links[i].link_class];
    use.bytes += one.payload;
    use.busy = std::max(use.busy, one.busy);
    use.peak_queue = std::max(use.peak_queue, one.peak_queue);
  }
  return classes;
}

std::unique_ptr<NetworkModel> make_network(const System& system) {
  return std::make_unique<SystemNetwork>(system);
}

}  // namespace tandem::link
