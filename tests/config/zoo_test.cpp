// Sizes of the networks in workloads/models against published and independently derived ones.
#include "tests/config/zoo.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "sim/config/loader.hpp"
#include "sim/describe/tensors.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem {
namespace {

class Zoo : public testing::TestWithParam<zoo::Entry> {
 protected:
  static void SetUpTestSuite() {
    const Loader loader(find_roots(), {});
    for (const zoo::Entry& entry : zoo::networks) {
      const std::string name(entry.name);
      networks.emplace(name, loader.network(name));
    }
  }
  static const NeuralNetwork& network() { return networks.at(std::string(GetParam().name)); }

 private:
  static inline std::map<std::string, NeuralNetwork> networks;
};

TEST_P(Zoo, HasThePublishedNumberOfParameters) {
  const double total = static_cast<double>(count_parameters(network()).total);
  EXPECT_LE(std::abs(total / GetParam().published - 1), GetParam().tolerance) << total;
}

TEST_P(Zoo, HasTheDerivedCountsExactly) {
  const NeuralNetwork& model = network();
  const ParameterCount count = count_parameters(model);
  EXPECT_EQ(count.total, GetParam().total);
  EXPECT_EQ(count.active, GetParam().active);
  EXPECT_EQ(4 * recurrent_state_elements(model), GetParam().state_bytes);
  EXPECT_EQ(2 * conv_state_elements(model), GetParam().conv_bytes);
}

TEST_P(Zoo, LeavesTheDerivedElementsPerToken) {
  const NeuralNetwork& model = network();
  std::int64_t windowed = 0;
  for (std::int64_t i = 0; i < model.layers(); ++i) {
    const LayerKind& kind = model.layer(i);
    if (cache_window(kind) > 0) windowed += kv_elements_per_token(kind);
  }
  EXPECT_EQ(kv_elements_per_token(model), GetParam().kv_growing);
  EXPECT_EQ(windowed, GetParam().kv_windowed);
}

TEST_P(Zoo, TheListOfTensorsAddsUpToTheCount) {
  const NeuralNetwork& model = network();
  const ParameterCount count = count_parameters(model);
  std::int64_t elements = 0;
  for (const TensorSpec& tensor : tensors_of(model)) elements += tensor.elements();
  EXPECT_EQ(elements, count.total + count.mtp);
}

INSTANTIATE_TEST_SUITE_P(Networks, Zoo, testing::ValuesIn(zoo::networks), [](const auto& entry) {
  std::string name(entry.param.name);
  for (char& c : name) {
    if (c == '-' || c == '.') c = '_';
  }
  return name;
});

TEST(ZooFiles, AreAllListedButTheTinyOnes) {
  std::set<std::string> expected = {"little_tales",  "little_tales_drafter",
                                    "little_hybrid", "little_hybrid_drafter",
                                    "little_latent", "little_latent_drafter",
                                    "stories260k",   "qwen35-tiny",
                                    "dsv3-tiny",     "gptoss-tiny"};
  for (const zoo::Entry& entry : zoo::networks) expected.emplace(entry.name);
  const std::vector<std::string> names = Loader(find_roots(), {}).list("models");
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), expected);
}

TEST(ZooFiles, TinyNetworks) {
  const Loader loader(find_roots(), {});
  // stories260K: 5 layers x (2 x 64x64 + 2 x 64x32 + 3 x 64x172 + 2x64) + 64 + 512x64 = 260,032.
  EXPECT_EQ(count_parameters(loader.network("stories260k")).total, 260032);
  // 4 layers x (2 x 128x128 + 2 x 128x64 + 3 x 128x320 + 2x128) + 128 + 512x128 = 754,816.
  EXPECT_EQ(count_parameters(loader.network("little_tales")).total, 754816);
  // 2 layers x (2 x 64x64 + 2 x 64x32 + 3 x 64x160 + 2x64) + 64 + 512x64 = 119,104.
  EXPECT_EQ(count_parameters(loader.network("little_tales_drafter")).total, 119104);
}

// Sums of the shapes that scripts/small_model/tensor_shapes.py lists.
TEST(ZooFiles, TrainedNetworksOfOtherFamilies) {
  const Loader loader(find_roots(), {});
  const auto expect_counts = [&](const char* name, std::int64_t total, std::int64_t module) {
    const ParameterCount count = count_parameters(loader.network(name));
    EXPECT_EQ(count.total, total) << name;
    EXPECT_EQ(count.mtp, module) << name;
  };
  expect_counts("little_hybrid", 1142584, 284480);
  expect_counts("little_hybrid_drafter", 160932, 0);
  expect_counts("little_latent", 1068592, 295664);
  expect_counts("little_latent_drafter", 195592, 0);
}

