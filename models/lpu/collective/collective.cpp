#include "models/lpu/collective/collective.hpp"

#include <algorithm>
#include <cstdlib>

#include "models/lpu/compiler/work.hpp"
#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {

Rows VectorBlock::at(int v, int reg) const {
  Rows rows = first;
  for (Place& place : rows) {
    place.row += v;
    place.reg = reg;
  }
  return rows;
}

Collective::Collective(Scheduler& scheduler, const Topology& topology, const Gang& gang,
                       RankRows& rows)
    : scheduler_(scheduler),
      topology_(topology),
      gang_(gang),
      rows_(rows),
      next_send_(index_of(topology.links_per_chip())) {}

// Chips of a gang's unit of level 0; ranks count unit by unit.
int Collective::unit_chips() const {
  return std::min(gang_.size(), topology_.chips_below(1));
}

// Byte by byte; all chips send on the lane and receive on it. Returns when the rows may be read.
std::int64_t Collective::move(const Lane& lane, const Rows& from, const Rows& to,
                              std::int64_t ready) {
  const Geometry& geometry = scheduler_.geometry();
  const int out = std::abs(geometry.c2c_position(geometry.link_hemisphere(lane.send_link)));
  std::int64_t& next = next_send_[static_cast<std::size_t>(lane.send_link)];
  std::int64_t readable = ready;
  for (std::size_t byte = 0; byte < from.size(); ++byte) {
    Work work(scheduler_);
    work.send_row(from[byte], lane.send_link, 0);
    work.receive_row(to[byte], lane.receive_link, out + lane.latency);
    const std::int64_t start = work.place(std::max(next, ready - work.first_read()));
    next = start + geometry.link_class(lane.send_link).cycles_per_vector;
    readable = std::max(readable, work.last_write() + scheduler_.latencies().mem_write_to_read);
  }
  return readable;
}

std::int64_t Collective::sum(const std::vector<Rows>& terms, const Rows& to, std::int64_t ready) {
  Work work(scheduler_);
  Value total = work.memory(terms.front());
  if (terms.size() == 1) total = work.op(AluOp::Pass, total);
  for (std::size_t i = 1; i < terms.size(); ++i) {
    total = work.op(AluOp::Add, total, work.memory(terms[i]));
  }
  work.store(total, to);
  work.place(ready - work.first_read());
  return work.last_write() + scheduler_.latencies().mem_write_to_read;
}

// Every chip sends shard k modulo `parts` to chip k of its unit, which adds ranks 0, 1, 2, ... of
// the unit into `to`. Returns when each vector of the sum may be read.
std::vector<std::int64_t> Collective::scatter(const CollectiveBlocks& blocks, int shard, int parts,
                                              const VectorBlock& to, int to_reg,
                                              std::int64_t ready) {
  const int unit = unit_chips();
  const int own = reg([&](int rank) { return rank % unit * shard; });
  const int own_part = reg([&](int rank) { return rank % unit % parts * shard; });
  std::vector<std::int64_t> arrived(static_cast<std::size_t>(shard), ready);
  for (int v = 0; v < shard; ++v) {
    std::int64_t& all = arrived[static_cast<std::size_t>(v)];
    for (const Lane& lane : gang_.lanes_of(0)) {
      const int out = reg([&](int rank) { return lane.to[index_of(rank)] % unit % parts * shard; });
      const int in = reg([&](int rank) { return lane.from[index_of(rank)] % unit * shard; });
      all = std::max(all, move(lane, blocks.input.at(v, out), blocks.inbox.at(v, in), ready));
    }
    all = std::max(all, sum({blocks.input.at(v, own_part)}, blocks.inbox.at(v, own), ready));
  }
  std::vector<std::int64_t> done;
  for (int v = 0; v < shard; ++v) {
    std::vector<Rows> terms;
    for (int k = 0; k < unit; ++k) terms.push_back(blocks.inbox.at(k * shard + v));
    done.push_back(sum(terms, to.at(v, to_reg), arrived[static_cast<std::size_t>(v)]));
  }
  return done;
}

// Every chip sends `from` to the others of its unit, which put it where the sender's rank says.
std::int64_t Collective::gather(const VectorBlock& from, int from_reg, const VectorBlock& to,
                                const std::vector<std::int64_t>& ready) {
  const int unit = unit_chips();
  const int shard = static_cast<int>(ready.size());
  std::int64_t done = *std::max_element(ready.begin(), ready.end());
  for (int v = 0; v < shard; ++v) {
    for (const Lane& lane : gang_.lanes_of(0)) {
      const int in = reg([&](int rank) { return lane.from[index_of(rank)] % unit * shard; });
      done = std::max(
          done, move(lane, from.at(v, from_reg), to.at(v, in), ready[static_cast<std::size_t>(v)]));
    }
  }
  return done;
}

