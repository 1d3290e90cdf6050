// Do layers whose halves run on GPUs and LPUs compute what their halves compute by themselves, send
// what closed forms say, and take the time of their parts?
#include "models/gpu/loaded_stage.hpp"
#include "tests/step/split_harness.hpp"

namespace tandem::test {
namespace {

std::vector<NeuralNetwork> small_networks() {
  return {dense_network(), gptoss_tiny(), dsv3_tiny(), qwen35_tiny()};
}

/// The reference of the LPU's feed-forward halves, row by row.
class ReferenceBlocks {
 public:
  ReferenceBlocks(const Weights& weights, const Scenario& scenario)
      : tensor_(static_cast<int>(scenario.placement.ffn.tensor)),
        reference_(
            rank_shares({half_of(weights.network, LayerHalf::Second), weights.tensors}, tensor_),
            ElementType::Float16, ElementType::Float16, lanes) {}
  Tensor run(std::size_t layer, const Tensor& rows) {
    Tensor result(rows.type(), rows.shape());
    const std::int64_t width = rows.dim(1);
    for (std::int64_t r = 0; r < rows.dim(0); ++r) {
      std::vector<float> hidden(index_of(ceil_div(width, std::int64_t{lanes}) * lanes));
      for (std::int64_t i = 0; i < width; ++i) hidden[index_of(i)] = rows.load(r * width + i);
      reference_.feed_forward(layer, hidden);
      for (std::int64_t i = 0; i < width; ++i) result.store(r * width + i, hidden[index_of(i)]);
    }
    return result;
  }

 private:
  static constexpr int lanes = 32;
  int tensor_;
  GangReference reference_;
};

/// Passes of mixers on one GPU with the reference of the blocks in between.
class ByHand {
 public:
  ByHand(const Weights& weights, const Scenario& scenario)
      : mixers_(load_on_gpu(chip_,
                            whole_model(half_of(weights.network, LayerHalf::First),
                                        scenario.placement.decode.precision),
                            weights, positions)),
        blocks_(weights, scenario) {}
  Tensor run(const Batch& batch, const StageData& in) {
    const auto pass = mixers_->begin(batch, in);
    for (std::size_t layer = 0; auto rows = pass->advance(); ++layer) {
      pass->receive({blocks_.run(layer, rows->front())});
    }
    StageData out;
    (void)pass->finish(out);
    return out.logits;
  }

