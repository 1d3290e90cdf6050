// One layer of published mixtures of experts, a rank's share of it: compile time and distance from
// the floor. Timing only; the exchange between ranks is not in it.
#include <gtest/gtest.h>

#include <chrono>

#include "models/lpu/compiler/rank_share.hpp"
#include "models/lpu/stage_floor.hpp"
#include "tests/lpu/mixture_harness.hpp"

namespace tandem::test {
namespace {

struct LayerCase {
  const char* name;
  NeuralNetwork network;
  int ranks;
};

NeuralNetwork one_layer(std::int64_t hidden, std::int64_t heads, std::int64_t kv_heads,
                        std::int64_t head_dim, std::int64_t experts, std::int64_t top_k,
                        std::int64_t intermediate) {
  return with_experts(small_network(1, hidden, heads, kv_heads, head_dim, 1, 320), experts, top_k,
                      intermediate);
}

// Shapes of workloads/models, with a head of one vector.
std::vector<LayerCase> published_layers() {
  LayerCase mixtral{"Mixtral 8x7B", one_layer(4096, 32, 8, 128, 8, 2, 14336), 8};
  LayerCase qwen{"Qwen3-235B", one_layer(4096, 64, 4, 128, 128, 8, 1536), 16};
  std::get<GroupedAttention>(qwen.network.kinds.front().mixer).qk_norm = QkNorm::PerHead;
  LayerCase oss{"gpt-oss-120b", one_layer(2880, 64, 8, 64, 128, 4, 2880), 16};
  auto& attention = std::get<GroupedAttention>(oss.network.kinds.front().mixer);
  attention.qkv_bias = attention.output_bias = attention.sinks = true;
  attention.rope->scaling = ops::YarnScaling{32, 4096, 32, 1, false, 1, 0};
  oss.network.kinds.front().ffn.activation = ActivationKind::ClampedSwiglu;
  oss.network.kinds.front().ffn.experts->bias = true;
  oss.network.kinds.front().ffn.experts->router.bias = true;
  return {mixtral, qwen, oss};
}

TEST(LpuLayers, OfExpertsEqualTheReferenceOnLpuV1AndLp30) {
  const NeuralNetwork network = small_mixture(1, 330, 32, 4, 96);
  expect_equal_to_reference(network, lpu_v1_geometry(), ElementType::Float16, 2);
  expect_equal_to_reference(network, lp30_geometry(), ElementType::Fp8E4m3, 2);
}

TEST(LpuLayers, OfMixturesCompileFastAndComeNearTheirFloor) {
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  const auto geometry = lp30_geometry();
  for (const LayerCase& layer : published_layers()) {
    SCOPED_TRACE(layer.name);
    Stage share =
        lpu::rank_stage(tandem::whole_model(layer.network, byte), layer.ranks, layer.ranks - 1);
    share.network.vocabulary = share.head_end;
    const auto begin = std::chrono::steady_clock::now();
    const auto compiled = lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", share, 1, 320);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    const auto floor = lpu::floor_of_stage(geometry, lpu::LatencyTable{}, share, 320);
    const double ratio = double(compiled.cycles.base) / double(floor.cycles());
    EXPECT_GE(ratio, 1.0);
    EXPECT_LE(ratio, 1.25);
    RecordProperty(std::string(layer.name) + " cycles", std::to_string(compiled.cycles.base));
    RecordProperty(std::string(layer.name) + " ratio", std::to_string(ratio));
    RecordProperty(std::string(layer.name) + " seconds", std::to_string(seconds.count()));
  }
}

}  // namespace
}  // namespace tandem::test
