#include "models/lpu/geometry.hpp"

#include <fmt/format.h>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

int mirrored(Hemisphere side, int position) {
  return side == Hemisphere::East ? position : -position;
}

char letter(Hemisphere side) {
  return side == Hemisphere::East ? 'E' : 'W';
}

}  // namespace

int Geometry::link_count() const {
  int total = 0;
  for (const LinkClass& link : links) total += link.count;
  return total;
}

const LinkClass& Geometry::link_class(int link) const {
  for (const LinkClass& candidate : links) {
    if (link < candidate.count) return candidate;
    link -= candidate.count;
  }
  throw ModelError("lpu: the chip has no such link");
}

int Geometry::mem_position(int slice) const {
  const int index = slice % mem_slices_per_hemisphere;
  return mirrored(mem_hemisphere(slice), 1 + index / mem_slices_per_sr);
}

int Geometry::sxm_position(Hemisphere side) const {
  const int registers = (mem_slices_per_hemisphere + mem_slices_per_sr - 1) / mem_slices_per_sr;
  return mirrored(side, 1 + registers);
}

int Geometry::mxm_position(Hemisphere side) const {
  return sxm_position(side) + mirrored(side, 1);
}

int Geometry::queue_position(int queue) const {
  if (queue < mem_slices()) return mem_position(queue);
  if (queue < mxm_weights_queue(0)) return vxm_position();
  if (queue < sxm_queue(Hemisphere::West, 0)) {
    return mxm_position(plane_hemisphere((queue - mxm_weights_queue(0)) / 2));
  }
  if (queue < sxm_queue(Hemisphere::East, 0)) return sxm_position(Hemisphere::West);
  if (queue < c2c_queue(0)) return sxm_position(Hemisphere::East);
  return c2c_position(link_hemisphere(queue - c2c_queue(0)));
}

std::string Geometry::queue_name(int queue) const {
  if (queue < mem_slices()) {
    return fmt::format("MEM_{}{}", letter(mem_hemisphere(queue)),
                       queue % mem_slices_per_hemisphere);
  }
  if (queue < mxm_weights_queue(0)) return fmt::format("VXM{}", queue - vxm_queue(0));
  if (queue < sxm_queue(Hemisphere::West, 0)) {
    const int index = queue - mxm_weights_queue(0);
    return fmt::format("MXM{}.{}", index / 2, index % 2 == 0 ? "weights" : "compute");
  }
  if (queue < c2c_queue(0)) {
    const int index = queue - sxm_queue(Hemisphere::West, 0);
    return fmt::format("SXM_{}{}", index < sxm_queues_per_hemisphere ? 'W' : 'E',
                       index % sxm_queues_per_hemisphere);
  }
  return fmt::format("C2C{}", queue - c2c_queue(0));
}

}  // namespace tandem::lpu
