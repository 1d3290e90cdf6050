// The recurrent step of a Gated DeltaNet layer by itself: projected vectors in SRAM to normed and
// gated outputs in SRAM, states and convolution inputs updated.
#pragma once

#include <string>
#include <vector>

#include "models/lpu/compiler/delta_layout.hpp"

namespace tandem::lpu {

/// A compiled step and where its operands lie: fp32, in the lanes that `plan` gives.
struct CompiledDelta {
  DeltaPlan plan;
  DeltaLayerRows layer;
  DeltaBuffers buffers;
  std::vector<Rows> queries, keys;  ///< by key vector: projections
  std::vector<Rows> values, z;      ///< by pack
  std::vector<Rows> gates;          ///< by gate vector: a and b
  std::vector<Rows> outputs;        ///< by pack
  Program program;
  std::int64_t cycles = 0;    ///< as the machine counts them
  std::int64_t answered = 0;  ///< of them, until the last output is written
};

/// Compiles a step for `slots` requests; host registers are those of delta_registers().
/// Deterministic. Throws ModelError for shapes that the plan refuses.
[[nodiscard]] CompiledDelta compile_delta(const Geometry& geometry, const LatencyTable& latencies,
                                          const std::string& chip,
                                          const ops::GatedDeltaShape& shape, float norm_epsilon,
                                          int slots);

}  // namespace tandem::lpu
