// The constants that SRAM holds before the first pass: weights as column tiles, norm weights,
// masks, one-hot vectors.
#pragma once

#include <functional>
#include <span>

#include "models/lpu/compiler/layout.hpp"
#include "sim/lower/weights.hpp"

namespace tandem::lpu {

/// Receives the bytes of one row.
using RowWriter = std::function<void(const Place&, std::span<const std::uint8_t>)>;

/// Writes one vector value: `values` are encoded as `type` and padded with zeros to a full vector.
void write_vector(const Geometry& geometry, const Rows& rows, Type type,
                  std::span<const float> values, const RowWriter& write);

/// Writes everything constant of a stage. One-byte weights get one factor per tensor, the largest
/// magnitude over the largest finite value of the format.
void write_constants(const Geometry& geometry, const StageLayout& layout, const Weights& weights,
                     const RowWriter& write);

}  // namespace tandem::lpu
