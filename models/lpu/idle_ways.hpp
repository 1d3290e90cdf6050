// Unloaded latencies between the units of a chip, for floors. Shares no code with the compiler.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>

#include "models/lpu/geometry.hpp"

namespace tandem::lpu {

/// Ways of one vector over an idle chip, in cycles. SRAM means the slice next to the vector unit.
struct Ways {
  std::int64_t simple, special, load, store, to_plane, from_plane, result, install, cross;
  std::int64_t to_switch, from_switch, lanes;

  Ways(const Geometry& geometry, const LatencyTable& t)
      : simple(t.vxm_simple),
        special(t.vxm_special),
        load(t.mem_read + 1),
        store(1 + t.mem_write_to_read),
        to_plane(t.mem_read + std::abs(geometry.mxm_position(Hemisphere::East)) - 1),
        from_plane(std::abs(geometry.mxm_position(Hemisphere::East))),
        result(t.mxm_result),
        install(geometry.lw_issues() - 1 + t.mxm_load + t.mxm_install),
        cross(t.sxm_cross),
        to_switch(t.mem_read + std::abs(geometry.sxm_position(Hemisphere::East)) - 1),
        from_switch(std::abs(geometry.sxm_position(Hemisphere::East))),
        lanes(over_lanes(geometry, t, geometry.lanes())) {}

  // Read, product, and the sums back at the vector unit.
  [[nodiscard]] std::int64_t product() const { return to_plane + result + from_plane; }

  // A reduction over runs of `width` lanes: rounds of rotations through the switch unit, radices 4,
  // 5, 3 and 2; a round of four or three takes two operations after it, one of five three, one of
  // two one.
  static std::int64_t over_lanes(const Geometry& geometry, const LatencyTable& t,
                                 std::int64_t width) {
    const std::int64_t round = 2 * std::abs(geometry.sxm_position(Hemisphere::East)) + t.sxm_cross;
    std::int64_t total = 0;
    std::int64_t rest = width;
    for (const auto& [radix, operations] :
         {std::array{4, 2}, std::array{5, 3}, std::array{3, 2}, std::array{2, 1}}) {
      for (; rest % radix == 0; rest /= radix) total += round + operations * t.vxm_simple;
    }
    return total;
  }
};

}  // namespace tandem::lpu
