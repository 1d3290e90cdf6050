#include "models/lpu/stage_gang.hpp"

#include <algorithm>

#include "models/lpu/compiler/rank_share.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

// Ports behind those of the gang, the first to the West; the first two where none are left.
LinkPlan free_links(const Geometry& geometry, int chips) {
  const int receive = chips - 1 + (chips - 1) % 2;
  if (receive + 1 >= geometry.links.front().count) return {};
  return {receive, receive + 1};
}

// Hands a machine what the others of its gang send it: copies of what it sends itself.
class Mirror {
 public:
  Mirror(Machine& machine, const Geometry& geometry, const CompiledStage& stage,
         std::int64_t pass_cycles)
      : machine_(machine),
        geometry_(geometry),
        stage_(stage),
        pass_cycles_(pass_cycles),
        gang_(node_gang(geometry, stage.layout.ranks)) {}

  void carry() {
    const auto sent = machine_.sent();
    for (; carried_ < sent.size(); ++carried_) {
      LinkVector vector = sent[carried_];
      if (stage_.passes_on(vector.link, vector.cycle, pass_cycles_)) continue;
      vector.link = gang_.topology.peer(0, vector.link).link;
      vector.cycle += geometry_.link_class(vector.link).latency;
      machine_.deliver(vector);
    }
  }

 private:
  Machine& machine_;
  const Geometry& geometry_;
  const CompiledStage& stage_;
  std::int64_t pass_cycles_;
  NodeGang gang_;
  std::size_t carried_ = 0;
};

}  // namespace

NodeGang node_gang(const Geometry& geometry, std::int64_t chips) {
  const GangShape shape = gang_shape(geometry, chips);
  Topology topology = Topology::trays_of(geometry, shape.tray_chips(), shape.trays);
  Gang gang = first_chips(topology, shape.ranks);
  return {std::move(topology), std::move(gang), free_links(geometry, shape.tray_chips())};
}

Geometry geometry_of_share(const Geometry& geometry, std::int64_t chips) {
  if (chips == 1) return geometry;
  const GangShape shape = gang_shape(geometry, chips);
  return Topology::trays_of(geometry, shape.tray_chips(), shape.trays).with_links(geometry);
}

StageLayout layout_of_share(const Geometry& geometry, const Stage& stage, int slots,
                            std::int64_t max_context, int tokens) {
  const int ranks = static_cast<int>(stage.tensor);
  const GangShape gang = ranks == 1 ? GangShape{} : gang_shape(geometry, ranks);
  return make_layout(geometry, rank_stage(stage, ranks, ranks - 1), slots, max_context, tokens,
                     gang);
}

CompiledStage compile_share(const Geometry& geometry, const LatencyTable& latencies,
                            const std::string& chip, const Stage& stage, int slots,
                            std::int64_t max_context, const PassShape& pass) {
  if (stage.tensor == 1) {
    return compile_stage(geometry, latencies, chip, stage, slots, max_context, {}, pass);
  }
  const NodeGang node = node_gang(geometry, stage.tensor);
  return compile_gang_stage(node.topology.with_links(geometry), latencies, chip, stage, slots,
                            max_context, {&node.topology, &node.gang}, node.links, pass);
}

RunResult run_share(Machine& machine, const Geometry& geometry, const CompiledStage& stage,
                    std::int64_t pass_cycles, const RunTimeline& timeline) {
  std::vector<LinkVector> inbound;
  for (const std::int64_t cycle : stage.receive_cycles) {
    inbound.push_back({stage.links.receive_link, cycle, {}});
  }
  if (stage.layout.ranks == 1) return machine.run(inbound, timeline);
  Mirror others(machine, geometry, stage, pass_cycles);
  machine.begin(timeline);
  for (const LinkVector& vector : inbound) machine.deliver(vector);
  const std::int64_t step = geometry.links.front().latency;
  for (std::int64_t until = step; machine.advance(until); until += step) others.carry();
  return machine.finish();
}

}  // namespace tandem::lpu
