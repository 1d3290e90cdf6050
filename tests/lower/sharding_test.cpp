// What one chip of a gang holds, runs and exchanges, against closed forms by hand.
#include "sim/lower/sharding.hpp"

#include <gtest/gtest.h>

#include <map>

#include "sim/core/diagnostics.hpp"
#include "sim/lower/kernel.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

constexpr std::int64_t hidden = 64;
constexpr std::int64_t vocabulary = 96;

NeuralNetwork dense() {
  GroupedAttention attention = test::tiny_attention(8, 4, 16);
  attention.rope = test::tiny_rope(10000, 16);
  FeedForward ffn;
  ffn.intermediate = 48;
  return test::tiny_network_of("dense", hidden, vocabulary, {{attention, ffn, false}}, {0, 0});
}

NeuralNetwork mixture() {
  NeuralNetwork network = dense();
  FeedForward& ffn = network.kinds[0].ffn;
  ffn.intermediate = 0;
  ffn.experts = test::tiny_experts(ops::RouterRule::SoftmaxTopk, 16, 2, 32);
  ffn.experts->shared = 1;
  ffn.experts->shared_intermediate = 32;
  return network;
}

Stage rank_of(const NeuralNetwork& network, const Sharding& sharding, std::int64_t rank) {
  Stage stage = whole_model(network, {});
  stage.shard = {sharding, rank};
  return stage;
}

/// One request that decodes per entry: its context and its group.
Batch decoding(const std::vector<std::pair<std::int64_t, std::int64_t>>& requests) {
  Batch batch;
  for (const auto& [context, group] : requests)
    batch.slices.push_back({0, context, 1, true, group});
  return batch;
}

Flops matrix_work(const KernelGraph& graph) {
  Flops total(0);
  for (const Kernel& kernel : graph.kernels) total += work_of(kernel).matrix;
  return total;
}

std::vector<std::string> exchange_roles(const KernelGraph& graph) {
  std::vector<std::string> roles;
  for (const Exchange& exchange : graph.exchanges) roles.emplace_back(exchange.role);
  return roles;
}

// Per layer: norms 2 x 64 everywhere; q 8 x 16 x 64 + output 64 x 8 x 16 + ffn 3 x 48 x 64 divided
// by ranks; k and v 2 x 4 x 16 x 64 divided by at most 4 (KV heads). Table and head 96 x 64
// divided.
TEST(Sharding, TensorRanksHoldTheirHeadsColumnsAndVocabulary) {
  for (const std::int64_t ranks : {1, 2, 4, 8}) {
    const std::int64_t divided = 2 * 8 * 16 * 64 + 3 * 48 * 64;
    const std::int64_t kv = 2 * 4 * 16 * 64 / std::min<std::int64_t>(ranks, 4);
    const std::int64_t layer = 2 * 64 + divided / ranks + kv;
    const std::int64_t tables = 2 * 96 * 64 / ranks + 64;
    const Stage stage = rank_of(dense(), {.tensor = ranks}, ranks - 1);
    EXPECT_EQ(stage.weight_parameters(), 2 * layer + tables) << ranks;
    EXPECT_EQ(stage.kv_bytes_per_token().count(),
              2 * 2 * 2 * 16 * std::max<std::int64_t>(1, 4 / ranks));
  }
}

TEST(Sharding, ContextRanksHoldTheirPartOfEveryCachedToken) {
  const Stage stage = rank_of(dense(), {.tensor = 2, .context = 4}, 0);
  EXPECT_EQ(stage.kv_bytes_per_token().count(), 2 * 2 * 2 * 2 * 16 / 4);
  EXPECT_EQ(stage.weight_parameters(),
            rank_of(dense(), {.tensor = 2, .context = 4}, 7).weight_parameters());
}

// 16 experts of 3 x 32 x 64: 4 ranks with 4 experts each, or 2 runs of 8 whose width 2 chips share.
TEST(Sharding, ExpertRanksHoldTheirExperts) {
  const auto experts_of = [](const Sharding& sharding) {
    const LayerKind own = shard_of(mixture().kinds[0], Shard{sharding, 0});
    return std::pair(own.ffn.experts->count(), own.ffn.experts->intermediate);
  };
  EXPECT_EQ(experts_of({.tensor = 4, .expert = 4}), std::pair(std::int64_t{4}, std::int64_t{32}));
  EXPECT_EQ(experts_of({.tensor = 4, .expert = 2}), std::pair(std::int64_t{8}, std::int64_t{16}));
  EXPECT_EQ(experts_of({.tensor = 4}), std::pair(std::int64_t{16}, std::int64_t{8}));
  EXPECT_EQ(experts_of({.attention_data = 8, .expert = 8}),
            std::pair(std::int64_t{2}, std::int64_t{32}));
}

