// What compiled programs say of chips and time, beside the closed form of `tandem lpu fit`.
#pragma once

#include <string>

#include "models/lpu/geometry.hpp"
#include "models/lpu/partition/partition.hpp"
#include "sim/lower/chip_model.hpp"

namespace tandem::entry {

/// The shortest pipeline of gangs that holds a model, or why there is none.
struct CompiledFit {
  std::int64_t stages = 0;  ///< with the gangs of the head; 0: see `obstacle`
  std::int64_t chips = 0;
  double step_s = 0;  ///< of one token at the end of the context
  std::string obstacle;
};

/// Lays out, compiles and runs every kind of stage: layers are whole, programs are in SRAM, and as
/// many requests as asked keep their KV. The step counts a link's latency per hop.
[[nodiscard]] CompiledFit compiled_fit(const ChipModel& chip, const lpu::Geometry& geometry,
                                       const NeuralNetwork& network,
                                       const lpu::FitQuestion& question, int tensor);

}  // namespace tandem::entry
