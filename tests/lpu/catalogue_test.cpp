// Which of the published networks the compiler takes, and what the others lack.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "models/lpu/compiler/compiler.hpp"
#include "models/lpu/compiler/layer_support.hpp"
#include "models/lpu/compiler/rank_share.hpp"
#include "sim/core/diagnostics.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {
namespace {

// One layer of every kind, of a rank's share, with a head of one vector; empty: it compiles. On
// LP30 with four times its SRAM: shapes are the question here, not capacity.
std::string refusal_of_compiler(const NeuralNetwork& network, const LayerKind& kind, int ranks) {
  NeuralNetwork one = network;
  one.kinds = {kind};
  one.pattern = {0};
  one.mtp = {};
  one.vocabulary = 320;
  Precision byte;
  byte.weights = byte.kv_cache = byte.activations = ElementType::Fp8E4m3;
  const Chip chip = lpu::testing::shipped().chip("lp30");
  lpu::Geometry geometry = lpu::geometry_of(chip);
  geometry.rows_per_bank *= 4;
  try {
    Stage share = lpu::rank_stage(whole_model(one, byte), ranks, ranks - 1);
    share.network.vocabulary = share.head_end;
    const auto compiled =
        lpu::compile_stage(geometry, lpu::latencies_of(chip), "lp30", share, 1, 320);
    testing::Test::RecordProperty(network.name, std::to_string(compiled.cycles.base));
  } catch (const ModelError& error) {
    return error.what();
  }
  return "";
}

// What a chip that holds all layers would say; empty: nothing.
std::string refusal_of_stage(const NeuralNetwork& network) {
  Precision byte;
  byte.weights = byte.kv_cache = byte.activations = ElementType::Fp8E4m3;
  try {
    lpu::check_supported(whole_model(network, byte));
  } catch (const ModelError& error) {
    return error.what();
  }
  return "";
}

TEST(LpuCatalogue, RefusesOnlyWhatIsListedByName) {
  const std::string shapes = "attention of different shapes";
  const std::map<std::string, std::string> refused{
      {"deepseek-v2", "groups of experts under a softmax"},
      {"deepseek-v3.2", "sparse attention"},
      {"gemma-3-27b", shapes},
      {"gemma-4-26b-a4b", shapes},
      {"gemma-4-31b", shapes},
  };
  const Loader loader = lpu::testing::shipped();
  for (const std::string& name : loader.list("models")) {
    SCOPED_TRACE(name);
    const std::string refusal = refusal_of_stage(loader.network(name));
    const auto expected = refused.find(name);
    if (expected == refused.end()) {
      EXPECT_EQ(refusal, "");
    } else {
      EXPECT_NE(refusal.find(expected->second), std::string::npos) << refusal;
    }
  }
}

// Layers of the networks that only this file's families of operators kept out. All
// others with TANDEM_LPU_CATALOGUE set.
TEST(LpuCatalogue, LayersCompileAsARanksShare) {
  const Loader loader = lpu::testing::shipped();
  std::map<std::string, int> ranks{{"gpt-3-175b", 16},        {"minimax-m2.5", 8},
                                   {"qwen3-next-80b-a3b", 2}, {"qwen3.5-27b", 4},
                                   {"qwen3.5-35b-a3b", 2},    {"gemma-2-9b", 4}};
  if (std::getenv("TANDEM_LPU_CATALOGUE") != nullptr) {
    for (const std::string& name : loader.list("models")) ranks.try_emplace(name, 8);
    ranks["qwen3.5-397b-a17b"] = ranks["qwen3.5-122b-a10b"] = 2;
  }
  for (const auto& [name, count] : ranks) {
    const NeuralNetwork network = loader.network(name);
    for (const LayerKind& kind : network.kinds) {
      if (!lpu::beyond_compiler(network, kind).empty()) continue;
      EXPECT_EQ(refusal_of_compiler(network, kind, count), "") << name;
    }
  }
}

}  // namespace
}  // namespace tandem::test
