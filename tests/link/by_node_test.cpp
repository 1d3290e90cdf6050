// Bulk exchanges of experts' rows over several nodes: how many rows, and which ways they take.
#include <gtest/gtest.h>

#include "models/link/collectives/candidates.hpp"
#include "sim/core/integers.hpp"

namespace tandem::link {
namespace {

Collective bulk_dispatch() {
  Collective collective;
  collective.op = CollectiveOp::MoeDispatch;
  collective.transport = MoeTransport::Bulk;
  collective.tokens = 100;
  collective.hidden = 16;
  collective.top_k = 2;
  collective.experts = 8;
  return collective;
}

TEST(RowsByNode, AreExpectationsOfTwoDistinctExperts) {
  // 4 ranks of 2 experts: none of 2 among the other 6 of 8: 15 / 28; 100 x 13 / 28 = 46.4.
  EXPECT_NEAR(rows_per_peer(bulk_dispatch(), 4), 100.0 * 13 / 28, 1e-9);
  // 2 nodes of 4 experts: 1 - 6 / 28; 78.6.
  EXPECT_NEAR(rows_per_node(bulk_dispatch(), 4, 2), 100.0 * 22 / 28, 1e-9);
}

TEST(RowsByNode, AreFewerWhereTokensChooseGroups) {
  Collective collective = bulk_dispatch();
  collective.groups = 4;
  collective.top_groups = 2;
  // A rank is a group: not chosen 1 / 2; chosen, but both experts in the other group 1 / 2 x 1 / 6;
  // 100 x 5 / 12 = 41.7.
  EXPECT_NEAR(rows_per_peer(collective, 4), 100.0 * 5 / 12, 1e-9);
  // A node is two groups: neither chosen 1 / 6; one chosen 4 / 6, without experts of it 1 / 6;
  // 100 x 26 / 36 = 72.2.
  EXPECT_NEAR(rows_per_node(collective, 4, 2), 100.0 * 26 / 36, 1e-9);
}

/// Rows that cross between the nodes {0, 1} and {2, 3}, and within them.
struct Crossings {
  std::int64_t between = 0, within = 0, forwarded = 0;
};

Crossings crossings_of(const Schedule& schedule) {
  Crossings sum;
  for (const Transfer& transfer : schedule.transfers) {
    if (transfer.from == transfer.to) continue;
    const bool same_node = transfer.from / 2 == transfer.to / 2;
    (same_node ? sum.within : sum.between) += transfer.elements;
    if (same_node && !transfer.after.empty()) sum.forwarded += transfer.elements;
  }
  return sum;
}

TEST(RowsByNode, CrossOnceAndAreSentOnWithinTheNode) {
  const RankNodes nodes{{0, 1}, {2, 3}};
  const Crossings dispatch = crossings_of(dispatch_by_node(nodes, {73, 42}));
  // 4 ranks, one other node each; within: to the neighbour, and on to the neighbour of the rank
  // that the rows came to.
  EXPECT_EQ(dispatch.between, 4 * 73);
  EXPECT_EQ(dispatch.within, 4 * 42 + 4 * 42);
  EXPECT_EQ(dispatch.forwarded, 4 * 42);
}

TEST(RowsByNode, ComeBackTheSameWay) {
  const RankNodes nodes{{0, 1}, {2, 3}};
  const Schedule schedule = combine_by_node(nodes, {73, 42});
  const Crossings combine = crossings_of(schedule);
  EXPECT_EQ(combine.between, 4 * 73);
  EXPECT_EQ(combine.within, 4 * 42 + 4 * 42);
  for (const Transfer& transfer : schedule.transfers) {
    // Sums leave a node when the neighbour's rows are there.
    if (transfer.from / 2 == transfer.to / 2) continue;
    EXPECT_EQ(transfer.after.size(), 1U);
  }
}

}  // namespace
}  // namespace tandem::link