TEST(ZooFiles, ModulesOfMultiTokenPrediction) {
  const Loader loader(find_roots(), {});
  const auto module_of = [&](const char* name) {
    const ParameterCount count = count_parameters(loader.network(name));
    return count.mtp / std::max<std::int64_t>(loader.network(name).mtp.modules, 1);
  };
  // DeepSeek-V3's README_WEIGHTS.md: 11.5 B of its own beside embedding and head. W of 7168 x
  // 14336, three norms of 7168 and one layer with experts: 102,760,448 + 21,504 + 11,507,286,272.
  EXPECT_EQ(module_of("deepseek-v3"), 11610068224);
  EXPECT_EQ(loader.network("minimax-m2.5").mtp.modules, 3);
  EXPECT_EQ(module_of("kimi-k2"), 0);
}

TEST(ZooFiles, DetailsThatCountsDoNotShow) {
  const Loader loader(find_roots(), {});
  const auto attention = [](const NeuralNetwork& network, std::int64_t layer) {
    return std::get<GroupedAttention>(network.layer(layer).mixer);
  };
  const NeuralNetwork oss = loader.network("gpt-oss-20b");
  EXPECT_EQ(attention(oss, 0).shape.window, 128);  // layer 0 has the window
  EXPECT_EQ(attention(oss, 1).shape.window, 0);
  EXPECT_TRUE(attention(oss, 0).sinks && attention(oss, 1).sinks);
  // cos and sin take 0.1 ln(32) + 1 = 1.3466 in gpt-oss, nothing in DeepSeek-V3, whose softmax
  // scale takes (0.1 ln(40) + 1)^2 = 1.8739 instead; in Kimi K2 (0.1 ln(32) + 1)^2 = 1.8133.
  EXPECT_NEAR(ops::rope_magnitude(*attention(oss, 1).rope), 1.346574, 1e-6);
  const auto latent = [&](const char* name) {
    return std::get<LatentAttention>(loader.network(name).layer(0).mixer);
  };
  EXPECT_NEAR(ops::rope_magnitude(latent("deepseek-v3").rope), 1, 1e-12);
  EXPECT_NEAR(latent("deepseek-v3").shape.scale_factor, 1.873854, 1e-6);
  EXPECT_NEAR(latent("kimi-k2").shape.scale_factor, 1.813260, 1e-6);
  EXPECT_EQ(latent("deepseek-v2-lite").shape.query_rank, 0);
  // Gemma 4: scores are not divided; global layers turn 64 of 256 pairs; sqrt(2816) = 53.0660.
  const NeuralNetwork gemma = loader.network("gemma-4-26b-a4b");
  EXPECT_EQ(attention(gemma, 0).shape.scale, 1);
  EXPECT_FALSE(attention(gemma, 0).keys_are_values);
  EXPECT_TRUE(attention(gemma, 5).keys_are_values);
  EXPECT_EQ(attention(gemma, 5).rope->rotated, 128);
  EXPECT_EQ(attention(gemma, 0).rope->rotated, 256);
  EXPECT_EQ(attention(gemma, 0).rope->theta, 10000);
  EXPECT_NEAR(gemma.embedding_scale, 53.066, 1e-3);
  // The first layers of DeepSeek are dense, the others are not.
  const NeuralNetwork v3 = loader.network("deepseek-v3");
  EXPECT_FALSE(v3.layer(2).ffn.experts.has_value());
  EXPECT_EQ(v3.layer(3).ffn.intermediate, 0);
  EXPECT_EQ(v3.layer(3).ffn.experts->router.group_score, ops::GroupScore::SumOfTop2);
  EXPECT_EQ(loader.network("deepseek-v2").layer(1).ffn.experts->shared_intermediate, 2 * 1536);
}

TEST(TinyNetworks, AreThoseOfTheGoldens) {
  const Loader loader(find_roots(), {});
  for (NeuralNetwork golden : {test::qwen35_tiny(), test::dsv3_tiny(), test::gptoss_tiny()}) {
    SCOPED_TRACE(golden.name);
    const NeuralNetwork shipped = loader.network(golden.name);
    golden.source = shipped.source;
    golden.checkpoint_format = shipped.checkpoint_format;
    EXPECT_TRUE(shipped == golden);
  }
}

}  // namespace
}  // namespace tandem
