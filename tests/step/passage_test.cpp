// Ranks that all do the same go through a pass as those that are walked one by one.
#include "sim/step/passage.hpp"

#include <gtest/gtest.h>

#include <array>

namespace tandem {
namespace {

/// Three layers with an exchange of two kinds each, and a visit elsewhere where asked for.
RankWork layers(bool visits) {
  RankWork work;
  const auto meet = [&](std::string_view role, std::int64_t rows, RankGroup group) {
    Exchange exchange;
    exchange.role = role;
    exchange.layer = static_cast<std::int64_t>(work.exchanges.size());
    exchange.rows = rows;
    exchange.width = 8;
    exchange.group = group;
    work.exchanges.push_back(exchange);
  };
  for (int layer = 0; layer < 3; ++layer) {
    meet("attention_reduce", 4, RankGroup::Attention);
    meet("ffn_reduce", 5, RankGroup::Gang);
    if (visits) meet("ffn_elsewhere", 4, RankGroup::Elsewhere);
  }
  for (std::size_t i = 0; i <= work.exchanges.size(); ++i) {
    work.result.segments.emplace_back(static_cast<std::int64_t>(100 + 7 * i));
  }
  return work;
}

CollectiveCost price(const std::vector<std::int64_t>& ranks, const Exchange& exchange) {
  CollectiveCost cost;
  cost.time = Picoseconds(exchange.rows * 10 + static_cast<std::int64_t>(ranks.size()));
  cost.link_bytes = {{"nvlink", exchange.rows * 3}};
  return cost;
}

TEST(Passage, RanksInStepAreAsIfWalkedOneByOne) {
  Sharding sharding;
  sharding.tensor = 4;
  for (const bool visits : {false, true}) {
    const RankWork work = layers(visits);
    const std::array<RankWork, 4> own = {work, work, work, work};
    const Passage in_step = pass_through({{&work, &work, &work, &work}}, sharding, price);
    const Passage walked = pass_through({{&own[0], &own[1], &own[2], &own[3]}}, sharding, price);
    EXPECT_EQ(in_step.time, walked.time);
    EXPECT_EQ(in_step.legs, walked.legs);
    EXPECT_EQ(in_step.legs.empty(), !visits);
    EXPECT_EQ(in_step.link_bytes, walked.link_bytes);
    EXPECT_EQ(in_step.last.rank, walked.last.rank);
    EXPECT_EQ(in_step.last.exchanges, walked.last.exchanges);
    // By hand: 3 x (44 + 54) in exchanges, and the segments.
    std::int64_t segments = 0;
    for (const Picoseconds segment : work.result.segments) segments += segment.count();
    EXPECT_EQ(in_step.time, Picoseconds(3 * (44 + 54) + segments));
    EXPECT_EQ(in_step.link_bytes.at("nvlink"), 3 * (12 + 15));
  }
}

}  // namespace
}  // namespace tandem
