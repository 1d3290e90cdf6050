// Networks with sliding windows against the reference at every position, alone and in passes of
// several tokens.
#include <gtest/gtest.h>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/stage_floor.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/batch_harness.hpp"
#include "tests/lpu/window_harness.hpp"

namespace tandem::test {
namespace {

// Windows of one token, of a block, longer, and longer than the context; with sinks.
TEST(LpuWindowModels, EqualTheReferenceAtEveryPosition) {
  const DenseDecoder shape = small_network(3, 70, 6, 3, 10, 75, 60);
  for (const std::int64_t window : {1, 32, 33, 66, 200}) {
    SCOPED_TRACE(window);
    NeuralNetwork network = with_windows(shape, window);
    add_sinks(network);
    expect_equal_to_reference(network, narrow_geometry(2), ElementType::Float16, 110);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Without any layer that sees all tokens.
TEST(LpuWindowModels, OfEveryLayerEqualTheReference) {
  NeuralNetwork network = network_of(small_network(2, 70, 4, 2, 12, 75, 60));
  attention_of(network).shape.window = 45;
  expect_equal_to_reference(network, narrow_geometry(2), ElementType::Fp8E4m3, 140);
}

// Vectors of 320 lanes, the window of gpt-oss: a prompt in wide passes, whose KV goes to a chip
// that takes the positions on both sides of a block's end one by one.
TEST(LpuWindowModels, AcrossABlockOf320Tokens) {
  constexpr int width = 12;
  constexpr int prompt = 26 * width;
  constexpr ElementType type = ElementType::Fp8E4m3;
  const auto geometry = lp30_geometry();
  const NeuralNetwork network = with_windows(small_network(1, 40, 2, 1, 64, 40, 40), 128);
  const Weights weights = random_weights(network, 11);
  const Stage stage = tandem::whole_model(network, precision_of(type, type));
  const auto token_at = [](int position) { return (7 * position + 1) % 40; };
  LpuReference reference(weights, type, type, geometry.lanes());

  const auto compiled =
      lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, 1, 330, {}, {width});
  lpu::ChipHost wide(geometry, lpu::LatencyTable{}, compiled, weights);
  for (int first = 0; first < prompt; first += width) {
    std::vector<lpu::TokenPlace> places;
    std::vector<std::span<const float>> hidden;
    for (int position = first; position < first + width; ++position) {
      places.push_back({0, position});
      hidden.push_back(embedding_row(weights, token_at(position)));
    }
    const auto pass = wide.run_tokens(places, hidden);
    for (int i = 0; i < width; ++i) {
      ASSERT_EQ(pass.tokens[static_cast<std::size_t>(i)].logits,
                reference.forward(token_at(first + i)))
          << "position " << first + i;
    }
  }

  StageUnderTest single(geometry, stage, weights, 1, 330);
  single.host->write_kv(0, wide.read_kv(0, prompt));
  for (int position = prompt; position < 330; ++position) {
    const int token = token_at(position);
    const auto pass = single.host->run_token(0, position, embedding_row(weights, token));
    ASSERT_EQ(pass.logits, reference.forward(token)) << "position " << position;
    ASSERT_EQ(pass.run.cycles, single.compiled.cycles.at(position / geometry.lanes() + 1));
  }
}

// Requests at different positions in one pass, each with its own window; then chunks of a prompt.
TEST(LpuWindowModels, PassesOfSeveralTokensGiveTheBitsOfSinglePasses) {
  for (const std::int64_t window : {7, 40}) {
    const NeuralNetwork network = with_windows(small_network(2, 50, 6, 3, 10, 75, 70), window);
    BatchUnderTest chip(narrow_geometry(2), random_weights(network, 9), ElementType::Float16, 4, 4,
                        96);
    for (std::int64_t pass = 0; pass < 70; ++pass) {
      std::vector<lpu::TokenPlace> places;
      for (int r = 0; r < 4; ++r) {
        if (pass >= 9 * r) places.push_back({r, pass - 9 * r});
      }
      chip.expect_equal(places);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(LpuWindowModels, ChunksOfAPromptGiveTheBitsOfTokenByToken) {
  const NeuralNetwork network = with_windows(small_network(2, 50, 6, 3, 10, 75, 70), 20);
  BatchUnderTest chip(narrow_geometry(2), random_weights(network, 9), ElementType::Fp8E4m3, 1, 4,
                      96);
  std::int64_t position = 0;
  for (const int chunk : {3, 4, 4, 4, 4, 4, 4, 4, 1, 4, 4, 4, 4, 4, 4, 4, 4, 2}) {
    std::vector<lpu::TokenPlace> places;
    for (int i = 0; i < chunk; ++i) places.push_back({0, position++});
    chip.expect_equal(places);
    if (HasFatalFailure()) return;
  }
  chip.expect_equal_kv(0, position);
}

TEST(LpuWindowModels, GptossTinyEqualsTheReferenceBitForBit) {
  expect_equal_to_reference(gptoss_tiny(), narrow_geometry(2), ElementType::Float16, 64, 31);
  expect_equal_to_reference(gptoss_tiny(), narrow_geometry(4), ElementType::Fp8E4m3, 64, 31);
}

/// Cycles of a pass of a timed machine at the first position of a request's block `blocks`.
std::int64_t simulated_cycles(const lpu::CompiledStage& compiled, const lpu::Geometry& geometry,
                              std::int64_t blocks) {
  lpu::Machine machine(geometry, lpu::LatencyTable{}, false);
  machine.load(compiled.program, {});
  const auto registers =
      lpu::pass_registers(geometry, compiled.layout, 0, (blocks - 1) * geometry.lanes());
  for (int reg = 1; reg < lpu::host_registers; ++reg) {
    machine.set_register(reg, registers[static_cast<std::size_t>(reg)]);
  }
  return machine.run({}).cycles;
}

// A sliding and a full layer of gpt-oss-120b, one of 32 ranks' share: predicted cycles are those of
// the machine, and a longer context costs the sliding layer nothing.
TEST(LpuWindowModels, LayersOfGptOss120bCompileForTiming) {
  NeuralNetwork network = with_windows(small_network(2, 2880, 64, 8, 64, 1, 320), 128);
  for (LayerKind& kind : network.kinds) {
    auto& attention = std::get<GroupedAttention>(kind.mixer);
    attention.qkv_bias = attention.output_bias = attention.sinks = true;
    attention.rope->scaling = ops::YarnScaling{32, 4096, 32, 1, false, 1, 0};
    kind.ffn.intermediate = 0;
    kind.ffn.activation = ActivationKind::ClampedSwiglu;
    kind.ffn.experts = Experts{};
    kind.ffn.experts->router.experts = 128;
    kind.ffn.experts->router.top_k = 4;
    kind.ffn.experts->router.bias = kind.ffn.experts->bias = true;
    kind.ffn.experts->intermediate = 2880;
  }
  const auto geometry = lp30_geometry();
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  Stage share = lpu::rank_stage(tandem::whole_model(network, byte), 32, 31);
  share.network.vocabulary = share.head_end;
  const auto compiled =
      lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", share, 1, 40 * 320);
  expect_verified(compiled, geometry);
  for (const std::int64_t blocks : {1, 2, 3, 7, 40}) {
    EXPECT_EQ(simulated_cycles(compiled, geometry, blocks), compiled.cycles.at(blocks)) << blocks;
  }
  EXPECT_EQ(compiled.cycles.window.further_iterations(40), 0);
  const auto floor = lpu::floor_of_stage(geometry, lpu::LatencyTable{}, share, 320);
  RecordProperty("cycles", std::to_string(compiled.cycles.base));
  RecordProperty("per_iteration", std::to_string(compiled.cycles.per_iteration));
  RecordProperty("blocks_per_iteration", std::to_string(compiled.cycles.blocks_per_iteration));
  RecordProperty("floor", std::to_string(floor.cycles()));
}

}  // namespace
}  // namespace tandem::test
