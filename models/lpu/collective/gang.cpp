#include "models/lpu/collective/gang.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Whether all chips have `link` cabled within the gang, to ports of one number; then the ranks.
bool is_lane(const Topology& topology, const std::vector<int>& chips, const std::vector<int>& rank,
             int link, Lane& lane) {
  for (const int chip : chips) {
    const Port to = topology.peer(chip, link);
    if (!to.connected() || rank[static_cast<std::size_t>(to.chip)] < 0) return false;
    if (lane.to.empty()) lane.receive_link = to.link;
    if (to.link != lane.receive_link) return false;
    lane.to.push_back(rank[static_cast<std::size_t>(to.chip)]);
  }
  lane.from.assign(chips.size(), -1);
  for (std::size_t sender = 0; sender < chips.size(); ++sender) {
    lane.from[static_cast<std::size_t>(lane.to[sender])] = static_cast<int>(sender);
  }
  return std::count(lane.from.begin(), lane.from.end(), -1) == 0;
}

}  // namespace

Gang::Gang(const Topology& topology, std::vector<int> chips) : chips_(std::move(chips)) {
  std::vector<int> rank(static_cast<std::size_t>(topology.chips()), -1);
  for (std::size_t i = 0; i < chips_.size(); ++i) {
    if (chips_[i] < 0 || chips_[i] >= topology.chips() ||
        rank[static_cast<std::size_t>(chips_[i])] >= 0) {
      throw ModelError(fmt::format("lpu.collective: chip {} in a gang", chips_[i]));
    }
    rank[static_cast<std::size_t>(chips_[i])] = static_cast<int>(i);
  }
  for (int level = 0; level < topology.levels(); ++level) {
    for (int link = topology.first_link(level); link < topology.first_link(level + 1); ++link) {
      Lane lane;
      lane.send_link = link;
      lane.level = level;
      lane.latency = topology.link_classes()[static_cast<std::size_t>(level)].latency;
      if (is_lane(topology, chips_, rank, link, lane)) lanes_.push_back(std::move(lane));
    }
  }
}

std::vector<Lane> Gang::lanes_of(int level) const {
  std::vector<Lane> lanes;
  for (const Lane& lane : lanes_) {
    if (lane.level == level) lanes.push_back(lane);
  }
  return lanes;
}

namespace {

int chips_of_tray(const Geometry& geometry) {
  return geometry.links.empty() ? 1 : geometry.links.front().count + 1;
}

/// Trays that hold so many chips in equal parts; 0: none do.
int trays_of(const Geometry& geometry, int chips) {
  for (int trays = 1; trays <= geometry.tray_links.count + 1; ++trays) {
    if (chips % trays == 0 && chips / trays <= chips_of_tray(geometry)) return trays;
  }
  return 0;
}

/// The next numbers of chips below and above that trays hold: "16 or 18".
std::string nearest_shapes(const Geometry& geometry, std::int64_t chips) {
  const int most = chips_of_tray(geometry) * (geometry.tray_links.count + 1);
  int below = static_cast<int>(std::min<std::int64_t>(chips, most));
  while (trays_of(geometry, below) == 0) --below;
  for (int above = static_cast<int>(chips) + 1; above <= most; ++above) {
    if (trays_of(geometry, above) > 0) return fmt::format("{} or {}", below, above);
  }
  return fmt::format("{}", below);
}

}  // namespace

GangShape gang_shape(const Geometry& geometry, std::int64_t chips) {
  const int ranks = static_cast<int>(chips);
  const int tray = chips_of_tray(geometry);
  if (const int trays = trays_of(geometry, ranks); trays > 0) return {ranks, trays};
  throw ModelError(
      fmt::format("lpu.rack: {} LPUs do not lie evenly over up to {} trays of up to {} that a "
                  "chip's links join; use {}",
                  chips, geometry.tray_links.count + 1, tray, nearest_shapes(geometry, chips)));
}

Gang first_chips(const Topology& topology, int count) {
  std::vector<int> chips(static_cast<std::size_t>(count));
  std::iota(chips.begin(), chips.end(), 0);
  return {topology, std::move(chips)};
}

int RankRows::reg(const std::vector<int>& rows) {
  if (std::all_of(rows.begin(), rows.end(), [](int row) { return row == 0; })) return 0;
  const auto found = std::find(lists_.begin(), lists_.end(), rows);
  const int index = static_cast<int>(found - lists_.begin());
  if (rank_registers + index >= host_registers) {
    throw ModelError("lpu.collective: more rows that depend on the rank than registers");
  }
  if (found == lists_.end()) lists_.push_back(rows);
  return rank_registers + index;
}

Program RankRows::bind(const Program& program, int rank) const {
  Program bound = program;
  for (QueueProgram& queue : bound.queues) {
    for (Instruction& word : queue) {
      for (MemAccess& access : word.access) {
        if (access.reg < rank_registers) continue;
        const auto& rows = lists_[static_cast<std::size_t>(access.reg - rank_registers)];
        access.row = static_cast<std::uint16_t>(access.row + rows[static_cast<std::size_t>(rank)]);
        access.reg = 0;
      }
    }
  }
  return bound;
}

}  // namespace tandem::lpu
