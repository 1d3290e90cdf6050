// LPUs that run one schedule: same instructions in the same cycles, only rows of SRAM differ from
// chip to chip. What collectives and tensor-parallel layers are compiled for.
#pragma once

#include <cstdint>
#include <vector>

#include "models/lpu/compiler/scheduler.hpp"
#include "models/lpu/rack/topology.hpp"

namespace tandem::lpu {

/// A link that every chip of a gang has in the same place: when all send on `send_link` at once,
/// every one gets a vector on `receive_link`, `latency` cycles later.
struct Lane {
  int send_link = 0;
  int receive_link = 0;
  int level = 0;  ///< of the topology
  int latency = 0;
  std::vector<int> to;    ///< by rank: rank that its vector goes to
  std::vector<int> from;  ///< by rank: rank whose vector it gets
};

/// Chips of a topology in rank order, and the lanes that stay among them.
class Gang {
 public:
  /// Throws ModelError for a chip that does not exist or comes twice.
  Gang(const Topology& topology, std::vector<int> chips);
  [[nodiscard]] int size() const { return static_cast<int>(chips_.size()); }
  [[nodiscard]] const std::vector<int>& chips() const { return chips_; }
  [[nodiscard]] const std::vector<Lane>& lanes() const { return lanes_; }
  [[nodiscard]] std::vector<Lane> lanes_of(int level) const;

 private:
  std::vector<int> chips_;
  std::vector<Lane> lanes_;
};

/// Chips of a gang, and the trays over which they lie evenly. Ranks count tray by tray.
struct GangShape {
  int ranks = 1;
  int trays = 1;
  [[nodiscard]] int tray_chips() const { return ranks / trays; }
  bool operator==(const GangShape&) const = default;
};

/// A gang of so many chips on the fewest trays that its links allow. Throws ModelError where they
/// allow none.
[[nodiscard]] GangShape gang_shape(const Geometry& geometry, std::int64_t chips);

/// The gang of the chips 0 .. count - 1.
[[nodiscard]] Gang first_chips(const Topology& topology, int count);

/// Rows that depend on the rank. A schedule refers to them by host registers from rank_registers
/// on, one for every distinct list; bind() puts the numbers of one rank into a program's words, so
/// that programs need no host for it.
class RankRows {
 public:
  /// Register of a list of rows, one per rank; 0 (always zero) when all are zero. Throws ModelError
  /// when registers run out.
  [[nodiscard]] int reg(const std::vector<int>& rows);
  [[nodiscard]] Program bind(const Program& program, int rank) const;

 private:
  std::vector<std::vector<int>> lists_;
};

}  // namespace tandem::lpu
