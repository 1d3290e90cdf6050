// Bytes that a timed pass puts on links against closed forms, placement by placement. Every byte
// between two GPUs of a node crosses two links: to the switch and from it.
#include <gtest/gtest.h>

#include "sim/core/integers.hpp"
#include "sim/entry/api.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem::entry {
namespace {

constexpr std::int64_t links = 2, two_bytes = 2;

struct Pass {
  Scenario scenario;
  std::map<std::string, std::int64_t> link_bytes;
};

/// One token each of `requests` requests.
Pass decode(const Context& context, const std::string& name, std::int64_t requests,
            const std::vector<Override>& overrides) {
  Scenario scenario = context.loader.scenario(name, overrides);
  StageStore store;
  PoolModel pool(scenario, scenario.placement.decode, 0, context.catalogue, context.make_network,
                 store);
  Batch batch;
  for (std::int64_t i = 0; i < requests; ++i) {
    batch.slices.push_back({.request = i, .context = 500, .new_tokens = 1});
  }
  return {scenario, pool.step(batch).link_bytes};
}

/// What an all-reduce of `bytes` puts on links, by the algorithm that runs it: everyone's buffer to
/// everyone, or a share of each buffer to its owner and the sum back to all.
std::int64_t all_reduce(const Context& context, const Scenario& scenario, std::int64_t ranks,
                        std::int64_t bytes) {
  std::vector<ChipAddress> chips;
  for (std::int64_t i = 0; i < ranks; ++i) chips.push_back({scenario.placement.decode.pool, i});
  Collective collective;
  collective.bytes = Bytes(bytes);
  const auto model = context.make_network.collectives(scenario.system, scenario.software);
  const std::string algorithm = model->cost(chips, collective).algorithm;
  EXPECT_TRUE(algorithm == "one_shot" || algorithm == "two_shot") << algorithm;
  const std::int64_t copies = algorithm == "one_shot" ? ranks * (ranks - 1) : 2 * (ranks - 1);
  return copies * bytes * links;
}

// Sums of the embedding and of two halves of 80 layers; parts of the logits to every other rank.
TEST(LinkBytes, OfTensorParallelPasses) {
  const Context context = make_context();
  for (const std::int64_t ranks : {2, 4, 8}) {
    for (const std::int64_t requests : {1, 16, 128}) {
      SCOPED_TRACE(testing::Message() << ranks << " ranks, " << requests << " requests");
      const Pass pass = decode(
          context, "llama70b_gpu", requests,
          {{"placement.tensor", std::to_string(ranks)}, {"placement.precision.weights", "fp8"}});
      const NeuralNetwork& network = pass.scenario.model;
      const std::int64_t sum = requests * network.hidden * two_bytes;
      const std::int64_t logits =
          (ranks - 1) * requests * ceil_div(network.vocabulary, ranks) * ranks * two_bytes * links;
      EXPECT_EQ(
          pass.link_bytes.at("nvlink4"),
          (1 + 2 * network.layers()) * all_reduce(context, pass.scenario, ranks, sum) + logits);
    }
  }
}

// Hidden rows from each of four stages to the next, and a candidate per request, its token
// and logit, back to the first.
TEST(LinkBytes, OfPipelines) {
  const Context context = make_context();
  const Pass pass =
      decode(context, "llama70b_gpu", 16, {{"placement.tensor", "1"}, {"placement.pipeline", "4"}});
  const std::int64_t hidden = 16 * pass.scenario.model.hidden * two_bytes;
  EXPECT_EQ(pass.link_bytes.at("nvlink4"), (3 * hidden + 16 * 8) * links);
}

// Mixtral, one of eight experts per rank: each of a token's two choices is elsewhere with
// probability 7/8, on different ranks; rows go there and come back in each of 32 layers. What is
// sampled stays on its rank.
TEST(LinkBytes, OfExpertsOnTheirOwnChips) {
  const Context context = make_context();
  for (const std::int64_t requests : {8, 64}) {
    const Pass pass = decode(context, "llama70b_gpu", requests,
                             {{"model", "mixtral-8x7b"},
                              {"placement.tensor", "1"},
                              {"placement.attention_data", "8"},
                              {"placement.expert", "8"}});
    const std::int64_t row = pass.scenario.model.hidden * two_bytes;
    EXPECT_EQ(pass.link_bytes.at("nvlink4"), 2 * (2 * row * 7 / 8) * requests * 32 * links);
  }
}

// DeepSeek-V3's rows over one node and over two, by both kernels: every further token takes time.
TEST(ExpertExchanges, TakeLongerWithEveryDoublingOfTokens) {
  const Context context = make_context();
  const Scenario scenario =
      context.loader.scenario("llama70b_gpu", std::vector<Override>{{"system", "h100_nodes"}});
  const auto model = context.make_network.collectives(scenario.system, scenario.software);
  for (const std::int64_t ranks : {8, 16}) {
    std::vector<ChipAddress> chips;
    for (std::int64_t i = 0; i < ranks; ++i) chips.push_back({"gpu", i});
    for (const MoeTransport transport : {MoeTransport::LowLatency, MoeTransport::Bulk}) {
      Picoseconds last{0};
      for (std::int64_t tokens = 1; tokens <= 256; tokens *= 2) {
        Collective exchange;
        exchange.op = CollectiveOp::MoeDispatch;
        exchange.type = ElementType::Fp8E4m3;
        exchange.tokens = tokens;
        exchange.hidden = 7168;
        exchange.top_k = 8;
        exchange.experts = 256;
        exchange.transport = transport;
        const Picoseconds time = model->cost(chips, exchange).time;
        EXPECT_GT(time, last) << ranks << " ranks, " << tokens << " tokens";
        last = time;
      }
    }
  }
}

}  // namespace
}  // namespace tandem::entry
