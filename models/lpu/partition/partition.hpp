// How many LPUs hold a model, and how long a token takes at best: closed forms over padded tiles,
// no schedule. A bound to compare compiled programs with, and the first answer of `tandem lpu fit`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/lpu/rack/topology.hpp"
#include "sim/describe/neural_network.hpp"

namespace tandem::lpu {

/// What the chips have to hold and do.
struct FitQuestion {
  std::int64_t context = 8192;    ///< tokens of every request
  std::int64_t requests = 1;      ///< in flight: each keeps its KV in every stage
  std::int64_t weight_bytes = 1;  ///< per element
  std::int64_t kv_bytes = 1;
  double reserve = 0.1;  ///< share of SRAM for programs, tables and buffers
};

/// One layer (or the head) on one of `tensor` chips.
struct LayerDemand {
  std::int64_t weights = 0;       ///< bytes of padded tiles that the chip holds
  std::int64_t active = 0;        ///< bytes that one token streams into the planes
  std::int64_t kv_per_token = 0;  ///< bytes, padded to vectors
  std::int64_t kv_tokens = 0;     ///< of a request: the context or the layer's window
  std::int64_t chain = 0;  ///< cycles: unloaded latencies of operators that follow each other
  std::int64_t all_reduces = 0;
};

/// What the head and layer `index` ask of each of `tensor` chips. Matrices are cut along outputs or
/// inputs, whichever leaves fewer tiles to the fullest chip; experts are sliced over all chips; KV
/// is split by heads, latent KV by context.
[[nodiscard]] LayerDemand demand_of(const NeuralNetwork& network, const LayerKind& kind,
                                    const Geometry& geometry, const LatencyTable& latencies,
                                    const FitQuestion& question, int tensor);
[[nodiscard]] LayerDemand head_demand(const NeuralNetwork& network, const Geometry& geometry,
                                      const LatencyTable& latencies, const FitQuestion& question,
                                      int tensor);

/// Cycles of one layer for one token: streams of weights and KV at the rate of the weight path, the
/// chain of latencies and the all-reduces one after the other (closed form C8).
[[nodiscard]] std::int64_t layer_cycles(const LayerDemand& demand, const Geometry& geometry,
                                        std::int64_t all_reduce_cycles);

/// A tensor group times a pipeline of stages; stages may be cut between operators.
struct PartitionChoice {
  int tensor = 1;
  std::int64_t stages = 0;
  std::int64_t chips = 0;
  std::int64_t bytes = 0;              ///< weights and KV over all chips, padded
  std::int64_t all_reduce_cycles = 0;  ///< one of them
  std::int64_t cycles = 0;             ///< of one token through all stages
};

/// The choice for groups of `tensor` chips, of at least `least_stages` stages. Throws ModelError
/// for a reserve outside [0, 1).
[[nodiscard]] PartitionChoice partition_of(const NeuralNetwork& network, const Topology& topology,
                                           const Geometry& geometry, const LatencyTable& latencies,
                                           const FitQuestion& question, int tensor,
                                           std::int64_t least_stages = 1);

/// The choice for every tensor group that one unit of level 0 allows (powers of two), smallest
/// first. Throws as partition_of().
[[nodiscard]] std::vector<PartitionChoice> partitions_of(const NeuralNetwork& network,
                                                         const Topology& topology,
                                                         const Geometry& geometry,
                                                         const LatencyTable& latencies,
                                                         const FitQuestion& question);
[[nodiscard]] const PartitionChoice& fewest_chips(const std::vector<PartitionChoice>& choices);
[[nodiscard]] const PartitionChoice& shortest_step(const std::vector<PartitionChoice>& choices);

}  // namespace tandem::lpu
