// Probabilities that give measured lengths of rounds.
#include "sim/describe/speculation.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tandem {
namespace {

double length_of(const std::vector<double>& acceptance) {
  double length = 1;
  double reached = 1;
  for (const double a : acceptance) {
    reached *= a;
    length += reached;
  }
  return length;
}

TEST(AcceptanceOfLengths, EachPositionIsTheRatioOfTwoSteps) {
  // Steps 0.79, 0.48, 0.22.
  const std::vector<double> a = acceptance_of_lengths({1.79, 2.27, 2.49}, 3);
  ASSERT_EQ(a.size(), 3u);
  EXPECT_NEAR(a[0], 0.79, 1e-12);
  EXPECT_NEAR(a[1], 0.48 / 0.79, 1e-12);
  EXPECT_NEAR(a[2], 0.22 / 0.48, 1e-12);
}

TEST(AcceptanceOfLengths, StepsThatRiseOrFallBelowZeroKeepTheLength) {
  const std::vector<double> measured = {1.92, 2.61, 2.97, 3.00, 3.10, 3.16, 3.00, 3.11};
  for (std::int64_t drafts = 1; drafts <= 8; ++drafts) {
    const std::vector<double> a = acceptance_of_lengths(measured, drafts);
    EXPECT_NEAR(length_of(a), measured[static_cast<std::size_t>(drafts) - 1], 1e-9) << drafts;
    for (const double one : a) {
      EXPECT_GE(one, 0);
      EXPECT_LE(one, 1);
    }
  }
}

TEST(AcceptanceOfLengths, OnlyTheDraftsOfARoundCount) {
  EXPECT_EQ(acceptance_of_lengths({1.5, 1.8, 2.0}, 1), std::vector<double>{0.5});
}

TEST(AcceptanceOfLength, TurnsTheClosedFormRound) {
  for (const double a : {0.0, 0.3, 0.7, 0.95}) {
    for (const int drafts : {1, 3, 8}) {
      const double length = (1 - std::pow(a, drafts + 1)) / (1 - a);
      EXPECT_NEAR(acceptance_of_length(length, drafts), a, 1e-9);
    }
  }
  EXPECT_NEAR(acceptance_of_length(4, 3), 1, 1e-9);
}

TEST(Speculation, ATreeHasAllBranchesOfEveryDepth) {
  Speculation tree;
  tree.drafts = 3;
  EXPECT_EQ(tree.drafted(), 3);
  tree.tree = {3, 2, 1};
  EXPECT_EQ(tree.drafts_at(0), 3);
  EXPECT_EQ(tree.drafts_at(2), 6);
  EXPECT_EQ(tree.drafted(), 15);
}

}  // namespace
}  // namespace tandem
