// An algorithm of a collective as data: who sends which elements to whom, and what must have
// arrived before. One schedule is timed (executor.hpp) and moves real values (exchange.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/lower/collective.hpp"

namespace tandem::link {

enum class TransferKind : std::uint8_t {
  Copy,  ///< the target's elements become the source's
  Add,   ///< the source's are added to them
  Pass   ///< a rank's blocks pass over their own elements: from a library's buffer to the user's
};

/// Which buffer of the sender is read: what the caller gave, or what has come in since.
enum class TransferSource : std::uint8_t { Input, Work };

/// One message of a schedule. Places are positions in the list of ranks; the place after the last
/// rank is the switch.
struct Transfer {
  std::int32_t from = 0;
  std::int32_t to = 0;
  std::int64_t source = 0;  ///< first element read
  std::int64_t target = 0;  ///< first element written
  std::int64_t elements = 0;
  std::int64_t handled = 0;  ///< elements that the sender's blocks copy for it
  TransferKind kind = TransferKind::Copy;
  TransferSource buffer = TransferSource::Work;
  bool is_awaited = true;           ///< the receiver waits for a flag before it goes on
  std::vector<std::int32_t> after;  ///< earlier transfers that must have arrived
};

/// Contract: a transfer depends only on earlier ones, and values moved in the order of the list
/// are the result: sums are made in that order.
struct Schedule {
  std::string algorithm;
  std::int32_t ranks = 0;
  std::int64_t elements = 0;   ///< of every rank's buffer
  bool starts_filled = false;  ///< work buffers hold the rank's input at the start
  std::vector<Transfer> transfers;

  /// Appends a transfer and returns its index.
  std::int32_t add(Transfer transfer);
};

/// Elements [begin, end) of a buffer.
struct ElementRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  [[nodiscard]] std::int64_t size() const { return end - begin; }
};
/// Part `index` of `parts` nearly equal ones of `whole`.
[[nodiscard]] ElementRange part_of(ElementRange whole, std::int64_t index, std::int64_t parts);

/// Ranks by node, each node's in order; positions in the list of ranks.
using RankNodes = std::vector<std::vector<std::int32_t>>;

// All-reduce, all-gather and reduce-scatter over rings (Patarasuk and Yuan 2009). With several
// nodes there is one ring per rank of a node, so that every adapter carries its share: ring c
// enters each node at its local rank c. The sum of rank p's piece starts at the rank behind p and
// ends at p.
[[nodiscard]] Schedule ring(CollectiveOp op, const RankNodes& nodes, std::int64_t elements);

/// All-reduce over trees: a chain within every node, a binary tree over the nodes, as the library
/// builds them; one tree per rank of a node; messages in pipelined parts.
[[nodiscard]] Schedule tree(const RankNodes& nodes, std::int64_t elements);

/// All-reduce in one step: everyone gets everyone's input and sums it in the order of ranks.
[[nodiscard]] Schedule one_shot(std::int32_t ranks, std::int64_t elements);

/// All-reduce in two: each rank sums its piece in the order of ranks, then all gather the sums.
[[nodiscard]] Schedule two_shot(std::int32_t ranks, std::int64_t elements);

/// All-reduce in the switch (NVLS, multimem): the switch sums a piece in the order of ranks when
/// its owner asks for it, and sends the owner's store to all. About `buffer` elements may be under
/// way, in parts that follow each other.
[[nodiscard]] Schedule in_switch(std::int32_t ranks, std::int64_t elements, std::int64_t buffer);

/// Every rank sends piece q of its buffer to rank q; its own piece first.
[[nodiscard]] Schedule all_to_all(std::int32_t ranks, std::int64_t elements);

/// The first rank's buffer goes to the second.
[[nodiscard]] Schedule send_recv(std::int64_t elements);

/// Every rank sends every other `elements` and passes over all that it has got in the end. Values
/// are not modelled: which rows go where depends on the routing.
[[nodiscard]] Schedule exchange_rows(std::int32_t ranks, std::int64_t elements);

/// Rows that ranks of several nodes send each other in bulk.
struct BulkRows {
  std::int64_t to_node = 0;  ///< that a rank has for another node, once each
  std::int64_t to_rank = 0;  ///< that it has for one rank
};

/// Bulk dispatch over nodes: a row crosses once to each node that it has experts on, to the rank
/// there that has its sender's place, and that rank sends it on (DeepEP, internode.cu). Both in
/// parts that follow each other. Values are not modelled.
[[nodiscard]] Schedule dispatch_by_node(const RankNodes& nodes, const BulkRows& rows);

/// Bulk combine over nodes: the same ways back; the rank in between sums.
[[nodiscard]] Schedule combine_by_node(const RankNodes& nodes, const BulkRows& rows);

}  // namespace tandem::link
