// Operations in which several chips exchange tensors, and the interface through which the engine
// knows what they cost. Implemented in models/link.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/describe/scenario.hpp"
#include "sim/lower/collective_op.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/numerics/element.hpp"
#include "sim/numerics/tensor.hpp"

namespace tandem {

/// Who provides the operation: a kernel of the framework that is part of its graph and reads its
/// peers' memory, or the communication library with its launch, channels and protocols.
enum class CollectiveEntry : std::uint8_t { InGraph, Library };

/// One operation over a group of ranks.
struct Collective {
  CollectiveOp op = CollectiveOp::AllReduce;
  CollectiveEntry entry = CollectiveEntry::InGraph;
  /// The buffer of the common benchmarks: whole output (all_gather), whole input (all_reduce,
  /// reduce_scatter), send buffer of one rank (all_to_all), the message (send_recv). Not used by
  /// dispatch and combine.
  Bytes bytes;
  ElementType type = ElementType::Bfloat16;
  /// Dispatch and combine: rows that every rank brings, of `hidden` elements, each to the distinct
  /// ranks of its `top_k` of `experts`; experts lie in equal runs on the ranks.
  std::int64_t tokens = 0, hidden = 0, top_k = 0, experts = 0;
  MoeTransport transport = MoeTransport::LowLatency;
  /// Bytes on the wire per row besides its elements (scales, indices).
  Bytes row_extra;
  std::int64_t sms = 0;  ///< of every rank given to it; 0: as many as it asks for
  bool operator==(const Collective&) const = default;
};

/// What a collective cost by both clocks.
struct CollectiveCost {
  Picoseconds time;       ///< from the moment all ranks have reached it until the last is through
  Picoseconds floor;      ///< most loaded port at full rate and latencies of the longest way
  std::string algorithm;  ///< "one_shot", "two_shot", "ring", "tree", "in_switch", "direct", ...
  std::string
      protocol;       ///< of the messages: "ll", "ll128", "simple", "graph", "low_latency", "bulk"
  std::string bound;  ///< "latency", "link", "sm", "launch"
  std::map<std::string, std::int64_t> link_bytes;  ///< payload times links crossed, by link class
  std::int64_t sms = 0;                            ///< busy with it on every rank
  Bytes memory;                                    ///< HBM bytes read and written, per rank
};

/// Collectives over the chips of a system.
///
/// Contract:
///  - answers depend only on the arguments; time >= floor, which is computed apart;
///  - exchange() moves the values by the very schedule that is timed: sums are made in its order.
///  - what cannot run (a rank twice, sizes that ranks do not divide where the operation demands it)
///    throws ModelError.
class CollectiveModel {
 public:
  virtual ~CollectiveModel() = default;
  [[nodiscard]] virtual CollectiveCost cost(const std::vector<ChipAddress>& ranks,
                                            const Collective& collective) = 0;
  /// Least floor of all that may run it; nothing is simulated where the model can tell.
  [[nodiscard]] virtual Picoseconds floor(const std::vector<ChipAddress>& ranks,
                                          const Collective& collective) {
    return cost(ranks, collective).floor;
  }
  /// Runs the collective on real tensors, one per rank (all_to_all: equal pieces in the order of
  /// ranks). Returns each rank's result: all_reduce and all_gather the same everywhere,
  /// reduce_scatter each rank's piece. Sums are rounded to `collective.type` where they travel.
  /// Dispatch and combine are not asked for here: what they move depends on the routing.
  [[nodiscard]] virtual std::vector<Tensor> exchange(const std::vector<ChipAddress>& ranks,
                                                     const Collective& collective,
                                                     const std::vector<Tensor>& inputs) = 0;
};

}  // namespace tandem
