#include "models/lpu/partition/partition.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "models/lpu/collective/programs.hpp"
#include "models/lpu/compiler/compiler.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/describe/tensors.hpp"

namespace tandem::lpu {
namespace {

// Tiles of a matrix on the fullest of `tensor` chips.
std::int64_t tiles_of(std::int64_t out, std::int64_t in, std::int64_t lanes, int tensor) {
  const std::int64_t rows = ceil_div(out, lanes);
  const std::int64_t columns = ceil_div(in, lanes);
  return std::min(ceil_div(rows, tensor) * columns, rows * ceil_div(columns, tensor));
}

/// Latencies of what a token's operators do one after the other, nothing in their way.
class Chain {
 public:
  Chain(const Geometry& geometry, const LatencyTable& latencies)
      : geometry_(geometry), latencies_(latencies) {}
  /// From the vector unit into the planes and back.
  [[nodiscard]] std::int64_t product() const {
    return 2 * geometry_.mxm_position(Hemisphere::East) + latencies_.mxm_result;
  }
  /// Through the switch unit and back.
  [[nodiscard]] std::int64_t permute() const {
    return 2 * geometry_.sxm_position(Hemisphere::East) + latencies_.sxm_cross;
  }
  /// Over all lanes: one pass through the switch unit per radix, and a tree of additions.
  [[nodiscard]] std::int64_t reduce() const {
    std::int64_t cycles = 0;
    for (const int radix : reduction_radices(geometry_.lanes())) {
      const int depth = std::bit_width(static_cast<unsigned>(radix - 1));
      cycles += permute() + std::int64_t{depth} * latencies_.vxm_simple;
    }
    return cycles;
  }
  [[nodiscard]] std::int64_t norm() const {
    return latencies_.mem_read + 3 * latencies_.vxm_simple + reduce() + latencies_.vxm_special;
  }
  [[nodiscard]] std::int64_t attention() const {
    return norm() + 4 * product() + 2 * permute() + reduce() + 2 * latencies_.vxm_special;
  }
  [[nodiscard]] std::int64_t feed_forward() const {
    return norm() + 2 * product() + 2 * latencies_.vxm_special + latencies_.vxm_simple;
  }
  /// Scores of the experts, then the best one `top_k` times.
  [[nodiscard]] std::int64_t route(std::int64_t top_k) const {
    return product() + top_k * reduce();
  }

