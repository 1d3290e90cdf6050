// Passes of gangs by hand: every kernel takes 10 ns, products of experts 1 ns per row besides; an
// exchange 1 us and 1 ns per byte, dispatch and combine 5 us and 1 us per row.
#include <gtest/gtest.h>

#include "sim/core/integers.hpp"
#include "sim/step/gang_model.hpp"
#include "sim/step/time_parts.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

Picoseconds ns(std::int64_t count) {
  return Picoseconds(1000 * count);
}

class KernelChip final : public ChipModel {
 public:
  const Chip& chip() const override { return chip_; }
  Hertz clock() const override { return Hertz(1e9); }
  Fit fit(const Stage&, std::int64_t, std::int64_t) const override { return {}; }
  std::int64_t batch_limit() const override { return 0; }
  StageCost simulate(const Stage& stage, const Batch& batch, TimelineRecorder*) const override {
    const KernelGraph graph = lower(stage, batch);
    StageCost cost;
    std::size_t kernel = 0;
    for (std::size_t i = 0; i <= graph.exchanges.size(); ++i) {
      const std::size_t end =
          i < graph.exchanges.size() ? index_of(graph.exchanges[i].after) : graph.kernels.size();
      Picoseconds segment{0};
      for (; kernel < end; ++kernel) segment += time(graph.kernels[kernel]);
      cost.segments.push_back(segment);
      cost.time += segment;
    }
    if (graph.exchanges.empty()) cost.segments.clear();
    cost.bottleneck = "fake";
    cost.activity.counts["kernels"] = static_cast<std::int64_t>(graph.kernels.size());
    return cost;
  }
  Picoseconds floor(const Stage& stage, const Batch& batch) const override {
    return simulate(stage, batch, nullptr).time / 2;
  }
  KernelCost simulate_run(const KernelRun&) const override { return {}; }
  std::unique_ptr<LoadedStage> load(const Stage&, const Weights&, std::int64_t,
                                    std::int64_t) const override {
    return nullptr;
  }
  Watts static_power() const override { return Watts(0); }
  std::map<std::string, Joules> energy_per_count() const override { return {}; }

 private:
  static Picoseconds time(const Kernel& kernel) {
    std::int64_t rows = 0;
    if (const auto* grouped = std::get_if<GroupedGemmKernel>(&kernel.shape)) {
      for (const std::int64_t r : grouped->rows) rows += r;
    }
    return ns(10 + rows);
  }
  Chip chip_;
};

class FakeCollectives final : public CollectiveModel {
 public:
  CollectiveCost cost(const std::vector<ChipAddress>& ranks, const Collective& c) override {
    EXPECT_GT(ranks.size(), 1u);
    CollectiveCost cost;
    cost.time = c.hidden > 0 ? ns(5000 + 1000 * c.tokens) : ns(1000 + c.bytes.count());
    if (c.entry == CollectiveEntry::Library) cost.time += ns(1);
    cost.floor = cost.time / 4;
    cost.link_bytes["wire"] = 7;
    return cost;
  }
  std::vector<Tensor> exchange(const std::vector<ChipAddress>&, const Collective&,
                               const std::vector<Tensor>&) override {
    return {};
  }
};

NeuralNetwork network(bool experts) {
  FeedForward ffn;
  ffn.intermediate = experts ? 0 : 48;
  if (experts) ffn.experts = test::tiny_experts(ops::RouterRule::SoftmaxTopk, 16, 2, 32);
  GroupedAttention attention = test::tiny_attention(8, 4, 16);
  attention.rope = test::tiny_rope(10000, 16);
  return test::tiny_network_of("net", 64, 96, {{attention, ffn, false}}, {0, 0});
}

class Gang : public testing::Test {
 protected:
  GangCost cost(const NeuralNetwork& net, const Sharding& sharding, const Batch& batch,
                RankPolicy policy = RankPolicy::Classes) {
    StageStore store;
    return GangModel(chip_, 1, collectives_, store)
        .cost(stage(net, sharding), chips(sharding), {batch}, policy);
  }
  static Stage stage(const NeuralNetwork& net, const Sharding& sharding) {
    Stage stage = whole_model(net, {});
    stage.shard.of = sharding;
    return stage;
  }
  static std::vector<ChipAddress> chips(const Sharding& sharding) {
    std::vector<ChipAddress> chips;
    for (std::int64_t i = 0; i < sharding.ranks(); ++i) chips.push_back({"gpu", i});
    return chips;
  }
  KernelChip chip_;
  FakeCollectives collectives_;
};

