#include <gtest/gtest.h>

#include <set>

#include "sim/describe/scenario.hpp"
#include "sim/describe/schemas.hpp"

namespace tandem {
namespace {

NeuralNetwork llama_8b() {
  NeuralNetwork network;
  network.layers = 32;
  network.hidden = 4096;
  network.heads = 32;
  network.kv_heads = 8;
  network.head_dim = 128;
  network.intermediate = 14336;
  network.vocabulary = 128256;
  return network;
}

TEST(NeuralNetwork, CountsParametersOfLlama8b) {
  const NeuralNetwork network = llama_8b();
  EXPECT_EQ(network.q_width(), 4096);
  EXPECT_EQ(network.kv_width(), 1024);
  // Q and O 4096 x 4096 each, K and V 4096 x 1024 each, FFN 3 x 4096 x 14336, norms 2 x 4096:
  // 33,554,432 + 8,388,608 + 176,160,768 + 8,192 = 218,112,000.
  EXPECT_EQ(network.layer_parameters(), 218112000);
  // 32 layers + final norm 4,096 + two tables of 128,256 x 4,096 = 525,336,576 each.
  EXPECT_EQ(network.parameters(), 8030261248);
  // K and V of 8 heads of 128.
  EXPECT_EQ(network.kv_elements_per_token_and_layer(), 2048);
}

TEST(NeuralNetwork, TiedEmbeddingsCountOnce) {
  NeuralNetwork network = llama_8b();
  network.tied_embeddings = true;
  EXPECT_EQ(network.parameters(), 8030261248 - 525336576);
}

TEST(ParameterSet, HoldsNumbersByName) {
  ParameterSet set;
  Parameter parameter;
  parameter.value = 131.6;
  set.set("units", parameter);
  EXPECT_TRUE(set.has("units"));
  EXPECT_EQ(set.value("units"), 131.6);
  EXPECT_EQ(set.count("units"), 132);  // nearest whole number
  EXPECT_FALSE(set.has("unit"));
  EXPECT_THROW((void)set.at("unit"), ModelError);
}

TEST(Dimensions, HaveNamesAndExamples) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Dimension::RequestRate); ++i) {
    const auto dimension = static_cast<Dimension>(i);
    EXPECT_TRUE(names.insert(name_of(dimension)).second) << name_of(dimension);
    EXPECT_FALSE(example_of(dimension).empty());
  }
}

TEST(System, FindsItsGroups) {
  System system;
  system.name = "box";
  system.groups.push_back({});
  system.groups.back().pool = "gpu";
  EXPECT_EQ(system.group("gpu").pool, "gpu");
  EXPECT_THROW((void)system.group("lpu"), ModelError);
}

TEST(Schemas, DeclareEachNumberOnceWithinItsOwnBounds) {
  for (const ParameterSchema& schema :
       {link_schema(), system_schema(), prices_schema(), software_schema()}) {
    std::set<std::string> names;
    for (const ParameterSpec& spec : schema) {
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
      EXPECT_FALSE(spec.doc.empty()) << spec.name;
      EXPECT_LE(spec.minimum, spec.maximum) << spec.name;
      // A `*` number that is left out is not held, so its fallback may lie outside.
      if (spec.fallback && spec.name.find('*') == std::string::npos) {
        EXPECT_GE(*spec.fallback, spec.minimum) << spec.name;
        EXPECT_LE(*spec.fallback, spec.maximum) << spec.name;
      }
    }
  }
}

TEST(Schemas, SoftwareHasAtMostFourConstants) {
  EXPECT_LE(software_schema().size(), 4U);
}

}  // namespace
}  // namespace tandem
