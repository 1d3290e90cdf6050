// Which of the published networks the compiler takes, and what the others lack.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <set>

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

TEST(LpuCatalogue, RefusesOnlyWhatIsListedByName) {
  const std::string window = "sliding windows";
  const std::string groups = "groups of experts under a softmax";
  const std::map<std::string, std::string> refused{
      {"deepseek-v2", groups},     {"deepseek-v3.2", "sparse attention"},
      {"gemma-2-9b", window},      {"gemma-3-27b", window},
      {"gemma-4-26b-a4b", window}, {"gemma-4-31b", window},
      {"gpt-oss-120b", window},    {"gpt-oss-20b", window},
      {"gptoss-tiny", window},     {"mistral-7b-v0.1", window},
  };
  const Loader loader = lpu::testing::shipped();
  for (const std::string& name : loader.list("models")) {
    SCOPED_TRACE(name);
    const NeuralNetwork network = loader.network(name);
    std::set<std::string> reasons;
    for (const LayerKind& kind : network.kinds) {
      const std::string reason = lpu::beyond_compiler(network, kind);
      if (!reason.empty()) reasons.insert(reason);
    }
    const auto expected = refused.find(name);
    if (expected == refused.end()) {
      EXPECT_TRUE(reasons.empty()) << *reasons.begin();
    } else {
      EXPECT_TRUE(reasons.contains(expected->second));
    }
  }
}

// Layers of the networks that only this file's families of operators kept out, windows apart. All
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
