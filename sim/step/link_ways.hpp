// Which classes of links messages cross, and what such a way takes at least. Ways depend on what
// hangs where: scenarios that differ in numbers alone share them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sim/graph/topology.hpp"
#include "sim/lower/network_model.hpp"

namespace tandem {

class LinkWays {
 public:
  /// Link classes from the sender on.
  using Way = std::vector<std::string>;

  explicit LinkWays(const System& system);
  /// The ways of `like` over the links of another system of the same shape.
  LinkWays(const System& system, const LinkWays& like);

  /// Between two chips; the network is asked once per pair.
  [[nodiscard]] const Way& between(const NetworkModel& network, const ChipAddress& from,
                                   const ChipAddress& to) const;
  /// Latencies of the links and the message on the slowest of them (least_time()).
  [[nodiscard]] Picoseconds floor(const Way& way, Bytes size) const;

 private:
  std::map<std::string, TopologyLink> wires_;  ///< by link class
  std::shared_ptr<std::map<std::pair<ChipAddress, ChipAddress>, Way>> known_;
};

}  // namespace tandem
