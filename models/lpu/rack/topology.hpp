// Which port of which LPU is wired to which: a fabric's levels as a table of cables. Pure geometry;
// vectors move in session.hpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "models/lpu/geometry.hpp"
#include "sim/describe/fabric.hpp"

namespace tandem::lpu {

/// Whether hops are scheduled to the cycle end to end, or passed on by software, which adds the
/// fabric's `software_hop` to the latency of every link (722 ns instead of 300 on LPU v1).
enum class HopMode : std::uint8_t { Scheduled, Software };

/// One end of a cable.
struct Port {
  int chip = -1;
  int link = -1;
  [[nodiscard]] bool connected() const { return chip >= 0; }
  bool operator==(const Port&) const = default;
};

/// The LPUs of a fabric and the cables between their ports.
///
/// Chips count through units of the innermost level first: chip = (unit of the outer level * units
/// of the inner level + ...). Links count through the levels in the same order; ports of one level
/// are one LinkClass. Wirings, with U units of C chips and P ports per chip:
///  - complete: port p < U - 1 of unit u leads to unit u xor (p + 1) where U is a power of two, and
///    comes out of the same port there; else to unit u + p + 1, coming out of port U - 2 - p.
///    Further ports stay open.
///  - dragonfly: the C * P ports of a unit, chip by chip, reach the units u+1, u+2, ..., u+U-1 in
///    turn, floor(C P / (U - 1)) times each; what is left over stays open.
///  - ring: port p of chip c < C/2 leads to unit u + p + 1 and comes out of port p of chip c + C/2.
///  - chain: ports p < P/2 lead to unit u + 1 and come out of port p + P/2 there.
class Topology {
 public:
  /// `units`: units of the outermost levels instead of the fabric's, outermost last; levels that it
  /// does not reach keep theirs. Throws ModelError for units that the ports do not allow.
  explicit Topology(const Fabric& fabric, std::span<const int> units = {},
                    HopMode mode = HopMode::Scheduled);
  /// So many chips joined all to all by the first class of the chip's own links; further ports stay
  /// open. Throws ModelError where it has too few.
  [[nodiscard]] static Topology node_of(const Geometry& chip, int chips);
  /// `trays` such nodes; chips of one index in them are joined all to all by the chip's tray links.
  [[nodiscard]] static Topology trays_of(const Geometry& chip, int chips, int trays);

  [[nodiscard]] int chips() const { return chips_; }
  [[nodiscard]] int levels() const { return static_cast<int>(classes_.size()); }
  [[nodiscard]] int links_per_chip() const;
  /// Chips of one unit that level `level` joins its units into: 8 and 72 for nodes and racks.
  [[nodiscard]] int chips_below(int level) const;
  /// First link of a level.
  [[nodiscard]] int first_link(int level) const;
  [[nodiscard]] const std::vector<LinkClass>& link_classes() const { return classes_; }
  /// The chip's geometry with this fabric's links in place of its own.
  [[nodiscard]] Geometry with_links(Geometry chip) const;
  /// The other end of a cable; not connected where the port is open.
  [[nodiscard]] Port peer(int chip, int link) const;
  /// The first link from one chip straight to another.
  [[nodiscard]] std::optional<int> link_to(int from, int to) const;
  /// Cables from chips in [first, first + count) to chips in [other, other + other_count).
  [[nodiscard]] int links_between(int first, int count, int other, int other_count) const;
  /// Hops from a chip to every chip; -1 where there is no way.
  [[nodiscard]] std::vector<int> hops_from(int chip) const;
  /// Most hops between any two chips. Takes chips() searches.
  [[nodiscard]] int diameter() const;

 private:
  Topology() = default;
  void wire(int level, Wiring wiring);
  void wire_complete(int level, int unit, int chip, int port);
  void wire_dragonfly(int level, int unit, int chip, int port);
  void wire_ring(int level, int unit, int chip, int port);
  void wire_chain(int level, int unit, int chip, int port);
  void connect(int level, Port from, int unit, int chip, int port);

  int chips_ = 1;
  std::vector<int> units_;
  std::vector<LinkClass> classes_;
  std::vector<Port> peers_;  // by chip, then link
};

/// Bytes per second of one link in one direction: a vector every interval.
[[nodiscard]] BytesPerSecond link_rate(const Geometry& geometry, int link);

}  // namespace tandem::lpu
