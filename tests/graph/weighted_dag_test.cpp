#include "sim/graph/weighted_dag.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"

namespace tandem {
namespace {

using namespace tandem::literals;
using testing::ElementsAre;
using testing::HasSubstr;

//      0 (2) -> 1 (3) -> 3 (1)
//      0 (2) -> 2 (5) -> 3 (1)      4 (4) alone
WeightedDag fork() {
  return {{{}, {0}, {0}, {1, 2}, {}}, {2_ns, 3_ns, 5_ns, 1_ns, 4_ns}, {}};
}

TEST(CriticalPath, IsTheLongestChain) {
  // 2 + 5 + 1 = 8 ns over 0, 2, 3; the other branch is 6 ns, the lone vertex 4 ns.
  const CriticalPath path = critical_path(fork());
  EXPECT_EQ(path.total, 8_ns);
  EXPECT_THAT(path.members, ElementsAre(0, 2, 3));
}

TEST(CriticalPath, TakesTheLowerIndexOfEqualChains) {
  WeightedDag dag = fork();
  dag.duration[1] = 5_ns;
  EXPECT_THAT(critical_path(dag).members, ElementsAre(0, 1, 3));
}

TEST(CriticalPath, OfNothingIsNothing) {
  EXPECT_EQ(critical_path({}).total, 0_ps);
  EXPECT_TRUE(critical_path({}).members.empty());
}

TEST(EarliestFinish, FollowsDependenciesInAnyNumbering) {
  // 2 -> 1 -> 0, one nanosecond each.
  const WeightedDag dag{{{1}, {2}, {}}, {1_ns, 1_ns, 1_ns}, {}};
  EXPECT_THAT(earliest_finish(dag), ElementsAre(3_ns, 2_ns, 1_ns));
}

TEST(WeightedDag, RejectsCyclesAndBadIndices) {
  EXPECT_THROW((void)critical_path({{{1}, {0}}, {1_ns, 1_ns}, {}}), ModelError);
  EXPECT_THROW((void)critical_path({{{7}}, {1_ns}, {}}), ModelError);
  EXPECT_THROW((void)critical_path({{{}}, {}, {}}), ModelError);
}

TEST(WeightedDag, DotMarksTheCriticalPath) {
  const std::string dot = to_dot(fork());
  EXPECT_THAT(dot, HasSubstr("2[label=\"2 5000 ps\", style=bold]"));
  EXPECT_THAT(dot, HasSubstr("1[label=\"1 3000 ps\"]"));
  EXPECT_THAT(dot, HasSubstr("2->3"));
}

}  // namespace
}  // namespace tandem
