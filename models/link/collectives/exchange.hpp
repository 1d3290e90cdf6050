// Moves real values by a schedule.
#pragma once

#include <vector>

#include "models/link/collectives/schedule.hpp"
#include "sim/numerics/tensor.hpp"

namespace tandem::link {

/// Every rank's buffer after the schedule has run on `inputs`, one whole buffer per rank. Values
/// are rounded to `type` when they are sent and at the end; sums are made in float32. Throws
/// ModelError when a buffer has another size than the schedule's.
[[nodiscard]] std::vector<std::vector<float>> move_values(
    const Schedule& schedule, ElementType type, const std::vector<std::vector<float>>& inputs);

/// The results of `op` by `schedule`: all_gather takes each rank's piece and gives the whole along
/// the first dimension, reduce_scatter takes the whole and gives pieces, the others keep the shape.
[[nodiscard]] std::vector<Tensor> exchange_tensors(const Schedule& schedule, CollectiveOp op,
                                                   ElementType type,
                                                   const std::vector<Tensor>& inputs);

}  // namespace tandem::link
