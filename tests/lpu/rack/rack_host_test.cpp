// Small trained models on 1, 2, 4 and 8 LPUs of a node: tensor-parallel gangs have the bits of a
// reference that adds by rank, pipelines have the bits of one chip, and both choose its tokens.
#include "models/lpu/rack_host.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/verifier.hpp"
#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"
#include "tests/support/lpu_reference.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::test {
namespace {

using lpu::RackHost;
using lpu::RackPlan;
using lpu::testing::ShippedFabric;

constexpr ElementType half = ElementType::Float16;

// A model decodes so many tokens from its first one.
int positions() {
  const char* value = std::getenv("TANDEM_LPU_POSITIONS");
  return value != nullptr ? std::atoi(value) : 2;
}

std::int32_t largest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

RackPlan plan_of(const Weights& weights, int tensor, int pipeline, int head_stages = 0) {
  return {partition_pipeline(weights.network, precision_of(half, half), pipeline, head_stages),
          tensor};
}

// Nothing to find for the verifier on any chip, and every vector that is sent is received.
void expect_sound(const ShippedFabric& fabric, const lpu::RackProgram& rack) {
  for (const lpu::CompiledStage& chip : rack.chips) {
    for (const auto& violation : lpu::verify(chip.program, fabric.geometry, fabric.latencies)) {
      ADD_FAILURE() << lpu::format_violation(violation);
      return;
    }
  }
  for (const std::string& fault :
       lpu::find_unmatched(fabric.topology, rack.programs(), fabric.latencies, rack.starts)) {
    ADD_FAILURE() << fault;
    return;
  }
}

std::vector<Weights> shares_of(const Weights& weights, int ranks) {
  std::vector<Weights> shares;
  for (int rank = 0; rank < ranks; ++rank) {
    shares.push_back(lpu::rank_weights(weights, ranks, rank));
  }
  return shares;
}

// Greedy decoding: bits of the reference in the gang's order, tokens of one chip.
void expect_decodes(const Weights& weights, const RackPlan& plan) {
  SCOPED_TRACE(std::to_string(plan.tensor) + " x " + std::to_string(plan.stages.size()));
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 128, weights);
  expect_sound(fabric, rack.program());
  GangReference gang(shares_of(weights, plan.tensor), half, half, 320);
  LpuReference one_chip(weights, half, half, 320);
  std::int32_t token = 1;
  float difference = 0;
  for (int position = 0; position < positions(); ++position) {
    const auto pass = rack.run_token(0, position, embedding_row(weights, token));
    const auto expected = one_chip.forward(token);
    ASSERT_EQ(pass.logits, gang.forward(token)) << position;
    ASSERT_EQ(pass.run.cycles, rack.program().cycles(1));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference = std::max(difference, std::fabs(pass.logits[i] - expected[i]));
    }
    EXPECT_EQ(pass.best_token, largest(expected));
    token = pass.best_token;
  }
  // Roundings of fp16 activations that sums in another order push over an edge.
  EXPECT_LE(difference, plan.tensor == 1 ? 0.0F : 0.05F);
  testing::Test::RecordProperty("difference", std::to_string(difference));
}

Weights little_tales() {
  const std::filesystem::path folder =
      std::filesystem::path(TANDEM_SOURCE_DIR) / "workloads" / "checkpoints" / "little_tales";
  return read_llama2c_checkpoint((folder / "model.bin").string());
}

Weights stories() {
  return read_llama2c_checkpoint((stories_folder() / "stories260K.bin").string());
}

TEST(LpuRackHost, LittleTalesOnTensorGangs) {
  const Weights weights = little_tales();
  for (const int tensor : {1, 2, 4}) expect_decodes(weights, plan_of(weights, tensor, 1));
}

TEST(LpuRackHost, LittleTalesOnPipelines) {
  const Weights weights = little_tales();
  const int layers = static_cast<int>(weights.network.layers());
  expect_decodes(weights, plan_of(weights, 1, 2));
  expect_decodes(weights, plan_of(weights, 1, 4));
  expect_decodes(weights, plan_of(weights, 1, layers, 8 - layers));
}

TEST(LpuRackHost, LittleTalesOnPipelinesOfGangs) {
  const Weights weights = little_tales();
  for (const auto& [tensor, pipeline] : {std::pair(2, 2), std::pair(4, 2), std::pair(2, 4)}) {
    expect_decodes(weights, plan_of(weights, tensor, pipeline));
  }
}

TEST(LpuRackHost, StoriesOnEightChips) {
  if (!has_stories()) GTEST_SKIP() << no_stories;
  const Weights weights = stories();
  for (const auto& [tensor, pipeline] : {std::pair(8, 1), std::pair(2, 4)}) {
    expect_decodes(weights, plan_of(weights, tensor, pipeline));
  }
  expect_decodes(weights, plan_of(weights, 1, 5, 3));
}

// Heads of Gated DeltaNet divide over a gang like those of attention: the float model's tokens.
TEST(LpuRackHost, RecurrentLayersOnTensorGangs) {
  NeuralNetwork network = network_of(small_network(3, 64, 4, 2, 16, 96, 50));
  LayerKind delta = network.kinds.front();
  delta.mixer = GatedDelta{{2, 4, 16, 16, 4, 64}};
  network.kinds.push_back(delta);
  network.pattern = {1, 0, 1};
  const Weights weights = random_weights(network, 12);
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan_of(weights, 2, 1), 1, 128,
                weights);
  expect_sound(fabric, rack.program());
  ReferenceModel plain(weights);
  for (int position = 0; position < 5; ++position) {
    const std::int32_t token = position * 11 % 50;
    const auto pass = rack.run_token(0, position, embedding_row(weights, token));
    const Tensor expected = plain.forward(token, position);
    ASSERT_EQ(pass.run.cycles, rack.program().cycles(1));
    ASSERT_EQ(pass.logits.size(), expected.floats().size());
    for (std::size_t i = 0; i < pass.logits.size(); ++i) {
      // Logits of order one from weights and activations of eleven bits.
      ASSERT_NEAR(pass.logits[i], expected.floats()[i], 0.02F) << position;
    }
  }
}

}  // namespace
}  // namespace tandem::test
