// Which ALUs the compiler keeps for values that outlive an expression.
#pragma once

#include "models/lpu/geometry.hpp"

namespace tandem::lpu {

/// ALUs that keep a running value, a selection or a factor over several operations; nothing else
/// uses them. Every fourth ALU is a special one.
namespace pinned_alu {
[[nodiscard]] constexpr int sum(const Geometry& geometry) {
  return geometry.vxm_alus - 2;
}
[[nodiscard]] constexpr int best_value(const Geometry& geometry) {
  return geometry.vxm_alus - 3;
}
[[nodiscard]] constexpr int best_tile(const Geometry& geometry) {
  return geometry.vxm_alus - 4;
}
/// Factor of a one-byte matrix; up to three matrices are under way at a time. The first is also
/// that of the head, the others serve its running best meanwhile.
[[nodiscard]] constexpr int scale(const Geometry& geometry, int turn) {
  return turn == 0 ? geometry.vxm_alus - 6 : geometry.vxm_alus - 5 + turn;
}
/// Inverse root mean square of the norm under way.
[[nodiscard]] constexpr int inverse_rms(const Geometry& geometry) {
  return scale(geometry, 1);
}
}  // namespace pinned_alu

}  // namespace tandem::lpu