 private:
  const Geometry& geometry_;
  const LatencyTable& latencies_;
};

void add_matrices(const NeuralNetwork& network, const LayerKind& kind, const Geometry& geometry,
                  const FitQuestion& question, int tensor, LayerDemand& demand) {
  const std::int64_t lanes = geometry.lanes();
  const std::int64_t tile = lanes * lanes * question.weight_bytes;
  for (const TensorSpec& spec : tensors_of(network, kind)) {
    const std::size_t rank = spec.shape.size();
    if (rank < 2) continue;
    const bool is_expert = rank == 3;
    const std::int64_t copies = is_expert ? spec.shape[0] : 1;
    const std::int64_t used = is_expert ? std::min(copies, kind.ffn.experts->router.top_k) : 1;
    const std::int64_t bytes =
        tiles_of(spec.shape[rank - 2], spec.shape[rank - 1], lanes, tensor) * tile;
    demand.weights += copies * bytes;
    demand.active += used * bytes;
  }
}

}  // namespace

LayerDemand demand_of(const NeuralNetwork& network, const LayerKind& kind, const Geometry& geometry,
                      const LatencyTable& latencies, const FitQuestion& question, int tensor) {
  LayerDemand demand;
  add_matrices(network, kind, geometry, question, tensor, demand);
  const std::int64_t lanes = geometry.lanes();
  const std::int64_t kv = kv_elements_per_token(kind) * question.kv_bytes;
  demand.kv_per_token = ceil_div(ceil_div(kv, tensor), lanes) * lanes;
  const std::int64_t window = cache_window(kind);
  demand.kv_tokens = window > 0 ? std::min(window, question.context) : question.context;
  const Chain chain(geometry, latencies);
  demand.chain = chain.attention() + chain.feed_forward();
  if (std::holds_alternative<LatentAttention>(kind.mixer)) {
    demand.chain += 2 * chain.product() + chain.norm();  // down to the ranks and up again
  }
  if (kind.ffn.experts) demand.chain += chain.route(kind.ffn.experts->router.top_k);
  demand.all_reduces = tensor > 1 ? 2 : 0;
  return demand;
}

LayerDemand head_demand(const NeuralNetwork& network, const Geometry& geometry,
                        const LatencyTable& latencies, const FitQuestion& question, int tensor) {
  const std::int64_t lanes = geometry.lanes();
  const Chain chain(geometry, latencies);
  LayerDemand demand;
  demand.weights = tiles_of(network.vocabulary, network.hidden, lanes, tensor) * lanes * lanes *
                   question.weight_bytes;
  demand.active = demand.weights;
  demand.chain = chain.norm() + chain.product() + chain.reduce();
  return demand;
}

std::int64_t layer_cycles(const LayerDemand& demand, const Geometry& geometry,
                          std::int64_t all_reduce_cycles) {
  const std::int64_t rate =
      std::int64_t{1} * geometry.planes * geometry.weight_streams_per_plane * geometry.lanes();
  const std::int64_t streamed = demand.active + demand.kv_per_token * demand.kv_tokens;
  return ceil_div(streamed, rate) + demand.chain + demand.all_reduces * all_reduce_cycles;
}

namespace {

// Of `vectors` fp32 vectors on the first `tensor` chips, without the program's barrier and the
// last superlanes.
std::int64_t all_reduce_cycles(const Topology& topology, const Geometry& geometry,
                               const LatencyTable& latencies, int tensor, int vectors) {
  if (tensor == 1) return 0;
  const Gang gang = first_chips(topology, tensor);
  const CollectiveChip chip{geometry, latencies};
  const ReducePlan plan = fastest_plan(topology, gang, chip, vectors);
  return compile_all_reduce(topology, gang, chip, plan, vectors).cycles - latencies.barrier -
         geometry.superlanes;
}

// The residual stream from stage to stage, a share of it from every chip of the group.
std::int64_t stage_hop(const Geometry& geometry, const LatencyTable& latencies, int tensor,
                       std::int64_t vectors) {
  const LinkClass& link = geometry.links.front();
  const std::int64_t chip = latencies.mem_read + latencies.mem_write_to_read +
                            std::int64_t{geometry.c2c_position(Hemisphere::East)};
  return link.latency + chip + (ceil_div(4 * vectors, tensor) - 1) * link.cycles_per_vector;
}

}  // namespace

PartitionChoice partition_of(const NeuralNetwork& network, const Topology& topology,
                             const Geometry& geometry, const LatencyTable& latencies,
                             const FitQuestion& question, int tensor, std::int64_t least_stages) {
  if (question.reserve < 0 || question.reserve >= 1) {
    throw ModelError("lpu.partition: the reserve is a share of the SRAM in [0, 1)");
  }
  const auto usable = static_cast<std::int64_t>(
      std::floor(static_cast<double>(geometry.sram().count()) * (1 - question.reserve)));
  const std::int64_t vectors = ceil_div(network.hidden, geometry.lanes());
  PartitionChoice choice;
  choice.tensor = tensor;
  choice.all_reduce_cycles =
      all_reduce_cycles(topology, geometry, latencies, tensor, static_cast<int>(vectors));
  std::int64_t held = 0;
  const auto add = [&](const LayerDemand& demand) {
    held += demand.weights + demand.kv_per_token * demand.kv_tokens * question.requests;
    choice.cycles += layer_cycles(demand, geometry, choice.all_reduce_cycles);
  };
  for (std::int64_t layer = 0; layer < network.layers(); ++layer) {
    add(demand_of(network, network.layer(layer), geometry, latencies, question, tensor));
  }
  add(head_demand(network, geometry, latencies, question, tensor));
  choice.stages = std::max(ceil_div(held, usable), least_stages);
  choice.chips = choice.stages * tensor;
  choice.bytes = held * tensor;
  choice.cycles += (choice.stages - 1) * stage_hop(geometry, latencies, tensor, vectors);
  return choice;
}

std::vector<PartitionChoice> partitions_of(const NeuralNetwork& network, const Topology& topology,
                                           const Geometry& geometry, const LatencyTable& latencies,
                                           const FitQuestion& question) {
  std::vector<PartitionChoice> choices;
  for (int tensor = 1; tensor <= topology.chips_below(1); tensor *= 2) {
    choices.push_back(partition_of(network, topology, geometry, latencies, question, tensor));
  }
  return choices;
}

const PartitionChoice& fewest_chips(const std::vector<PartitionChoice>& choices) {
  return *std::min_element(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
    return a.chips != b.chips ? a.chips < b.chips : a.cycles < b.cycles;
  });
}

const PartitionChoice& shortest_step(const std::vector<PartitionChoice>& choices) {
  return *std::min_element(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
    return a.cycles != b.cycles ? a.cycles < b.cycles : a.chips < b.chips;
  });
}

}  // namespace tandem::lpu