Batch decoding(const std::vector<std::int64_t>& groups) {
  Batch batch;
  for (const std::int64_t group : groups) batch.slices.push_back({0, 7, 1, true, group});
  return batch;
}

// Kernels: embedding 1, per layer norm qkv rope attention output 5 and norm up activation down 4,
// then final norm, head, sample 3: 22 x 10 ns. Sums of one row of 64 x 2 B: 5 x (1000 + 128) ns;
// logits 96 x 2 B by the library: 1000 + 192 + 1 ns.
TEST_F(Gang, TensorRanksWaitForEverySum) {
  const GangCost cost = this->cost(network(false), {.tensor = 4}, decoding({0}));
  EXPECT_EQ(cost.time, ns(220 + 5 * 1128 + 1193));
  EXPECT_EQ(cost.exchanges.at("attention_reduce"), ns(2 * 1128));
  EXPECT_EQ(bound_of(parts_of(cost.time, cost.kernel_times, cost.exchanges), cost.bottleneck),
            "exchange");
  EXPECT_EQ(cost.activity.at("kernels"), 4 * 22);
  EXPECT_EQ(cost.link_bytes.at("wire"), 6 * 7);
  EXPECT_EQ(cost.simulated_ranks, 1);
}

TEST_F(Gang, AllRanksAndOneOfEachKindAgreeWhereRanksAreEqual) {
  const Sharding shardings[] = {{.tensor = 8},
                                {.attention_data = 8, .expert = 8},
                                {.tensor = 2, .attention_data = 4, .expert = 8},
                                {.tensor = 2, .context = 2, .attention_data = 2, .expert = 8}};
  for (const Sharding& sharding : shardings) {
    Batch batch;
    for (std::int64_t i = 0; i < 16; ++i) {
      batch.slices.push_back({0, 7, 1, true, i % sharding.attention_data});
    }
    const NeuralNetwork net = network(sharding.expert > 1);
    const GangCost classes = cost(net, sharding, batch);
    const GangCost all = cost(net, sharding, batch, RankPolicy::All);
    EXPECT_EQ(classes.time, all.time);
    EXPECT_EQ(classes.activity, all.activity);
    EXPECT_EQ(classes.link_bytes, all.link_bytes);
    EXPECT_LT(classes.simulated_ranks, all.simulated_ranks);
    EXPECT_EQ(all.simulated_ranks, sharding.ranks());
  }
}

// Group 0 has three requests and group 1 none. Their 6 choices fall on 16 (1 - (1 - 2/16)^3) = 5
// experts: 2 rows for the first, 1 for each other; chip 0 holds the first, third and fifth, 4 rows.
// Chip 0, per layer: 5 kernels of attention, norm, router projection, router: 80 ns; products 14,
// activation 10, products 14, residual 10. Chip 1 has only products and waits. Dispatch and combine
// carry the most rows of a chip: 5000 + 3 x 1000 ns. Dealt evenly they would carry 2.
TEST_F(Gang, UnevenGroupsWaitForTheSlowest) {
  const Sharding sharding{.attention_data = 2, .expert = 2};
  const Batch uneven = decoding({0, 0, 0});
  const GangCost all = cost(network(true), sharding, uneven, RankPolicy::All);
  const Picoseconds layer = ns(80 + 38 + 10 + 2 * 8000);
  EXPECT_EQ(all.time, ns(10) + 2 * layer + ns(30));
  // Half of the chips send: 3.5 of the 7 bytes of an exchange with 3 rows each, rounded; 4 of them.
  EXPECT_EQ(all.link_bytes.at("wire"), 4 * 4);
  EXPECT_EQ(cost(network(true), sharding, uneven).time, all.time);
  const GangCost even = cost(network(true), sharding, dealt_to_groups(uneven, 2));
  EXPECT_EQ(even.time, ns(10) + 2 * ns(80 + 38 + 10 + 2 * 7000) + ns(30));
}

