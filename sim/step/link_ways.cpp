#include "sim/step/link_ways.hpp"

namespace tandem {
namespace {

std::map<std::string, TopologyLink> wires_of(const System& system) {
  std::map<std::string, TopologyLink> wires;
  for (const auto& [name, link] : system.links) wires.emplace(name, wire_of(system, name));
  return wires;
}

}  // namespace

LinkWays::LinkWays(const System& system)
    : wires_(wires_of(system)),
      known_(std::make_shared<std::map<std::pair<ChipAddress, ChipAddress>, Way>>()) {}

LinkWays::LinkWays(const System& system, const LinkWays& like)
    : wires_(wires_of(system)), known_(like.known_) {}

const LinkWays::Way& LinkWays::between(const NetworkModel& network, const ChipAddress& from,
                                       const ChipAddress& to) const {
  const auto found = known_->find({from, to});
  if (found != known_->end()) return found->second;
  return known_->emplace(std::pair(from, to), network.path(from, to)).first->second;
}

Picoseconds LinkWays::floor(const Way& way, Bytes size) const {
  std::vector<const TopologyLink*> links;
  for (const std::string& link_class : way) links.push_back(&wires_.at(link_class));
  return least_time(links, size);
}

}  // namespace tandem
