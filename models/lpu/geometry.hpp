// The shape of an LPU: slices, banks, streams, planes, queues and where each sits on the chip.
// Data from the chip file; nothing in the machine or the compiler assumes a particular chip.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace tandem::lpu {

/// East is the direction of growing position; the VXM sits at position 0.
enum class Hemisphere : std::uint8_t { West, East };
enum class Direction : std::uint8_t { West, East };

/// One kind of chip-to-chip link port.
struct LinkClass {
  std::string name;
  int count = 0;              ///< ports of this class on the chip
  int cycles_per_vector = 0;  ///< initiation interval of Send
  int latency = 0;            ///< cycles from Send to the matching Recv, SRAM to SRAM
};

/// Geometry of one chip. Positions and distances as in the machine description: VXM 0,
/// MEM slice i at 1 + i / mem_slices_per_sr, SXM and C2C behind the last MEM slice, MXM behind
/// them.
struct Geometry {
  Hertz clock{};
  int superlanes = 20;
  int lanes_per_superlane = 16;
  int streams_per_direction = 32;
  int mem_slices_per_hemisphere = 44;
  int banks = 2;
  int rows_per_bank = 4096;
  int mem_slices_per_sr = 2;
  int planes = 4;        ///< planes 0..1 sit in the West hemisphere, 2..3 in the East
  int plane_rows = 320;  ///< K of a plane for one-byte types
  int plane_columns = 320;
  int weight_streams_per_plane = 16;
  int accumulators = 128;  ///< vectors of plane_columns x 4 B per plane
  int vxm_alus = 16;
  int sxm_queues_per_hemisphere = 8;
  int hac_period = 252;          ///< cycles between two overflows of the hardware aligned counter
  std::vector<LinkClass> links;  ///< link l belongs to the class that covers index l in order
  /// Ports to the chips of the same index in other trays, for gangs that are more than one tray:
  /// those have them behind `links`. The first class of links joins the chips of a tray.
  LinkClass tray_links;

  [[nodiscard]] int lanes() const { return superlanes * lanes_per_superlane; }
  [[nodiscard]] int vector_bytes() const { return lanes(); }
  [[nodiscard]] int mem_slices() const { return 2 * mem_slices_per_hemisphere; }
  [[nodiscard]] int link_count() const;
  [[nodiscard]] const LinkClass& link_class(int link) const;
  [[nodiscard]] Bytes sram() const {
    return Bytes(std::int64_t{1} * mem_slices() * banks * rows_per_bank * vector_bytes());
  }
  /// True where MEM reaches the planes over more streams than the general ones (a wide weight
  /// path): then weight streams are ids streams_per_direction.. of the outward direction and carry
  /// nothing else. Otherwise planes load from the general outward streams.
  [[nodiscard]] bool has_wide_weight_path() const {
    return weight_streams_per_hemisphere() > streams_per_direction;
  }
  [[nodiscard]] int weight_streams_per_hemisphere() const {
    return planes / 2 * weight_streams_per_plane;
  }
  /// Streams a direction has in all, wide weight streams included.
  [[nodiscard]] int total_streams_per_direction() const {
    return streams_per_direction + (has_wide_weight_path() ? weight_streams_per_hemisphere() : 0);
  }
  [[nodiscard]] int lw_issues() const { return plane_columns / weight_streams_per_plane; }

  // Signed positions in stream-register hops; West is negative.
  [[nodiscard]] int vxm_position() const { return 0; }
  /// Slices count over the whole chip: 0..S-1 West (0 next to the VXM), S..2S-1 East.
  [[nodiscard]] Hemisphere mem_hemisphere(int slice) const {
    return slice < mem_slices_per_hemisphere ? Hemisphere::West : Hemisphere::East;
  }
  [[nodiscard]] int mem_position(int slice) const;
  [[nodiscard]] int sxm_position(Hemisphere side) const;
  [[nodiscard]] int c2c_position(Hemisphere side) const { return sxm_position(side); }
  [[nodiscard]] int mxm_position(Hemisphere side) const;
  [[nodiscard]] Hemisphere plane_hemisphere(int plane) const {
    return plane < planes / 2 ? Hemisphere::West : Hemisphere::East;
  }
  /// Even links leave on the West side, odd links on the East side.
  [[nodiscard]] Hemisphere link_hemisphere(int link) const {
    return link % 2 == 0 ? Hemisphere::West : Hemisphere::East;
  }

  // Queues: MEM slices first, then VXM ALUs, MXM (weights, compute) per plane, SXM West, SXM East,
  // then one C2C queue per link.
  [[nodiscard]] int mem_queue(int slice) const { return slice; }
  [[nodiscard]] int vxm_queue(int alu) const { return mem_slices() + alu; }
  [[nodiscard]] int mxm_weights_queue(int plane) const { return vxm_queue(vxm_alus) + 2 * plane; }
  [[nodiscard]] int mxm_compute_queue(int plane) const { return mxm_weights_queue(plane) + 1; }
  [[nodiscard]] int sxm_queue(Hemisphere side, int unit) const {
    return mxm_weights_queue(planes) + (side == Hemisphere::East ? sxm_queues_per_hemisphere : 0) +
           unit;
  }
  [[nodiscard]] int c2c_queue(int link) const {
    return mxm_weights_queue(planes) + 2 * sxm_queues_per_hemisphere + link;
  }
  [[nodiscard]] int queue_count() const { return c2c_queue(link_count()); }
  /// Where the slice of a queue sits.
  [[nodiscard]] int queue_position(int queue) const;
  /// A readable name such as "MEM_E12", "VXM3", "MXM2.weights", "SXM_W0", "C2C5".
  [[nodiscard]] std::string queue_name(int queue) const;
};

/// Latencies in cycles. The machine and the compiler each hold their own copy: a schedule made
/// with one wrong entry must be caught by the other.
struct LatencyTable {
  int mem_read = 2;
  int mem_write_to_read = 2;
  int mem_gather = 3;
  int vxm_simple = 2;
  int vxm_special = 5;
  int mxm_load = 1;     ///< LW: cell consumed at t, shadow column valid at t + 1
  int mxm_install = 1;  ///< IW: active array valid at t + 1
  int mxm_result = 26;  ///< ACC may issue this long after the ABC it reads
  int sxm_cross = 22;   ///< Shift, Permute, Sel3
  int sxm_distribute = 2;
  int sxm_transpose = 4;
  int sxm_rotate = 4;
  int icu_fetch = 4;  ///< Ifetch: its words may be executed this long after its issue
  int barrier = 35;   ///< Notify to resume of all queues
  bool operator==(const LatencyTable&) const = default;
};

}  // namespace tandem::lpu
