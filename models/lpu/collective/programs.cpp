#include "models/lpu/collective/programs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "models/lpu/compiler/emitter.hpp"
#include "models/lpu/compiler/work.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

// Four slices of a hemisphere next to the vector unit, a byte in each.
VectorBlock block_at(const Geometry& geometry, Hemisphere side, int bank, int row, int vectors) {
  VectorBlock block;
  block.vectors = vectors;
  const int first = side == Hemisphere::East ? geometry.mem_slices_per_hemisphere : 0;
  for (int byte = 0; byte < 4; ++byte) block.first.push_back({first + byte, bank, row, 0});
  if (row + vectors > geometry.rows_per_bank) {
    throw ModelError(fmt::format("lpu.collective: {} vectors in a bank of {} rows", vectors,
                                 geometry.rows_per_bank));
  }
  return block;
}

CollectiveBlocks blocks_of(const Geometry& geometry, int input, int inbox, int output) {
  return {block_at(geometry, Hemisphere::West, 0, 0, input),
          block_at(geometry, Hemisphere::East, 0, 0, inbox),
          block_at(geometry, Hemisphere::West, 1, 0, output)};
}

std::vector<std::uint16_t> rows_used(const Geometry& geometry, const CollectiveBlocks& blocks) {
  std::vector<std::uint16_t> rows(index_of(geometry.mem_slices() * geometry.banks));
  for (const VectorBlock* block : {&blocks.input, &blocks.inbox, &blocks.output}) {
    for (const Place& place : block->first) {
      rows[index_of(place.slice * geometry.banks + place.bank)] =
          static_cast<std::uint16_t>(block->vectors);
    }
  }
  return rows;
}

// What `place` puts on a schedule, as one program per rank.
template <class Place>
CollectiveProgram compile(const Topology& topology, const Gang& gang, const CollectiveChip& chip,
                          const CollectiveBlocks& blocks, int vectors, Place place) {
  Scheduler scheduler(chip.geometry, chip.latencies, chip.latencies.barrier);
  RankRows rank_rows;
  Collective collective(scheduler, topology, gang, rank_rows);
  place(collective);
  Program program;
  emit_queues(scheduler, program);
  program.rows_used = rows_used(chip.geometry, blocks);
  CollectiveProgram result{{}, blocks, vectors, predict_cycles(scheduler).base};
  for (int rank = 0; rank < gang.size(); ++rank) {
    result.programs.push_back(rank_rows.bind(program, rank));
  }
  return result;
}

// The way from the root to every chip: the link over which the vector comes, and the links over
// which it goes on.
struct TreeNode {
  int chip = 0;
  int link = -1;
  std::int64_t latency = 0;
  std::vector<std::pair<int, int>> children;  // link, index in the tree
};

std::vector<TreeNode> shortest_tree(const Topology& topology, int root) {
  std::vector<TreeNode> tree{{root, -1, 0, {}}};
  std::vector<bool> reached(index_of(topology.chips()));
  reached[index_of(root)] = true;
  const Geometry geometry = topology.with_links({});
  for (std::size_t next = 0; next < tree.size(); ++next) {
    for (int link = 0; link < topology.links_per_chip(); ++link) {
      const Port to = topology.peer(tree[next].chip, link);
      if (!to.connected() || reached[index_of(to.chip)]) continue;
      reached[index_of(to.chip)] = true;
      tree[next].children.emplace_back(link, static_cast<int>(tree.size()));
      tree.push_back({to.chip, to.link, geometry.link_class(link).latency, {}});
    }
  }
  return tree;
}

// Takes what arrives in exactly these cycles; returns when each row may be read.
std::vector<std::int64_t> receive_rows(Scheduler& scheduler, const TreeNode& node,
                                       const std::vector<Place>& rows,
                                       const std::vector<std::int64_t>& arrivals) {
  std::vector<std::int64_t> readable;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Work work(scheduler);
    work.receive_row(rows[i], node.link, 0);
    if (work.place(arrivals[i]) != arrivals[i]) {
      throw ModelError("lpu.collective: a vector arrives while its way to SRAM is taken");
    }
    readable.push_back(work.last_write() + scheduler.latencies().mem_write_to_read);
  }
  return readable;
}

std::vector<Place> rows_of(const VectorBlock& block) {
  std::vector<Place> rows;
  for (int v = 0; v < block.vectors; ++v) {
    for (const Place& place : block.at(v)) rows.push_back(place);
  }
  return rows;
}

}  // namespace

