// Which drafts of a tree are kept, how candidates are drawn, and what is looked up in a text.
#include "sim/numerics/ops/draft_tree.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/numerics/ops/prompt_lookup.hpp"
#include "sim/numerics/ops/sampling.hpp"
#include "sim/numerics/ops/speculation.hpp"

namespace tandem::ops {
namespace {

using Parents = std::vector<std::int64_t>;
using TokenIds = std::vector<std::int32_t>;

std::vector<float> joined(const std::vector<std::vector<float>>& rows) {
  std::vector<float> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

TEST(DraftTree, GreedyTextTakesTheWayThatTheTargetTakes) {
  // newest -> 0: token 1, 1: token 2; 1 -> 2: token 0, 3: token 1.
  const TokenIds drafts{1, 2, 0, 1};
  const Parents parents{-1, -1, 1, 1};
  const std::vector<float> zero{1, 0, 0}, one{0, 1, 0}, two{0, 0, 1};
  const TreeOutcome whole =
      accept_tree_greedy(drafts, parents, joined({two, zero, one, zero, two}));
  EXPECT_EQ(whole.tokens, (TokenIds{2, 1, 2}));
  EXPECT_EQ(whole.accepted, (Parents{1, 3}));
  const TreeOutcome half = accept_tree_greedy(drafts, parents, joined({one, zero, one, zero, two}));
  EXPECT_EQ(half.tokens, (TokenIds{1, 0}));
  EXPECT_EQ(half.accepted, Parents{0});
  const TreeOutcome none = accept_tree_greedy(drafts, parents, joined({zero, one, one, one, one}));
  EXPECT_EQ(none.tokens, TokenIds{0});
  EXPECT_TRUE(none.accepted.empty());
}

TEST(DraftTree, OfOneCandidatePerPlaceIsAChain) {
  const std::vector<float> p{0.5F, 0.3F, 0.2F}, q{0.2F, 0.2F, 0.6F};
  const auto target = joined({p, p, p});
  const auto draft = joined({q, q});
  std::set<std::int64_t> lengths;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    RandomStream drafting(seed, "drafts");
    const TokenIds drafts{index_at(q, drafting.uniform(), 2), index_at(q, drafting.uniform(), 2)};
    RandomStream one(seed, "verification"), two(seed, "verification");
    const SpeculationOutcome chain = accept_drafts(drafts, draft, target, one);
    const TreeOutcome tree = accept_tree(drafts, Parents{-1, 0}, draft, target, two);
    EXPECT_EQ(tree.tokens, chain.tokens) << seed;
    lengths.insert(chain.accepted);
  }
  EXPECT_EQ(lengths.size(), 3u);
}

// Two candidates, two more behind each. p = (.5, .3, .2) and q = (.3, .3, .4): the first candidate
// is accepted with sum min(p, q) = 0.8. Else it was token 2, p has become (1, 0, 0) and q
// (.5, .5, 0): the second one is accepted with 0.5. So a depth is passed with 0.9.
TEST(DraftTree, TextsFollowTheTargetWhateverTheDraft) {
  const std::vector<float> q{0.3F, 0.3F, 0.4F};
  const std::vector<float> first{0.5F, 0.3F, 0.2F};
  // What the target makes of each first token.
  const std::vector<std::vector<float>> second{
      {0.5F, 0.3F, 0.2F}, {0.1F, 0.6F, 0.3F}, {0.2F, 0.2F, 0.6F}};
  RandomStream drafting(21, "drafts");
  RandomStream random(21, "verification");
  std::map<TokenIds, int> seen;
  std::vector<int> passed(3);
  constexpr int rounds = 30000;
  for (int round = 0; round < rounds; ++round) {
    TokenIds drafts = draw_candidates(q, 2, drafting);
    Parents parents{-1, -1};
    for (std::int64_t parent = 0; parent < 2; ++parent) {
      for (const std::int32_t token : draw_candidates(q, 2, drafting)) {
        drafts.push_back(token);
        parents.push_back(parent);
      }
    }
    std::vector<std::vector<float>> target{first};
    for (std::size_t i = 0; i < drafts.size(); ++i) {
      target.push_back(second[static_cast<std::size_t>(drafts[i])]);
    }
    const TreeOutcome outcome =
        accept_tree(drafts, parents, joined(std::vector(drafts.size(), q)), joined(target), random);
    ASSERT_EQ(outcome.tokens.size(), outcome.accepted.size() + 1);
    ++passed[outcome.accepted.size()];
    TokenIds text = outcome.tokens;
    text.resize(1);
    if (outcome.accepted.size() >= 1) text.push_back(outcome.tokens[1]);
    ++seen[text];
  }
  // Texts of one token end where no candidate was right; both kinds together have the target's
  // first token, those of two the target's second behind it.
  double first_square = 0;
  for (std::int32_t token = 0; token < 3; ++token) {
    double ones = seen[{token}];
    double pairs = 0;
    for (std::int32_t next = 0; next < 3; ++next) pairs += seen[{token, next}];
    const double expected = static_cast<double>(first[static_cast<std::size_t>(token)]) * rounds;
    first_square += (ones + pairs - expected) * (ones + pairs - expected) / expected;
    double square = 0;
    for (std::int32_t next = 0; next < 3; ++next) {
      const auto p = second[static_cast<std::size_t>(token)][static_cast<std::size_t>(next)];
      const double wanted = static_cast<double>(p) * pairs;
      square += (seen[{token, next}] - wanted) * (seen[{token, next}] - wanted) / wanted;
    }
    EXPECT_LT(square, 13.8) << token;  // two degrees of freedom: once in a thousand
  }
  EXPECT_LT(first_square, 13.8);
  EXPECT_NEAR(passed[0], 0.1 * rounds, 5 * std::sqrt(rounds * 0.09));
}

TEST(DraftTree, CandidatesAreDrawnWithoutReplacement) {
  const std::vector<float> q{0.5F, 0.0F, 0.3F, 0.2F};
  RandomStream random(3, "drafts");
  std::map<TokenIds, int> seen;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) ++seen[draw_candidates(q, 2, random)];
  // q(a) q(b) / (1 - q(a)).
  EXPECT_EQ(seen.size(), 6u);
  const double expected = 0.5 * 0.3 / 0.5 * draws;
  EXPECT_NEAR((seen[{0, 2}]), expected, 5 * std::sqrt(expected));
  EXPECT_EQ(draw_candidates(q, 9, random).size(), 3u);
  EXPECT_EQ(best_candidates(std::vector<float>{1, 3, 3, 2}, 3), (TokenIds{1, 2, 3}));
  EXPECT_EQ(best_candidates(std::vector<float>{1, 3}, 5), (TokenIds{1, 0}));
  EXPECT_EQ(without(q, 0), (std::vector<float>{0.0F, 0.0F, 0.6F, 0.4F}));
  EXPECT_TRUE(without(std::vector<float>{0, 1}, 1).empty());
}

TEST(DraftTree, DraftsAreOfTheVocabulary) {
  RandomStream random(1, "verification");
  EXPECT_THROW((void)accept_tree(TokenIds{2}, Parents{-1}, std::vector<float>{1, 0},
                                 std::vector<float>{1, 0, 0, 1}, random),
               ModelError);
}

TEST(PromptLookup, TakesTheLongestRunAndOfThoseTheEarliest) {
  //                  0  1  2  3  4  5  6  7  8  9
  const TokenIds text{7, 1, 2, 3, 9, 1, 2, 4, 1, 2};
  EXPECT_EQ(look_up(text, 1, 3, 4), (TokenIds{3, 9, 1, 2}));
  EXPECT_EQ(look_up(text, 1, 1, 2), (TokenIds{3, 9}));  // 2 stands at 2 first
  EXPECT_EQ(look_up(text, 3, 3, 2), TokenIds{});
  const TokenIds longer{5, 2, 8, 1, 2, 6, 1, 2};
  EXPECT_EQ(look_up(longer, 1, 4, 1), TokenIds{6});
  EXPECT_EQ(look_up(longer, 1, 1, 1), TokenIds{8});
}

TEST(PromptLookup, RunsMayOverlapAndEndWithTheText) {
  EXPECT_EQ(look_up(TokenIds{4, 4, 4}, 1, 5, 8), TokenIds{4});
  EXPECT_EQ(look_up(TokenIds{4, 4, 4}, 1, 1, 8), (TokenIds{4, 4}));
  EXPECT_EQ(look_up(TokenIds{4}, 1, 5, 8), TokenIds{});
  EXPECT_EQ(look_up(TokenIds{1, 2, 3}, 1, 3, 8), TokenIds{});
  EXPECT_EQ(look_up(TokenIds{4, 4, 4}, 1, 1, 0), TokenIds{});
}

}  // namespace
}  // namespace tandem::ops