TEST(Sharding, SaysWhatDoesNotDivide) {
  const auto first = [](const NeuralNetwork& network, const Sharding& sharding) {
    const auto problems = sharding_problems(network, sharding);
    return problems.empty() ? std::string() : problems.front();
  };
  EXPECT_EQ(first(dense(), {.tensor = 3}),
            "dense has 8 attention heads, which tensor x context = 3 does not divide");
  EXPECT_EQ(first(dense(), {.expert = 2}), "dense has no experts; leave 'expert' out");
  EXPECT_EQ(first(mixture(), {.attention_data = 4, .expert = 2}),
            "with attention_data every chip holds experts of its own: 'expert' must be 4");
  EXPECT_EQ(first(mixture(), {.tensor = 2, .expert = 4}),
            "'expert' is 4, which must divide the 2 chips of tensor x context x attention_data");
  EXPECT_EQ(first(dense(), {.tensor = 8}), "");
  EXPECT_THROW((void)shard_of(dense(), Shard{{.tensor = 3}, 0}), ModelError);
}

// Products of q, k, v, output, ffn and head by hand: equal work on every rank, and together that of
// one chip where no KV head is held twice.
TEST(Sharding, TensorRanksShareTheProducts) {
  const Batch batch = decoding({{5, 0}, {9, 0}});
  const Flops alone = matrix_work(lower(whole_model(dense(), {}), batch));
  for (const std::int64_t ranks : {2, 4}) {
    Flops sum(0);
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      sum += matrix_work(lower(rank_of(dense(), {.tensor = ranks}, rank), batch));
    }
    EXPECT_EQ(sum.count(), alone.count()) << ranks;
  }
}

TEST(Sharding, TensorRanksMeetTwicePerLayerAndAtTheVocabulary) {
  const KernelGraph graph = lower(rank_of(dense(), {.tensor = 4}, 1), decoding({{5, 0}, {9, 0}}));
  EXPECT_EQ(exchange_roles(graph),
            (std::vector<std::string>{"embedding_reduce", "attention_reduce", "ffn_reduce",
                                      "attention_reduce", "ffn_reduce", "logits_gather"}));
  const Exchange& first = graph.exchanges[1];
  EXPECT_EQ(first.op, CollectiveOp::AllReduce);
  EXPECT_EQ(first.rows * first.width, 2 * hidden);
  EXPECT_TRUE(first.adds_residual);
  EXPECT_EQ(graph.kernels[static_cast<std::size_t>(first.after) - 1].role, "output_projection");
  const Exchange& logits = graph.exchanges.back();
  EXPECT_EQ(logits.rows * logits.width, 2 * vocabulary);
  for (const Kernel& kernel : graph.kernels) {
    const auto* gemm = std::get_if<GemmKernel>(&kernel.shape);
    EXPECT_FALSE(gemm != nullptr && gemm->adds_residual) << kernel.role;
  }
}

// 8 groups of one chip, 2 experts each. 8 requests of one token choose 16 experts in all.
TEST(Sharding, AttentionGroupsSendRowsToExperts) {
  const Sharding sharding{.attention_data = 8, .expert = 8};
  Batch batch;
  for (std::int64_t group = 0; group < 8; ++group) batch.slices.push_back({0, 7, 1, true, group});
  std::int64_t rows = 0;
  for (std::int64_t rank = 0; rank < 8; ++rank) {
    const KernelGraph graph = lower(rank_of(mixture(), sharding, rank), batch);
    EXPECT_EQ(exchange_roles(graph),
              (std::vector<std::string>{"expert_dispatch", "expert_combine", "expert_dispatch",
                                        "expert_combine"}));
    EXPECT_EQ(graph.exchanges[0].rows, 1);
    EXPECT_EQ(graph.exchanges[0].transport, MoeTransport::LowLatency);
    for (const Kernel& kernel : graph.kernels) {
      const auto* grouped = std::get_if<GroupedGemmKernel>(&kernel.shape);
      if (kernel.role != "expert_down_projection" || kernel.layer != 0) continue;
      for (const std::int64_t r : grouped->rows) rows += r;
    }
  }
  EXPECT_EQ(rows, 8 * 2);
}