 private:
  gpu::GpuChip chip_{gpu::large_chip(), Software{}};
  std::unique_ptr<LoadedStage> mixers_;
  ReferenceBlocks blocks_;
};

/// Three prompts of unequal length, then a token each.
struct TwoPasses {
  std::vector<Batch> batches{2};
  std::vector<StageData> in{2};
  explicit TwoPasses(const NeuralNetwork& network, std::int64_t groups = 1) {
    const std::int64_t lengths[] = {5, 2, 3};
    for (std::size_t r = 0; r < 3; ++r) {
      add_slice(network, r, 0, lengths[r], groups, batches[0], in[0]);
      add_slice(network, r, lengths[r], 1, groups, batches[1], in[1]);
    }
  }
  static constexpr std::int64_t rows = 10 + 3;
};

std::vector<Tensor> through(LoadedStage& stage, const TwoPasses& passes) {
  std::vector<Tensor> logits;
  for (std::size_t i = 0; i < 2; ++i) {
    StageData out;
    (void)stage.run(passes.batches[i], passes.in[i], out);
    logits.push_back(out.logits);
  }
  return logits;
}

TEST(SplitLayers, HaveTheBitsOfTheirHalves) {
  for (const NeuralNetwork& network : small_networks()) {
    SCOPED_TRACE(network.name);
    const Weights weights = half_weights(network, 31);
    const TwoPasses passes(network);
    Scenario scenario = split_layers_scenario(network);
    for (const std::int64_t tensor : {1, 2}) {
      scenario.placement.ffn.tensor = tensor;
      ByHand by_hand(weights, scenario);
      const std::vector<Tensor> expected{by_hand.run(passes.batches[0], passes.in[0]),
                                         by_hand.run(passes.batches[1], passes.in[1])};
      SplitRun run(scenario, weights);
      EXPECT_EQ(through(run.split(), passes), expected) << "LPUs " << tensor;
    }
  }
}

// Rows do not see which others cross with them.
TEST(SplitLayers, OfMicroBatchesHaveTheSameBits) {
  for (const NeuralNetwork& network : {dense_network(), dsv3_tiny(), qwen35_tiny()}) {
    SCOPED_TRACE(network.name);
    const Weights weights = half_weights(network, 32);
    const TwoPasses passes(network);
    Scenario scenario = split_layers_scenario(network);
    SplitRun whole(scenario, weights);
    const std::vector<Tensor> expected = through(whole.split(), passes);
    for (const std::int64_t parts : {2, 3, 5}) {
      scenario.placement.decode.micro_batches = parts;
      scenario.placement.ffn.pipeline = 2;
      SplitRun run(scenario, weights);
      EXPECT_EQ(through(run.split(), passes), expected) << parts << " parts";
      EXPECT_EQ(run.moved(), whole.moved());
    }
  }
}

// Tensor ranks own shares of the rows around the visit; attention groups have rows of their own.
TEST(SplitLayers, OfGangsGiveTheSameTokens) {
  for (const NeuralNetwork& network : {dense_network(), gptoss_tiny(), dsv3_tiny()}) {
    SCOPED_TRACE(network.name);
    const Weights weights = half_weights(network, 33);
    Scenario scenario = split_layers_scenario(network);
    SplitRun one(scenario, weights);
    const std::vector<Tensor> expected = through(one.split(), TwoPasses(network));
    const std::pair<std::int64_t, std::int64_t> gangs[] = {{2, 1}, {1, 2}, {2, 2}};
    for (const auto& [tensor, groups] : gangs) {
      scenario.placement.decode.tensor = tensor;
      scenario.placement.decode.attention_data = groups;
      SplitRun run(scenario, weights);
      const std::vector<Tensor> logits = through(run.split(), TwoPasses(network, groups));
      EXPECT_EQ(best_tokens(logits), best_tokens(expected)) << tensor << " x " << groups;
      EXPECT_LT(distance(logits, expected), tensor == 1 ? 1e-30 : 2e-3);
      EXPECT_EQ(run.moved(), one.moved());
    }
  }
}

// 13 rows of 64 floats there and back in each of 4 layers, whatever the links: 26624 B. Of two
// bridge chips each carries half a row.
TEST(SplitLayers, SendEveryRowTwicePerLayer) {
  const Weights weights = half_weights(dense_network(), 34);
  Scenario scenario = split_layers_scenario(weights.network);
  SplitRun one(scenario, weights);
  (void)through(one.split(), TwoPasses(weights.network));
  EXPECT_EQ(one.moved(), Bytes(2 * 4 * TwoPasses::rows * 64 * 4));
  EXPECT_EQ(one.split().transfers().size(), 2U * 2 * 4);
  scenario.placement.ffn.tensor = 4;
  scenario.placement.ffn.bridge_links = 2;
  SplitRun two(scenario, weights);
  (void)through(two.split(), TwoPasses(weights.network));
  EXPECT_EQ(two.moved(), one.moved());
  EXPECT_EQ(two.split().transfers().size(), 2U * 2 * 4 * 2);
  for (const Transfer& transfer : two.split().transfers()) {
    EXPECT_TRUE(transfer.bytes == Bytes(10 * 32 * 4) || transfer.bytes == Bytes(3 * 32 * 4));
  }
}

/// One micro-batch by itself, by hand: a wire takes 1 ns per byte and 100 ns; program l of a loop
/// of equal programs begins l of the longest passes after the first, and again every 4 of them.
Picoseconds time_by_hand(const std::vector<Picoseconds>& legs,
                         const std::vector<Picoseconds>& passes, Bytes rows) {
  const Picoseconds crossing(1000 * rows.count() + 100'000);
  const Picoseconds longest = *std::max_element(passes.begin(), passes.end());
  Picoseconds now(0);
  for (std::size_t layer = 0; layer < 4; ++layer) {
    now += legs[layer] + crossing;
    Picoseconds turn = longest * static_cast<std::int64_t>(layer);
    for (const Picoseconds pass : passes) {
      while (turn < now) turn += longest * 4;
      now = turn + pass;
    }
    now += crossing;
  }
  return now + legs[4];
}

TEST(SplitLayers, TakeTheTimeOfTheirParts) {
  const Weights weights = half_weights(dense_network(), 35);
  const Scenario scenario = split_layers_scenario(weights.network);
  SplitRun run(scenario, weights);
  Batch batch;
  StageData in, out;
  add_slice(weights.network, 0, 0, 21, 1, batch, in);
  const StageCost cost = run.split().run(batch, in, out);
  const gpu::GpuChip chip(gpu::large_chip(), Software{});
  const Stage mixers =
      whole_model(half_of(weights.network, LayerHalf::First), scenario.placement.decode.precision);
  const std::vector<Picoseconds> legs = chip.simulate(mixers, batch, nullptr).segments;
  ASSERT_EQ(legs.size(), 5U);
  const std::vector<Picoseconds> passes = run.blocks().passes(0, 21);
  ASSERT_GT(passes.size(), 1U);
  EXPECT_EQ(cost.time, time_by_hand(legs, passes, Bytes(21 * 64 * 4)));
  EXPECT_LE(cost.floor, cost.time);
  // 8 crossings of 21 rows, and more.
  EXPECT_GT(cost.floor, Picoseconds(8 * (1000 * 21 * 64 * 4 + 100'000)));
}

// Two micro-batches of 10 rows on wires that are slow: one way's messages follow each other, and
// while one crosses the other computes or crosses the other way.
TEST(SplitLayers, OfMicroBatchesMeetOnTheBridge) {
  const Weights weights = half_weights(dense_network(), 36);
  Scenario scenario = split_layers_scenario(weights.network);
  Batch batch;
  StageData in;
  for (std::size_t r = 0; r < 2; ++r) add_slice(weights.network, r, 0, 10, 1, batch, in);
  Picoseconds times[3];
  for (const std::int64_t parts : {1, 2}) {
    scenario.placement.decode.micro_batches = parts;
    SplitRun run(scenario, weights);
    StageData out;
    times[parts] = run.split().run(batch, in, out).time;
    Picoseconds wire_free[2] = {Picoseconds(0), Picoseconds(0)};
    for (const Transfer& transfer : run.split().transfers()) {
      Picoseconds& free = wire_free[transfer.from == "gpu0" ? 0 : 1];
      const Picoseconds sent =
          std::max(free, transfer.start) + Picoseconds(1000) * transfer.bytes.count();
      EXPECT_EQ(transfer.end, sent + Picoseconds(100'000));
      free = sent;
    }
  }
  // The wires carry 2560 B per row set eight times and are busy half of it both ways at once.
  EXPECT_LT(times[2], times[1] * 3 / 4);
}

}  // namespace
}  // namespace tandem::test
