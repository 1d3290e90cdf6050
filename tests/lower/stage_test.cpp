// Do cuts of a model cover it exactly once, and do the values of the chip interface add up?
#include <gtest/gtest.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/describe/tensors.hpp"
#include "sim/lower/chip_model.hpp"
#include "tests/lower/networks.hpp"

namespace tandem {
namespace {

TEST(PartitionPipeline, covers_every_layer_and_head_row_once) {
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(seed, "partition");
    NeuralNetwork net = test::tiny_network();
    net.pattern.assign(static_cast<std::size_t>(random.integer(1, 130)), 0);
    net.vocabulary = random.integer(20, 1000);
    const std::int64_t pipeline = random.integer(1, net.layers());
    const std::int64_t head_chips = random.integer(0, 20);
    const auto stages = partition_pipeline(net, {}, pipeline, head_chips);
    ASSERT_EQ(static_cast<std::int64_t>(stages.size()), pipeline + head_chips);
    std::int64_t next_layer = 0;
    std::int64_t next_row = 0;
    std::int64_t parameters = 0;
    std::int64_t shortest = net.layers();
    std::int64_t previous = net.layers();
    for (std::size_t i = 0; i < stages.size(); ++i) {
      const Stage& stage = stages[i];
      ASSERT_EQ(stage.has_embedding, i == 0);
      ASSERT_EQ(stage.first_layer, next_layer);
      next_layer += stage.layers;
      if (stage.has_head()) {
        ASSERT_EQ(stage.head_begin, next_row);
        next_row = stage.head_end;
      }
      if (static_cast<std::int64_t>(i) < pipeline) {
        ASSERT_LE(stage.layers, previous);
        previous = stage.layers;
        shortest = std::min(shortest, stage.layers);
      }
      parameters += stage.weight_parameters();
    }
    ASSERT_EQ(next_layer, net.layers());
    ASSERT_EQ(next_row, net.vocabulary);
    ASSERT_LE(stages[0].layers - shortest, 1);
    // Every head chip has a final norm of its own.
    const std::int64_t extra_norms = std::max<std::int64_t>(head_chips - 1, 0) * net.hidden;
    ASSERT_EQ(parameters, count_parameters(net).total + extra_norms);
  }
}

TEST(PartitionPipeline, refuses_impossible_cuts) {
  const NeuralNetwork net = test::tiny_network();
  EXPECT_THROW((void)partition_pipeline(net, {}, 0, 0), ModelError);
  EXPECT_THROW((void)partition_pipeline(net, {}, 3, 0), ModelError);
  EXPECT_THROW((void)partition_pipeline(net, {}, 1, -1), ModelError);
  EXPECT_THROW((void)partition_pipeline(net, {}, 1, 11), ModelError);
}

TEST(Stage, tied_embeddings_count_once_where_table_and_head_meet) {
  NeuralNetwork net = test::tiny_network();
  net.tied_embeddings = true;
  // 2 x 496 + table 80 + final norm 8.
  EXPECT_EQ(whole_model(net, {}).weight_parameters(), 1080);
  const auto stages = partition_pipeline(net, {}, 2, 0);
  // Apart, each needs the table: 496 + 80 and 496 + 8 + 80.
  EXPECT_EQ(stages[0].weight_parameters(), 576);
  EXPECT_EQ(stages[1].weight_parameters(), 584);
  // One token leaves K and V of 2 heads x 2 in each of 2 layers, 2 bytes each: 32 B.
  EXPECT_EQ(whole_model(net, {}).kv_bytes_per_token(), Bytes(32));
}

TEST(Fit, kv_tokens_are_what_is_left) {
  Fit fit{Bytes(1000), Bytes(500), Bytes(100), Bytes(50), Bytes(40), 1, Bytes(0)};
  EXPECT_EQ(fit.kv_tokens(), 8);  // 350 / 40
  fit.weights = Bytes(2000);
  EXPECT_EQ(fit.kv_tokens(), 0);
  EXPECT_FALSE(fit.holds_weights());
}

TEST(Fit, requests_take_whole_blocks_or_their_state) {
  Fit fit{Bytes(1000), Bytes(500), Bytes(100), Bytes(50), Bytes(2), 16, Bytes(0)};
  // 350 B: 33 tokens take three blocks of 16 x 2 B, 32 two.
  EXPECT_EQ(fit.sequences(33), 3);
  EXPECT_EQ(fit.sequences(32), 5);
  fit.kv_per_token = Bytes(0);
  fit.state_per_sequence = Bytes(100);
  EXPECT_EQ(fit.sequences(1000000), 3);
  fit.weights = Bytes(2000);
  EXPECT_EQ(fit.sequences(1), 0);
}

TEST(Activity, adds_by_name) {
  Activity a{{{"reads", 2}, {"writes", 5}}};
  a += Activity{{{"reads", 3}, {"macs", 7}}};
  EXPECT_EQ(a.counts,
            (std::map<std::string, std::int64_t>{{"macs", 7}, {"reads", 5}, {"writes", 5}}));
}

TEST(KvBlock, size_and_conversion) {
  KvBlock block{ElementType::Float32, 0, 2, {KvShape{1, 2, 2, RopeLayout::Interleaved}}, {}};
  // 1 layer x 2 x 1 head x 2 x 2 tokens x 4 B.
  EXPECT_EQ(block.expected_size(), Bytes(32));
  Tensor values(ElementType::Float32, {8});
  for (std::int64_t i = 0; i < 8; ++i) values.store(i, static_cast<float>(i) + 0x1p-12F);
  block.bytes.assign(values.bytes().begin(), values.bytes().end());
  const KvBlock narrow = block.converted(ElementType::Float16);
  EXPECT_EQ(narrow.expected_size(), Bytes(16));
  const Tensor expected = values.converted(ElementType::Float16);
  EXPECT_TRUE(std::equal(narrow.bytes.begin(), narrow.bytes.end(), expected.bytes().begin(),
                         expected.bytes().end()));
  EXPECT_EQ(block.converted(ElementType::Float32), block);
  block.tokens = 3;
  EXPECT_THROW((void)block.converted(ElementType::Float16), ModelError);
}

/// Bytes 0, 1, 2 ... in every block, so that what went where can be read off.
KvBlock numbered(KvBlock block) {
  for (std::size_t i = 0; i < block.bytes.size(); ++i) block.bytes[i] = static_cast<std::byte>(i);
  return block;
}

std::vector<int> numbers(const std::vector<std::byte>& bytes) {
  std::vector<int> result;
  for (const std::byte byte : bytes) result.push_back(static_cast<int>(byte));
  return result;
}

// 2 tokens, 2 heads, keys of 1 and values of 2 in one byte each: keys 0-3, values 4-11.
TEST(KvBlock, RanksHoldRunsOfHeads) {
  KvBlock whole{ElementType::Fp8E4m3, 0, 2, {KvShape{2, 1, 2, RopeLayout::HalfSplit}}, {}};
  whole.bytes.resize(12);
  whole = numbered(whole);
  EXPECT_EQ(numbers(heads_of_rank(whole, 0, 2).bytes), (std::vector{0, 2, 4, 5, 8, 9}));
  const KvBlock second = heads_of_rank(whole, 1, 2);
  EXPECT_EQ(numbers(second.bytes), (std::vector{1, 3, 6, 7, 10, 11}));
  // Four ranks hold each head twice.
  EXPECT_EQ(heads_of_rank(whole, 2, 4), second);
  EXPECT_EQ(heads_of_rank(whole, 3, 4), second);
  KvBlock again = whole;
  again.bytes.assign(12, std::byte{});
  for (const std::int64_t rank : {0, 1}) put_heads(heads_of_rank(whole, rank, 2), rank, 2, again);
  EXPECT_EQ(again, whole);
}

// One key head and one value head per rank, of 1 and 1; two taps: state 2 floats, then one row of
// inputs for queries, keys and values, 2 floats each. Converting leaves them as they are.
TEST(KvBlock, StatesAreCutByTheirOwnHeads) {
  ops::GatedDeltaShape shape{2, 2, 1, 1, 2};
  KvBlock whole{ElementType::Float16, 0, 9, {shape}, {}};
  whole.bytes.resize(static_cast<std::size_t>(whole.expected_size().count()));
  ASSERT_EQ(whole.bytes.size(), 4U * 8);
  whole = numbered(whole);
  EXPECT_EQ(numbers(heads_of_rank(whole, 1, 2).bytes),
            (std::vector{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31}));
  EXPECT_EQ(whole.converted(ElementType::Float32).bytes, whole.bytes);
}

// Layers of different kinds: KV of 2 bytes per token, a state of 16 bytes, nothing.
TEST(KvBlock, LayersAreTakenOutWhole) {
  KvBlock block{ElementType::Fp8E4m3,
                3,
                5,
                {KvShape{1, 1, 1, RopeLayout::HalfSplit}, ops::GatedDeltaShape{1, 1, 1, 1, 2},
                 std::monostate{}},
                {}};
  block.bytes.resize(10 + 16);
  block = numbered(block);
  ASSERT_TRUE(block.has_expected_size());
  const KvBlock state = block.of_layers(4, 2);
  EXPECT_EQ(state.first_layer, 4);
  EXPECT_EQ(state.layers.size(), 2U);
  EXPECT_EQ(numbers(state.bytes).front(), 10);
  EXPECT_EQ(state.bytes.size(), 16U);
  EXPECT_FALSE(state.has_shape_of(block));
}

}  // namespace
}  // namespace tandem