// Two chips per group own 3 and 2 of a prompt's 5 rows around the experts.
TEST(Sharding, GroupsOfSeveralChipsOwnRowsAroundExperts) {
  const Sharding sharding{.tensor = 2, .attention_data = 2, .expert = 4};
  Batch batch;
  batch.slices = {{0, 0, 5, true, 0}, {1, 0, 4, false, 1}};
  const KernelGraph graph = lower(rank_of(mixture(), sharding, 0), batch);
  ASSERT_EQ(exchange_roles(graph),
            (std::vector<std::string>{"embedding_reduce", "attention_scatter", "expert_dispatch",
                                      "expert_combine", "hidden_gather", "attention_scatter",
                                      "expert_dispatch", "expert_combine", "hidden_gather",
                                      "logits_gather"}));
  EXPECT_EQ(graph.exchanges[1].rows, 5);
  EXPECT_EQ(graph.exchanges[2].rows, 3);
  EXPECT_EQ(graph.exchanges[2].transport, MoeTransport::Bulk);
  EXPECT_EQ(lower(rank_of(mixture(), sharding, 1), batch).exchanges[2].rows, 2);
  EXPECT_EQ(graph.exchanges[4].rows, 5);
}

TEST(Sharding, AGroupWithoutRequestsHasOnlyRowsOfOthers) {
  const Sharding sharding{.attention_data = 2, .expert = 2};
  const KernelGraph graph = lower(rank_of(mixture(), sharding, 1), decoding({{7, 0}, {7, 0}}));
  ASSERT_EQ(graph.exchanges.size(), 4u);
  EXPECT_EQ(graph.exchanges[0].rows, 0);
  EXPECT_GT(graph.kernels.size(), 0u);
  for (const Kernel& kernel : graph.kernels) {
    EXPECT_TRUE(kernel.role.starts_with("expert_")) << kernel.role;
  }
}

// A cache of 9 tokens on 4 chips: 3, 2, 2, 2; every chip with the heads of all four.
TEST(Sharding, ContextRanksAttendToTheirTokensWithAllHeads) {
  const Sharding sharding{.context = 4};
  std::vector<std::int64_t> lengths;
  for (std::int64_t rank = 0; rank < 4; ++rank) {
    const KernelGraph graph = lower(rank_of(dense(), sharding, rank), decoding({{8, 0}}));
    for (const Kernel& kernel : graph.kernels) {
      const auto* attention = std::get_if<AttentionKernel>(&kernel.shape);
      if (attention == nullptr || kernel.layer != 0) continue;
      EXPECT_EQ(attention->heads, 8);
      lengths.push_back(attention->spans.at(0).kv_len);
    }
  }
  EXPECT_EQ(lengths, (std::vector<std::int64_t>{3, 2, 2, 2}));
}

// 16 experts and 2 copies on 3 chips: 6 each. 100 tokens touch all 16: 200 rows, 13 for the first
// eight, 12 for the others; the first two experts give half of theirs, rounded down, to their
// copies. Chip r has every third one from r on.
TEST(Sharding, CopiesOfExpertsTakeTheirShareOfRows) {
  const Sharding sharding{.attention_data = 3, .expert = 3, .redundant_experts = 2};
  const Experts& experts = *mixture().kinds[0].ffn.experts;
  EXPECT_EQ(shard_of(mixture().kinds[0], Shard{sharding, 0}).ffn.experts->count(), 6);
  const auto rows = [&](std::int64_t rank) {
    return held_expert_rows(100, experts, {sharding, rank});
  };
  EXPECT_EQ(rows(0), (std::vector<std::int64_t>{7, 13, 13, 12, 12, 12}));
  EXPECT_EQ(rows(1), (std::vector<std::int64_t>{7, 13, 13, 12, 12, 6}));
  EXPECT_EQ(rows(2), (std::vector<std::int64_t>{13, 13, 12, 12, 12, 6}));
}

TEST(Sharding, SharesDifferByAtMostOne) {
  EXPECT_EQ(share_of(10, 4, 0).size(), 3);
  EXPECT_EQ(share_of(10, 4, 1).begin, 3);
  EXPECT_EQ(share_of(10, 4, 3).end, 10);
  EXPECT_EQ(share_of(2, 4, 3).size(), 0);
}

}  // namespace
}  // namespace tandem
