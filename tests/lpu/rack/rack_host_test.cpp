// Small trained models on 1, 2, 4 and 8 LPUs of a node: tensor-parallel gangs have the bits of a
// reference that adds by rank, pipelines have the bits of one chip, and both choose its tokens.
#include "models/lpu/rack_host.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "sim/lower/llama2c_checkpoint.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/rack/gang_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"
#include "tests/support/lpu_reference.hpp"
#include "tests/support/test_data.hpp"

namespace tandem::test {
namespace {

using lpu::RackHost;
using lpu::RackPlan;
using lpu::testing::ShippedFabric;

constexpr ElementType half_type = ElementType::Float16;

// A model decodes so many tokens from its first one, or what the environment says where that is
// more.
constexpr int first_positions = 2;
constexpr int many_positions = 32;
int rack_positions(int by_default) {
  const char* value = std::getenv("TANDEM_LPU_POSITIONS");
  return std::max(by_default, value != nullptr ? std::atoi(value) : 0);
}

RackPlan plan_of(const Weights& weights, int tensor, int pipeline, int head_stages = 0) {
  return {partition_pipeline(weights.network, precision_of(half_type, half_type), pipeline,
                             head_stages),
          tensor};
}

// Nothing to find for the verifier on any chip, and every vector that is sent is received.
void expect_sound(const ShippedFabric& fabric, const lpu::RackProgram& rack) {
  for (const lpu::CompiledStage& chip : rack.chips) {
    expect_verified(chip, fabric.geometry, fabric.latencies);
  }
  for (const std::string& fault :
       lpu::find_unmatched(fabric.topology, rack.programs(), fabric.latencies, rack.starts)) {
    ADD_FAILURE() << fault;
    return;
  }
}

// Greedy decoding: bits of the reference in the gang's order, tokens of one chip.
void expect_decodes(const Weights& weights, const RackPlan& plan, int by_default) {
  SCOPED_TRACE(std::to_string(plan.tensor) + " x " + std::to_string(plan.stages.size()));
  const ShippedFabric fabric("lpu_v1_quadfour", {1});
  RackHost rack(fabric.topology, fabric.geometry, fabric.latencies, plan, 1, 128, weights);
  expect_sound(fabric, rack.program());
  GangReference gang(rank_shares(weights, plan.tensor), half_type, half_type, 320);
  LpuReference one_chip(weights, half_type, half_type, 320);
  std::int32_t token = 1;
  float difference = 0;
  for (int position = 0; position < rack_positions(by_default); ++position) {
    const auto pass = rack.run_token(0, position, embedding_row(weights, token));
    const auto expected = one_chip.forward(token);
    ASSERT_EQ(pass.logits, gang.forward(token)) << position;
    ASSERT_EQ(pass.run.cycles, rack.program().cycles(1));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      difference = std::max(difference, std::fabs(pass.logits[i] - expected[i]));
    }
    EXPECT_EQ(pass.best_token, greedy(expected));
    token = pass.best_token;
  }
  // Roundings of fp16 activations that sums in another order push over an edge.
  EXPECT_LE(difference, plan.tensor == 1 ? 0.0F : 0.05F);
  testing::Test::RecordProperty("difference", std::to_string(difference));
}

Weights little_tales() {
  const std::filesystem::path folder = little_tales_folder();
  return read_llama2c_checkpoint((folder / "model.bin").string());
}

Weights stories() {
  return read_llama2c_checkpoint((stories_folder() / "stories260K.bin").string());
}

TEST(LpuRackHost, LittleTalesOnTensorGangs) {
  const Weights weights = little_tales();
  for (const int tensor : {1, 2, 4}) {
    expect_decodes(weights, plan_of(weights, tensor, 1),
                   tensor == 2 ? many_positions : first_positions);
  }
}

TEST(LpuRackHost, LittleTalesOnPipelines) {
  const Weights weights = little_tales();
  const int layers = static_cast<int>(weights.network.layers());
  expect_decodes(weights, plan_of(weights, 1, 2), many_positions);
  expect_decodes(weights, plan_of(weights, 1, 4), first_positions);
  expect_decodes(weights, plan_of(weights, 1, layers, 8 - layers), first_positions);
}

TEST(LpuRackHost, LittleTalesOnPipelinesOfGangs) {
  const Weights weights = little_tales();
  expect_decodes(weights, plan_of(weights, 2, 2), many_positions);
  expect_decodes(weights, plan_of(weights, 4, 2), first_positions);
  expect_decodes(weights, plan_of(weights, 2, 4), first_positions);
}

TEST(LpuRackHost, StoriesOnEightChips) {
  if (!has_stories()) GTEST_SKIP() << no_stories;
  const Weights weights = stories();
  for (const auto& [tensor, pipeline] : {std::pair(8, 1), std::pair(2, 4)}) {
    expect_decodes(weights, plan_of(weights, tensor, pipeline), first_positions);
  }
  expect_decodes(weights, plan_of(weights, 1, 5, 3), first_positions);
}

}  // namespace
}  // namespace tandem::test
