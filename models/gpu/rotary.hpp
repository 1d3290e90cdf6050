// Rotary position embedding as a GPU kernel has it: a table of angles per kind of layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "sim/numerics/ops/rope.hpp"

namespace tandem::gpu {

/// Cosine and sine per position and pair (Su et al., RoFormer, 2021), with the scalings and partial
/// rotations that ops::Rope describes.
class RopeTable {
 public:
  RopeTable() = default;
  /// For heads of `head_dim` at `positions` positions.
  RopeTable(const ops::Rope& rope, std::int64_t head_dim, std::int64_t positions);
  /// Rotates one head in place; elements past the last pair stay.
  void rotate(std::int64_t position, std::span<float> head) const {
    rotate(position, head, layout_);
  }
  /// The same with pairs that lie otherwise.
  void rotate(std::int64_t position, std::span<float> head, ops::RopeLayout layout) const;

 private:
  ops::RopeLayout layout_ = ops::RopeLayout::HalfSplit;
  std::int64_t pairs_ = 0;
  std::vector<float> cosine_;
  std::vector<float> sine_;
};

}  // namespace tandem::gpu