TEST_F(Gang, FloorsTakeNoSimulation) {
  StageStore store;
  const Sharding sharding{.tensor = 4};
  GangModel gang(chip_, 1, collectives_, store);
  const GangFloor floor =
      gang.floor(stage(network(false), sharding), chips(sharding), decoding({0}));
  EXPECT_EQ(floor.kernels, ns(110));
  EXPECT_EQ(floor.exchanges, ns(5 * 282) + Picoseconds(1193000 / 4));
  EXPECT_EQ(floor.chain, floor.kernels + floor.exchanges);
  EXPECT_EQ(store.computed(), 0);
}

// Two micro-batches of one request each, one layer's worth by hand: kernels and exchanges of both
// are those of one; while one exchanges the other computes. Exchanges (1128 ns and more) are longer
// than what lies between them, so those of both queue behind each other: the first segment, then
// all twelve exchanges without a gap, then the last segment of the second.
TEST_F(Gang, MicroBatchesComputeWhileOthersExchange) {
  StageStore store;
  const Sharding sharding{.tensor = 4};
  GangModel gang(chip_, 1, collectives_, store);
  const std::vector<Batch> halves = {decoding({0}), decoding({0})};
  const GangCost cost =
      gang.cost(stage(network(false), sharding), chips(sharding), halves, RankPolicy::Classes);
  EXPECT_EQ(cost.time, ns(10 + 2 * (5 * 1128 + 1193) + 10));
  EXPECT_EQ(cost.activity.at("kernels"), 2 * 4 * 22);
}

// Each rank's track tells of kernels and exchanges in turn, without gaps, until it is through.
TEST_F(Gang, ATraceLeavesNoGaps) {
  StageStore store;
  const Sharding sharding{.tensor = 4};
  GangModel gang(chip_, 1, collectives_, store);
  PassTrace trace;
  const GangCost cost = gang.cost(stage(network(false), sharding), chips(sharding), {decoding({0})},
                                  RankPolicy::Classes, &trace);
  Picoseconds end{0};
  std::vector<std::string> labels;
  for (const PassSpan& span : trace) {
    if (span.track != "rank 2") continue;
    EXPECT_EQ(span.start, end);
    end = span.end;
    labels.push_back(span.label);
  }
  EXPECT_EQ(end, cost.time);
  ASSERT_EQ(labels.size(), 13U);  // six exchanges between seven segments
  EXPECT_EQ(labels[0], "kernels");
  EXPECT_EQ(labels[1], "embedding_reduce");
}

// Ranks of one class have the same kernels; the class is what the store knows them by.
TEST_F(Gang, RanksOfAClassHaveEqualKernels) {
  const Sharding shardings[] = {{.tensor = 8},
                                {.tensor = 2, .context = 4},
                                {.attention_data = 8, .expert = 8},
                                {.tensor = 2, .attention_data = 4, .expert = 8},
                                {.tensor = 4, .expert = 2}};
  const Batch batches[] = {decoding({0}),
                           decoding({0, 1, 2, 3, 3}),
                           {{{0, 0, 5, true, 0}, {1, 3, 4, false, 1}, {2, 9, 1, true, 1}}}};
  for (const Sharding& sharding : shardings) {
    for (const Batch& drawn : batches) {
      const Batch batch = sharding.attention_data > 3 ? drawn : dealt_to_groups(drawn, 1);
      std::map<std::uint64_t, std::vector<std::uint64_t>> kernels_of;
      for (std::int64_t rank = 0; rank < sharding.ranks(); ++rank) {
        Stage own = stage(network(sharding.expert > 1), sharding);
        own.shard.rank = rank;
        std::vector<std::uint64_t> keys;
        for (const Kernel& kernel : lower(own, batch).kernels) keys.push_back(key_of(kernel));
        const auto [known, is_new] = kernels_of.try_emplace(rank_class(own, batch), keys);
        EXPECT_EQ(known->second, keys) << "rank " << rank;
      }
    }
  }
}

TEST(DealtToGroups, LongestFirstEvenly) {
  Batch batch;
  for (const std::int64_t context : {5, 40, 30, 10}) batch.slices.push_back({context, context, 1});
  const Batch dealt = dealt_to_groups(batch, 2);
  std::map<std::int64_t, std::int64_t> tokens;
  for (const SequenceSlice& slice : dealt.slices) tokens[slice.group] += slice.context;
  EXPECT_EQ(tokens.at(0), 45);
  EXPECT_EQ(tokens.at(1), 40);
}

}  // namespace
}  // namespace tandem
