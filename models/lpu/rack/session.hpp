// Several LPUs that run their programs in one time base. Nothing arbitrates: a vector sent in cycle
// c leaves the link in c + latency, and the other chip's Recv must issue in that very cycle.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/lpu/machine.hpp"
#include "models/lpu/rack/topology.hpp"

namespace tandem::lpu {

/// What a run of a rack did.
struct RackResult {
  std::vector<RunResult> chips;
  /// From the earliest start of a chip to the end of the last one.
  std::int64_t cycles = 0;
  std::int64_t vectors = 0;  ///< over all links
};

/// The machines of a topology.
///
/// Contract:
///  - all chips run one clock (the deskewed time of the rack); chip k's cycle 0 is cycle starts[k]
///  - run() throws ScheduleError at the first fault, with the chip's number in the message: what a
///    machine finds, and H6 for a vector that is sent over an open port or reaches a chip before
///    its program began
///  - the answer does not depend on the order in which chips are advanced: they go in steps no
///    longer than the shortest link, so nothing sent within a step arrives within it
class RackSession {
 public:
  RackSession(const Topology& topology, const Geometry& chip, const LatencyTable& latencies,
              bool functional);
  [[nodiscard]] const Topology& topology() const { return topology_; }
  /// The chips' geometry, with the topology's links.
  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] Machine& machine(int chip) { return machines_[static_cast<std::size_t>(chip)]; }
  /// What comes to a chip from outside the rack in the next run, by the chip's own cycles.
  void deliver(int chip, LinkVector vector);
  /// Whether a vector, by the sender's cycle, leaves the rack.
  using Leaves = std::function<bool(const LinkVector&)>;
  /// `starts`: first cycle of every chip, none below zero; empty = all zero.
  RackResult run(std::span<const std::int64_t> starts = {}, const Leaves& leaves = {});

 private:
  [[nodiscard]] std::int64_t start_of(std::size_t chip) const;
  void advance(std::int64_t until, const Leaves& leaves);
  void carry(std::size_t chip, const Leaves& leaves);
  template <class Step>
  auto on_chip(std::size_t chip, Step step) -> decltype(step());

  Topology topology_;
  Geometry geometry_;
  std::vector<Machine> machines_;
  std::vector<std::int64_t> starts_;
  std::vector<std::size_t> carried_;                 // of each machine's sent vectors
  std::vector<std::pair<int, LinkVector>> outside_;  // what comes from there, by chip
  std::vector<bool> busy_;
  std::int64_t vectors_ = 0;
};

/// A send without its receive or the other way round, in words; empty when every vector that the
/// programs of all chips send is received in its very cycle. Static: only queues are walked, with
/// registers at zero. `starts` as in RackSession::run.
[[nodiscard]] std::vector<std::string> find_unmatched(const Topology& topology,
                                                      std::span<const Program> programs,
                                                      const LatencyTable& latencies,
                                                      std::span<const std::int64_t> starts = {});

}  // namespace tandem::lpu