std::int64_t Collective::direct(const CollectiveBlocks& blocks, int vectors, std::int64_t ready) {
  std::vector<std::int64_t> arrived(static_cast<std::size_t>(vectors), ready);
  const int own = reg([&](int rank) { return rank * vectors; });
  for (int v = 0; v < vectors; ++v) {
    std::int64_t& all = arrived[static_cast<std::size_t>(v)];
    for (const Lane& lane : gang_.lanes_of(0)) {
      const int in = reg([&](int rank) { return lane.from[index_of(rank)] * vectors; });
      all = std::max(all, move(lane, blocks.input.at(v), blocks.inbox.at(v, in), ready));
    }
    all = std::max(all, sum({blocks.input.at(v)}, blocks.inbox.at(v, own), ready));
  }
  std::int64_t done = ready;
  for (int v = 0; v < vectors; ++v) {
    std::vector<Rows> terms;
    for (int k = 0; k < gang_.size(); ++k) terms.push_back(blocks.inbox.at(k * vectors + v));
    done = std::max(done, sum(terms, blocks.output.at(v), arrived[static_cast<std::size_t>(v)]));
  }
  return done;
}

std::int64_t Collective::reduce_scatter(const CollectiveBlocks& blocks, int vectors,
                                        std::int64_t ready) {
  require(ReducePlan::TwoPhase);
  const int shard = shard_vectors(gang_, topology_, ReducePlan::TwoPhase, vectors);
  const auto done = scatter(blocks, shard, unit_chips(), blocks.output, 0, ready);
  return *std::max_element(done.begin(), done.end());
}

std::int64_t Collective::all_gather(const CollectiveBlocks& blocks, int vectors,
                                    std::int64_t ready) {
  require(ReducePlan::TwoPhase);
  const int shard = shard_vectors(gang_, topology_, ReducePlan::TwoPhase, vectors);
  const int own = reg([&](int rank) { return rank * shard; });
  std::int64_t done = gather(blocks.input, 0, blocks.output,
                             std::vector<std::int64_t>(static_cast<std::size_t>(shard), ready));
  for (int v = 0; v < shard; ++v) {
    done = std::max(done, sum({blocks.input.at(v)}, blocks.output.at(v, own), ready));
  }
  return done;
}

// The sum over the unit goes to the units' slots; the slots are added in the order of units.
std::int64_t Collective::hierarchical(const CollectiveBlocks& blocks, int vectors,
                                      std::int64_t ready) {
  const int unit = unit_chips();
  const int units = gang_.size() / unit;
  const int shard = shard_vectors(gang_, topology_, ReducePlan::Hierarchical, vectors);
  VectorBlock slots = blocks.inbox;
  for (Place& place : slots.first) place.row += unit * shard;
  const int own_unit = reg([&](int rank) { return rank / unit * shard; });
  const int own = reg([&](int rank) { return rank % unit * shard; });
  std::vector<std::int64_t> ready_by_vector = scatter(blocks, shard, unit, slots, own_unit, ready);
  for (int v = 0; v < shard; ++v) {
    std::int64_t& all = ready_by_vector[static_cast<std::size_t>(v)];
    const std::int64_t unit_done = all;
    for (const Lane& lane : gang_.lanes_of(1)) {
      const int in = reg([&](int rank) { return lane.from[index_of(rank)] / unit * shard; });
      all = std::max(all, move(lane, slots.at(v, own_unit), slots.at(v, in), unit_done));
    }
  }
  for (int v = 0; v < shard; ++v) {
    std::vector<Rows> terms;
    for (int k = 0; k < units; ++k) terms.push_back(slots.at(k * shard + v));
    std::int64_t& all = ready_by_vector[static_cast<std::size_t>(v)];
    all = sum(terms, blocks.output.at(v, own), all);
  }
  return gather(blocks.output, own, blocks.output, ready_by_vector);
}

std::int64_t Collective::all_reduce(ReducePlan plan, const CollectiveBlocks& blocks, int vectors,
                                    std::int64_t ready) {
  require(plan);
  switch (plan) {
    case ReducePlan::Direct:
      return direct(blocks, vectors, ready);
    case ReducePlan::TwoPhase: {
      const int shard = shard_vectors(gang_, topology_, plan, vectors);
      const int own = reg([&](int rank) { return rank * shard; });
      return gather(blocks.output, own, blocks.output,
                    scatter(blocks, shard, unit_chips(), blocks.output, own, ready));
    }
    case ReducePlan::Hierarchical:
      return hierarchical(blocks, vectors, ready);
    case ReducePlan::RingParts:
      return ring_parts(blocks, vectors, ready);
  }
  return ready;
}

}  // namespace tandem::lpu
