// What one rank of a gang holds, and what the floor says about a gang's exchanges, by hand.
#include "models/lpu/compiler/rank_share.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "models/lpu/stage_floor.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

Precision fp8() {
  return precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
}

const GroupedAttention& attention_of(const Stage& stage) {
  return std::get<GroupedAttention>(stage.network.kinds.front().mixer);
}

TEST(LpuRankShare, SplitsHeadsColumnsAndHeadRows) {
  const Stage stage = whole_model(small_network(1, 8192, 64, 8, 128, 28672, 128256), fp8());
  const Stage eight = lpu::rank_stage(stage, 8, 3);
  EXPECT_EQ(attention_of(eight).shape.heads, 8);
  EXPECT_EQ(attention_of(eight).shape.kv_heads, 1);
  EXPECT_EQ(eight.network.kinds.front().ffn.intermediate, 3584);
  EXPECT_EQ(eight.network.hidden, 8192);
  EXPECT_EQ(eight.head_begin, 3 * 16032);
  EXPECT_EQ(eight.head_end, 4 * 16032);
  // More ranks than kv heads: two of them hold the same one.
  const Stage sixteen = lpu::rank_stage(stage, 16, 15);
  EXPECT_EQ(attention_of(sixteen).shape.heads, 4);
  EXPECT_EQ(attention_of(sixteen).shape.kv_heads, 1);
}

TEST(LpuRankShare, UnevenHeadRowsOverlapAndUnevenColumnsArePadded) {
  // 10 rows over 4 ranks: 3 each, from 0, 3, 6 and 7. 170 columns over 4: 43, the last one zeros.
  const DenseDecoder network = small_network(1, 64, 4, 2, 8, 170, 10);
  const Stage stage = whole_model(network, fp8());
  const std::vector<std::int64_t> begins{0, 3, 6, 7};
  const Weights weights = spread_weights(network, 1);
  for (int rank = 0; rank < 4; ++rank) {
    const Stage share = lpu::rank_stage(stage, 4, rank);
    EXPECT_EQ(share.head_begin, begins[static_cast<std::size_t>(rank)]);
    EXPECT_EQ(share.head_end, share.head_begin + 3);
    const Weights cut = lpu::rank_weights(weights, 4, rank);
    const Tensor& whole = weights.layer(0, "ffn.down");
    const Tensor& down = cut.layer(0, "ffn.down");
    ASSERT_EQ(down.dim(1), 43);
    for (std::int64_t row = 0; row < 64; ++row) {
      for (std::int64_t c = 0; c < 43; ++c) {
        const std::int64_t column = rank * 43 + c;
        ASSERT_EQ(down.load(row * 43 + c), column < 170 ? whole.load(row * 170 + column) : 0.0F);
      }
    }
    // Ranks 0 and 1 share kv head 0, ranks 2 and 3 kv head 1.
    EXPECT_EQ(cut.layer(0, "attention.key").load(0),
              weights.layer(0, "attention.key").load(rank / 2 * 8 * 64));
    EXPECT_EQ(cut.layer(0, "attention.query").load(0),
              weights.layer(0, "attention.query").load(rank * 8 * 64));
  }
}

// `part` is rank `rank`'s run of four along dimension `axis`.
void expect_quarter(const Tensor& part, const Tensor& whole, std::size_t axis, int rank) {
  std::int64_t outer = 1, inner = 1;
  for (std::size_t d = 0; d < axis; ++d) outer *= whole.dim(d);
  for (std::size_t d = axis + 1; d < whole.shape().size(); ++d) inner *= whole.dim(d);
  const std::int64_t run = part.dim(axis) * inner;
  ASSERT_EQ(part.elements() * 4, whole.elements());
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < run; ++i) {
      ASSERT_EQ(part.load(o * run + i), whole.load((o * 4 + rank) * run + i)) << o << " " << i;
    }
  }
}

TEST(LpuRankShare, SlicesTheWidthOfEveryExpert) {
  NeuralNetwork network = network_of(small_network(1, 64, 4, 2, 8, 1, 10));
  Experts mixture;
  mixture.router.experts = 3;
  mixture.router.top_k = 2;
  mixture.intermediate = 40;
  mixture.shared = 1;
  mixture.shared_intermediate = 20;
  mixture.bias = true;
  network.kinds.front().ffn.intermediate = 0;
  network.kinds.front().ffn.experts = mixture;
  const Weights weights = random_weights(network, 1);
  const std::map<std::string, std::size_t> cut_along{
      {"experts.gate", 1}, {"experts.gate_bias", 1}, {"experts.up", 1},
      {"experts.down", 2}, {"experts.up_bias", 1},   {"shared.gate", 0},
      {"shared.up", 0},    {"shared.down", 1},       {"attention.output", 1}};
  for (int rank = 0; rank < 4; ++rank) {
    const Weights cut = lpu::rank_weights(weights, 4, rank);
    for (const auto& [name, axis] : cut_along) {
      SCOPED_TRACE(name);
      expect_quarter(cut.layer(0, name), weights.layer(0, name), axis, rank);
    }
  }
}

TEST(LpuRankShare, RefusesHeadsThatDoNotDivide) {
  const Stage stage = whole_model(small_network(1, 64, 4, 2, 8, 170, 10), fp8());
  EXPECT_THROW(static_cast<void>(lpu::rank_stage(stage, 8, 0)), ModelError);
  EXPECT_THROW(static_cast<void>(lpu::rank_stage(stage, 3, 0)), ModelError);
}

TEST(LpuGangFloor, CountsHopsOnThePathAndVectorsOnTheLinks) {
  const Stage stage = whole_model(small_network(1, 640, 8, 8, 64, 2560, 2560), fp8());
  const auto floor = lpu::floor_of_stage(lpu_v1_geometry(), lpu::LatencyTable{}, stage, 1, {8});
  // Both ways put as many vectors on a link: 2 whole ones, or 1 out and 1 back. One hop is shorter.
  EXPECT_EQ(floor.hops, 1);
  std::int64_t links = 0;
  for (const auto& part : floor.operators) {
    links += part.link;
    if (part.name != "all-reduce") continue;
    // Read 2, 22 hops to the C2C, 243 on the link, 22 hops back, write 2: 291. Then read 2 + 1 hop,
    // seven sums of 2 and the hidden state's, 1 hop and write 2.
    EXPECT_EQ(part.latency, 291 + 3 + 7 * 2 + 2 + 3);
    EXPECT_EQ(part.link, 2 * 4 * 27);
  }
  EXPECT_EQ(links, 2 * 2 * 4 * 27);
}

TEST(LpuGangFloor, ExchangesOfALayerShareTheLinks) {
  // Links so slow that nothing else binds: two all-reduces of two vectors of four bytes.
  lpu::Geometry geometry = lpu_v1_geometry();
  geometry.links.front().cycles_per_vector = 100'000;
  const Stage stage = whole_model(small_network(1, 640, 8, 8, 64, 2560, 2560), fp8());
  const auto floor = lpu::floor_of_stage(geometry, lpu::LatencyTable{}, stage, 1, {8, 1});
  EXPECT_EQ(floor.throughput, 2 * 2 * 4 * 100'000);
}

}  // namespace
}  // namespace tandem::test