CollectiveProgram compile_all_reduce(const Topology& topology, const Gang& gang,
                                     const CollectiveChip& chip, ReducePlan plan, int vectors) {
  if (!allows(gang, topology, plan)) {
    throw ModelError("lpu.collective: the links of the gang do not allow the plan");
  }
  const int input = input_vectors(gang, topology, plan, vectors);
  const CollectiveBlocks blocks =
      blocks_of(chip.geometry, input, inbox_vectors(gang, topology, plan, vectors), input);
  return compile(topology, gang, chip, blocks, vectors, [&](Collective& collective) {
    collective.all_reduce(plan, blocks, vectors, chip.latencies.barrier);
  });
}

CollectiveProgram compile_reduce_scatter(const Topology& topology, const Gang& gang,
                                         const CollectiveChip& chip, int vectors) {
  const int shard = shard_vectors(gang, topology, ReducePlan::TwoPhase, vectors);
  const int all = shard * gang.size();
  const CollectiveBlocks blocks = blocks_of(chip.geometry, all, all, shard);
  return compile(topology, gang, chip, blocks, vectors, [&](Collective& collective) {
    collective.reduce_scatter(blocks, vectors, chip.latencies.barrier);
  });
}

CollectiveProgram compile_all_gather(const Topology& topology, const Gang& gang,
                                     const CollectiveChip& chip, int vectors) {
  const int shard = shard_vectors(gang, topology, ReducePlan::TwoPhase, vectors);
  const CollectiveBlocks blocks = blocks_of(chip.geometry, shard, 0, shard * gang.size());
  return compile(topology, gang, chip, blocks, vectors, [&](Collective& collective) {
    collective.all_gather(blocks, vectors, chip.latencies.barrier);
  });
}

CollectiveProgram compile_broadcast(const Topology& topology, const CollectiveChip& chip, int root,
                                    int vectors) {
  const CollectiveBlocks blocks = blocks_of(chip.geometry, vectors, 0, vectors);
  const std::vector<TreeNode> tree = shortest_tree(topology, root);
  std::vector<std::vector<std::int64_t>> arrivals(tree.size());
  CollectiveProgram result{{}, blocks, vectors, 0};
  result.programs.resize(index_of(topology.chips()));
  for (std::size_t i = 0; i < tree.size(); ++i) {
    Scheduler scheduler(chip.geometry, chip.latencies, chip.latencies.barrier);
    const std::vector<Place> rows = rows_of(i == 0 ? blocks.input : blocks.output);
    std::vector<std::int64_t> ready(rows.size(), chip.latencies.barrier);
    if (i > 0) ready = receive_rows(scheduler, tree[i], rows, arrivals[i]);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      for (const auto& [link, child] : tree[i].children) {
        Work work(scheduler);
        work.send_row(rows[row], link, 0);
        const std::int64_t start = work.place(ready[row] - work.first_read());
        const auto out = std::abs(chip.geometry.c2c_position(chip.geometry.link_hemisphere(link)));
        arrivals[index_of(child)].push_back(start + out + tree[index_of(child)].latency);
      }
    }
    Program& program = result.programs[index_of(tree[i].chip)];
    emit_queues(scheduler, program);
    program.rows_used = rows_used(chip.geometry, blocks);
    result.cycles = std::max(result.cycles, predict_cycles(scheduler).base);
  }
  return result;
}

ReducePlan fastest_plan(const Topology& topology, const Gang& gang, const CollectiveChip& chip,
                        int vectors) {
  std::optional<ReducePlan> best;
  std::int64_t fewest = 0;
  for (const ReducePlan plan : {ReducePlan::Direct, ReducePlan::TwoPhase, ReducePlan::Hierarchical,
                                ReducePlan::RingParts}) {
    if (!allows(gang, topology, plan)) continue;
    const int rows = std::max(inbox_vectors(gang, topology, plan, vectors),
                              input_vectors(gang, topology, plan, vectors));
    if (rows > chip.geometry.rows_per_bank) continue;
    const std::int64_t cycles = compile_all_reduce(topology, gang, chip, plan, vectors).cycles;
    if (best && cycles >= fewest) continue;
    best = plan;
    fewest = cycles;
  }
  if (!best) throw ModelError("lpu.collective: no plan for an all-reduce of the gang");
  return *best;
}

}  // namespace tandem::lpu
