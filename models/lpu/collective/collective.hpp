// Collectives as pieces of a schedule: vectors cross links in fixed cycles, the vector unit adds
// them, every chip of the gang does the same at the same time. They go onto the Scheduler of
// whatever else the program does and fill its holes.
//
// How a tensor-parallel layer uses it:
//   Collective collective(scheduler, gang, rank_rows);      // one per program
//   ... the layer stores its partial sums (fp32) into `work.input`, in cycles before `ready` ...
//   const auto done = collective.all_reduce(work, ready);
//   ... reads of work.output come in cycle `done` or later ...
//   emit_queues(scheduler, program), then rank_rows.bind(program, rank) for every chip.
// Rows of blocks are outside the scheduler's own read-after-write bookkeeping; `ready` and the
// cycle returned stand in for it.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "models/lpu/collective/gang.hpp"
#include "models/lpu/compiler/scheduler.hpp"

namespace tandem::lpu {

/// fp32 vectors in rows that follow each other: byte b of vector v is `first[b]`, v rows further.
/// All four places lie in one hemisphere, in different banks or slices.
struct VectorBlock {
  Rows first;
  int vectors = 0;
  /// Rows of vector v, moved further by host register `reg`.
  [[nodiscard]] Rows at(int v, int reg = 0) const;
};

/// What a collective works on. Sizes in vectors, for `vectors` of data per chip, gangs of n and
/// shards of s = ceil(vectors / n):
///  - all_reduce: input and output n s, inbox inbox_vectors(); rows of input behind `vectors` are
///    sent along and should hold zeros;
///    rows of the inbox that nothing wrote before the first run must read as zeros (RingParts)
///  - reduce_scatter: input n s, output s
///  - all_gather: input s, output n s; no inbox
struct CollectiveBlocks {
  VectorBlock input;
  VectorBlock inbox;
  VectorBlock output;
};

/// How an all-reduce goes about it. Sums are fp32, term by term in the order given.
enum class ReducePlan : std::uint8_t {
  /// One hop: every chip sends everything to every other one and adds: ranks 0, 1, 2, ...
  Direct,
  /// Two hops: shard k is added on chip k (ranks 0, 1, 2, ...), then gathered.
  TwoPhase,
  /// Three hops, for gangs of several units of level 0 whose chips meet chips of the same index:
  /// shards within the unit, each added over the units (0, 1, 2, ...), then gathered in the unit.
  Hierarchical,
  /// Three hops, for nodes in a ring (Wiring::Ring): the node's sum of a part on the two chips
  /// whose global ports reach all other nodes; each adds what comes over its ports (itself, 1, 2, 3
  /// ... nodes ahead; 1, 2, 3 ... behind); both sums go to the whole node. Every node adds in its
  /// own
  /// order, so nodes may differ in the last bits.
  RingParts,
};

/// What an all-reduce works on that goes on while its vectors are still being made. With n chips
/// per tray (a gang of one tray: all), vector s n + k belongs to stripe s and is added on chip k of
/// its tray. All blocks hold whole stripes; rows of `input` that no vector has are sent along and
/// should hold zeros.
struct StripedBlocks {
  std::array<VectorBlock, 2>
      input;  ///< the same in West and East: each feeds the links of its side
  VectorBlock inbox;
  VectorBlock output;
  VectorBlock trays;  ///< of a gang of several trays: sums by tray, stripe by stripe
};

/// Whether a gang's lanes allow a plan.
[[nodiscard]] bool allows(const Gang& gang, const Topology& topology, ReducePlan plan);
/// Shard size of an all-reduce of `vectors`, and vectors that its input and its inbox take.
[[nodiscard]] int shard_vectors(const Gang& gang, const Topology& topology, ReducePlan plan,
                                int vectors);
[[nodiscard]] int input_vectors(const Gang& gang, const Topology& topology, ReducePlan plan,
                                int vectors);
[[nodiscard]] int inbox_vectors(const Gang& gang, const Topology& topology, ReducePlan plan,
                                int vectors);

/// Puts collectives on a schedule.
///
/// Contract:
///  - `ready`: first cycle in which inputs may be read and inbox and outputs be overwritten
///  - returns the first cycle in which all of the output may be read, on every chip
///  - throws ModelError for a plan that the gang does not allow
class Collective {
 public:
  Collective(Scheduler& scheduler, const Topology& topology, const Gang& gang, RankRows& rows);

  std::int64_t all_reduce(ReducePlan plan, const CollectiveBlocks& blocks, int vectors,
                          std::int64_t ready);
  /// Chip k gets the sum of shard k, added by rank.
  std::int64_t reduce_scatter(const CollectiveBlocks& blocks, int vectors, std::int64_t ready);
  /// Every chip gets all shards, by rank.
  std::int64_t all_gather(const CollectiveBlocks& blocks, int vectors, std::int64_t ready);

  /// The first hop of a striped all-reduce: chip k of a tray adds vector k of a stripe by rank;
  /// over several trays the sums of all of them meet there, in the order of trays, a hop later.
  /// Either goes into the chip's own row of the output. `ready`: first cycle in which the stripe's
  /// inputs may be read. Returns the first cycle in which the sum may be read.
  std::int64_t reduce_stripe(const StripedBlocks& blocks, int stripe, std::int64_t ready);
  /// The last hop: every chip gets the sums of the others of its tray. Returns as all_reduce does.
  std::int64_t gather_stripe(const StripedBlocks& blocks, int stripe, std::int64_t ready);

 private:
  [[nodiscard]] static std::size_t index_of(int rank) { return static_cast<std::size_t>(rank); }
  void require(ReducePlan plan) const;
  [[nodiscard]] int unit_chips() const;
  [[nodiscard]] int trays() const { return gang_.size() / unit_chips(); }
  void require_stripes() const;
  std::int64_t sum_over_trays(const StripedBlocks& blocks, int stripe, std::int64_t ready);
  template <class OfRank>
  [[nodiscard]] int reg(OfRank of_rank);
  std::int64_t move(const Lane& lane, const Rows& from, const Rows& to, std::int64_t ready);
  std::int64_t move_apart(const Lane& lane, const Rows& from, const Rows& to, std::int64_t ready);
  std::int64_t sum(const std::vector<Rows>& terms, const Rows& to, std::int64_t ready);
  std::vector<std::int64_t> scatter(const CollectiveBlocks& blocks, int shard, int parts,
                                    const VectorBlock& to, int to_reg, std::int64_t ready);
  std::int64_t gather(const VectorBlock& from, int from_reg, const VectorBlock& to,
                      const std::vector<std::int64_t>& ready);
  std::int64_t direct(const CollectiveBlocks& blocks, int vectors, std::int64_t ready);
  std::int64_t hierarchical(const CollectiveBlocks& blocks, int vectors, std::int64_t ready);
  std::int64_t ring_parts(const CollectiveBlocks& blocks, int vectors, std::int64_t ready);

  Scheduler& scheduler_;
  const Topology& topology_;
  const Gang& gang_;
  RankRows& rows_;
  std::vector<std::int64_t> next_send_;  // by link: earliest start of the next vector
};

// Register of a list of rows, `of_rank(r)` for every rank r.
template <class OfRank>
int Collective::reg(OfRank of_rank) {
  std::vector<int> rows;
  for (int rank = 0; rank < gang_.size(); ++rank) rows.push_back(of_rank(rank));
  return rows_.reg(rows);
}

}  // namespace tandem::lpu
