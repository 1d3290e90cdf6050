// Do gangs exchange the bytes that closed forms say, and move KV by heads?
#include "sim/core/diagnostics.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/step/gang_harness.hpp"

namespace tandem::test {
namespace {

using GangBytes = LoadedGangs;

Bytes bytes_of_role(const LoadedGang& gang, std::string_view role) {
  Bytes sum(0);
  for (const ExchangeRecord& record : gang.exchanges()) {
    if (record.role == role) sum += record.bytes;
  }
  return sum;
}

// 11 rows of 64 floats: 2816 B per sum: the embedding's, and two in each of 4 layers; logits of 2
// sampled rows, 50 entries over 4 ranks: parts of 13, padded from 12 on the last two: 4 x 13 x 2
// x 4.
TEST_F(GangBytes, OfTensorParallelSums) {
  const Weights weights = random_weights(dense_network(), 3);
  const auto loaded = gang({.tensor = 4}, weights);
  (void)run_workload({loaded.get()}, weights.network, {{6, 5}, 0, 1});
  EXPECT_EQ(bytes_of_role(*loaded, "embedding_reduce"), Bytes(2816));
  EXPECT_EQ(bytes_of_role(*loaded, "attention_reduce"), Bytes(4 * 2816));
  EXPECT_EQ(bytes_of_role(*loaded, "ffn_reduce"), Bytes(4 * 2816));
  EXPECT_EQ(bytes_of_role(*loaded, "logits_gather"), Bytes(4 * 13 * 2 * 4));
  EXPECT_EQ(loaded->exchanges().size(), 10U);
}

/// What the choices of tokens put on the wire: rows to distinct other chips, and choices that come
/// back from there.
struct Traffic {
  std::int64_t rows = 0, choices = 0;
  void add(const std::vector<ops::Route>& routes, std::size_t own_chip, std::int64_t per_chip) {
    std::vector<std::size_t> reached;
    for (const ops::Route& route : routes) {
      const std::size_t chip = index_of(route.expert / per_chip);
      if (chip == own_chip) continue;
      ++choices;
      if (std::find(reached.begin(), reached.end(), chip) != reached.end()) continue;
      reached.push_back(chip);
      ++rows;
    }
  }
};

/// Where one token at position 0 goes, by layer: the reference model's parts, one after the other.
std::vector<std::vector<ops::Route>> routes_of(const Weights& weights, std::int32_t token) {
  const NeuralNetwork& net = weights.network;
  std::vector<float> row(index_of(net.hidden));
  const auto first = weights.at("embedding").floats().begin() + token * net.hidden;
  std::copy(first, first + net.hidden, row.begin());
  std::vector<std::vector<ops::Route>> routes;
  for (std::int64_t i = 0; i < net.layers(); ++i) {
    const reference::LayerTensors tensors(weights, "layers." + std::to_string(i) + ".");
    const auto& mixer = std::get<GroupedAttention>(net.layer(i).mixer);
    std::vector<float> normed(row.size()), mixed(row.size());
    reference::HiddenNorm(net.norm, tensors, "attention_norm").apply(row, {}, normed);
    reference::LayerState state, fresh;
    reference::AttentionBlock(net, mixer, tensors, {}).forward(normed, 1, {}, state, mixed);
    for (std::size_t d = 0; d < row.size(); ++d) mixed[d] += row[d];
    const reference::DecoderLayer layer(net, net.layer(i), tensors, {});
    routes.push_back(layer.feed_forward().routes_of(mixed));
    layer.forward(row, 1, {}, fresh);
  }
  return routes;
}

// One request per chip, one token each, so that the reference model says where every row goes:
// dispatch sends a row of 48 floats to each other chip with one of its experts, and two indices
// with it; combine sends a row back per choice.
TEST_F(GangBytes, DispatchAndCombineFollowTheRouting) {
  const Weights weights = random_weights(gptoss_tiny(), 10);
  constexpr std::int64_t ranks = 4;
  const auto loaded = gang({.attention_data = ranks, .expert = ranks}, weights);
  (void)run_workload({loaded.get()}, weights.network, {{1, 1, 1, 1}, 0, ranks});
  Traffic traffic;
  for (std::size_t chip = 0; chip < index_of(ranks); ++chip) {
    for (const auto& routes : routes_of(weights, token_at(weights.network, chip, 0))) {
      traffic.add(routes, chip, 8 / ranks);
    }
  }
  EXPECT_GT(traffic.rows, 0);
  EXPECT_GE(traffic.choices, traffic.rows);
  EXPECT_EQ(bytes_of_role(*loaded, "expert_dispatch"), Bytes(traffic.rows * 48 * 4));
  EXPECT_EQ(bytes_of_role(*loaded, "expert_combine"), Bytes(traffic.choices * 48 * 4));
  Bytes indices(0);
  for (const ExchangeRecord& record : loaded->exchanges()) indices += record.indices;
  EXPECT_EQ(indices, Bytes(traffic.rows * 2 * 4));
}

// Groups of two own half of their rows each around experts: 5 rows in group 0 are 3 and 2, padded
// to 3 + 3, of 48 floats; group 1 has 4 rows, 2 + 2.
TEST_F(GangBytes, OfScatteredRows) {
  const Weights weights = random_weights(gptoss_tiny(), 10);
  const auto loaded = gang({.tensor = 2, .attention_data = 2, .expert = 4}, weights);
  (void)run_workload({loaded.get()}, weights.network, {{5, 4}, 0, 2});
  EXPECT_EQ(bytes_of_role(*loaded, "attention_scatter"), Bytes(2 * (6 + 4) * 48 * 4));
  EXPECT_EQ(bytes_of_role(*loaded, "hidden_gather"), Bytes(2 * (6 + 4) * 48 * 4));
}

TEST_F(GangBytes, KvLeavesAndEntersByHeads) {
  const Weights weights = random_weights(dense_network(), 3);
  const Stage stage = whole_model(weights.network, in_format(ElementType::Float32));
  const auto one = chip_.load(stage, weights, 8, positions);
  const Workload prompt{{9}, 0, 1};
  (void)run_workload({one.get()}, weights.network, prompt);
  const KvBlock block = one->export_kv(0);
  Batch batch;
  StageData in;
  add_slice(weights.network, 0, 9, 1, 1, batch, in);
  const Tensor expected = run_stages({one.get()}, batch, in);
  for (const std::int64_t tensor : {2, 8}) {  // 8 ranks: two hold each of the 4 KV heads
    const auto from = gang({.tensor = tensor}, weights);
    from->import_kv(0, block);
    EXPECT_EQ(from->export_kv(0), block);
    EXPECT_LT(distance({run_stages({from.get()}, batch, in)}, {expected}), other_order);
    const auto to = gang({.tensor = 4}, weights);
    to->import_kv(0, from->export_kv(0));
    EXPECT_EQ(to->export_kv(0).bytes.size(), from->export_kv(0).bytes.size());
    from->release(0);
    EXPECT_THROW((void)from->export_kv(0), ModelError);
  }
}

TEST_F(GangBytes, TimeIsWhatItsChipsAndExchangesTake) {
  const Weights weights = random_weights(dense_network(), 3);
  const auto loaded = gang({.tensor = 2}, weights);
  Batch batch;
  StageData in;
  StageData out;
  add_slice(weights.network, 0, 0, 6, 1, batch, in);
  const StageCost cost = loaded->run(batch, in, out);
  Stage rank = whole_model(weights.network, in_format(ElementType::Float32));
  rank.shard.of.tensor = 2;
  // 4 layers of two sums, the embedding and the logits: ten exchanges of 1 us.
  EXPECT_EQ(cost.time, chip_.simulate(rank, batch, nullptr).time + Picoseconds(10'000'000));
}

TEST_F(GangBytes, WrongUseIsAnError) {
  const Weights weights = random_weights(dense_network(), 3);
  EXPECT_THROW((void)gang({.tensor = 3}, weights), ModelError);
  const auto loaded = gang({.tensor = 2}, weights);
  Batch batch;
  StageData in;
  StageData out;
  add_slice(weights.network, 0, 0, 2, 1, batch, in);
  batch.slices[0].group = 1;
  EXPECT_THROW((void)loaded->run(batch, in, out), ModelError);
}

}  // namespace
}  // namespace tandem::test
