// Long runs of equal layers in a pass: a few of them show what all of them do.
#pragma once

#include <cstdint>

#include "sim/lower/batch.hpp"
#include "sim/lower/kernel.hpp"

namespace tandem::gpu {

/// A stage without most layers of its longest run of equal ones.
///
/// A layer finds of the layers before what least-recently-used replacement left in L2: that follows
/// from the bytes that were touched since, so from the layers just before. Within a run it is the
/// same for all layers but the first ones.
struct ShortPass {
  Stage stage;
  std::int64_t settled = -1;  ///< the layer that stands for those left out; -1: none is
  std::int64_t times = 1;     ///< how often it counts
  [[nodiscard]] std::int64_t times_of(const Kernel& kernel) const {
    return settled >= 0 && kernel.layer == settled ? times : 1;
  }
};
[[nodiscard]] ShortPass short_pass(const Stage& stage);

}  // namespace tandem::gpu
