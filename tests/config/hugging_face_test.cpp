// Configs as Hugging Face has them give the networks of workloads/models; broken ones are refused
// by key and place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sim/describe/tensors.hpp"
#include "tests/config/fixture.hpp"

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string fixture_path(const std::string& name) {
  return std::string(TANDEM_SOURCE_DIR) + "/tests/config/hugging_face/" + name + ".json";
}

Loader shipped() {
  return {find_roots(), {}};
}

struct Pair {
  const char* json;
  const char* yaml;
};

void PrintTo(const Pair& pair, std::ostream* out) {
  *out << pair.json << " and " << pair.yaml;
}

class EqualNetworks : public testing::TestWithParam<Pair> {};

TEST_P(EqualNetworks, FromBothFiles) {
  NeuralNetwork json = shipped().network(fixture_path(GetParam().json));
  NeuralNetwork yaml = shipped().network(GetParam().yaml);
  EXPECT_EQ(json.name, GetParam().json);
  EXPECT_EQ(json.source, "hugging-face-config");
  json.name = yaml.name;
  json.source = yaml.source;
  // Parts first: a network that differs is hard to read as a whole.
  EXPECT_EQ(json.hidden, yaml.hidden);
  EXPECT_EQ(json.vocabulary, yaml.vocabulary);
  EXPECT_EQ(json.max_context, yaml.max_context);
  EXPECT_EQ(json.norm, yaml.norm);
  EXPECT_EQ(json.pattern, yaml.pattern);
  EXPECT_EQ(json.mtp, yaml.mtp);
  EXPECT_EQ(json.checkpoint_format, yaml.checkpoint_format);
  ASSERT_EQ(json.kinds.size(), yaml.kinds.size());
  for (std::size_t i = 0; i < json.kinds.size(); ++i) {
    EXPECT_TRUE(json.kinds[i].mixer == yaml.kinds[i].mixer) << "mixer of kind " << i;
    EXPECT_TRUE(json.kinds[i].ffn == yaml.kinds[i].ffn) << "feed-forward of kind " << i;
  }
  EXPECT_TRUE(json == yaml);
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, EqualNetworks,
    testing::Values(Pair{"deepseek_v2", "deepseek-v2"},
                    Pair{"deepseek_v2_lite", "deepseek-v2-lite"},
                    Pair{"deepseek_v3", "deepseek-v3"}, Pair{"deepseek_v32", "deepseek-v3.2"},
                    Pair{"gemma2", "gemma-2-9b"}, Pair{"gemma3", "gemma-3-27b"},
                    Pair{"gemma4", "gemma-4-26b-a4b"}, Pair{"gpt2", "gpt-3-175b"},
                    Pair{"gpt_oss", "gpt-oss-20b"}, Pair{"kimi_k2", "kimi-k2"},
                    Pair{"kimi_k25", "kimi-k2.5"}, Pair{"llama", "llama-3.1-8b"},
                    Pair{"minimax_m2", "minimax-m2.5"}, Pair{"mistral", "mistral-7b-v0.1"},
                    Pair{"mixtral", "mixtral-8x7b"}, Pair{"qwen3", "qwen3-0.6b"},
                    Pair{"qwen3_5", "qwen3.5-27b"}, Pair{"qwen3_5_moe", "qwen3.5-35b-a3b"},
                    Pair{"qwen3_moe", "qwen3-30b-a3b"}, Pair{"qwen3_next", "qwen3-next-80b-a3b"}),
    [](const auto& pair) { return std::string(pair.param.json); });

/// Checkpoints that ship with the project describe the networks of workloads/models.
class TrainedNetworks : public testing::TestWithParam<const char*> {};

TEST_P(TrainedNetworks, AreThoseOfTheirConfigs) {
  const std::string checkpoint =
      std::string(TANDEM_SOURCE_DIR) + "/workloads/checkpoints/" + GetParam();
  NeuralNetwork json = shipped().network(checkpoint + "/config.json");
  const NeuralNetwork yaml = shipped().network(GetParam());
  json.name = yaml.name;
  json.source = yaml.source;
  EXPECT_TRUE(json == yaml);
}

INSTANTIATE_TEST_SUITE_P(Bundled, TrainedNetworks,
                         testing::Values("little_hybrid", "little_latent"));

TEST(HuggingFace, Qwen2HasBiasesOfQkvOnly) {
  const NeuralNetwork network = shipped().network(fixture_path("qwen2"));
  const auto& attention = std::get<GroupedAttention>(network.kinds.at(0).mixer);
  EXPECT_TRUE(attention.qkv_bias);
  EXPECT_FALSE(attention.output_bias);
  EXPECT_EQ(attention.shape.window, 0);      // use_sliding_window is false
  EXPECT_EQ(attention.shape.head_dim, 128);  // 3584 / 28
  // 28 layers of Q 3584 x 3584 + 3584, K and V (3584 x 512 + 512) each, O 3584 x 3584, FFN 3 x 3584
  // x 18944, two norms: 233,057,792; two tables of 152,064 x 3584 and a norm: 1,089,998,336.
  EXPECT_EQ(count_parameters(network).total, 28 * 233057792LL + 1089998336LL);
}

/// Writes config.json into a folder named "my-model" and removes it at the end.
class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : root_(std::filesystem::temp_directory_path() /
              ("tandem_hugging_face_test_" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(root_ / "my-model");
    std::ofstream(path()) << text;
  }
  ~ConfigFile() { std::filesystem::remove_all(root_); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;
  [[nodiscard]] std::string path() const { return (root_ / "my-model/config.json").string(); }
  [[nodiscard]] std::filesystem::path root() const { return root_; }

 private:
  std::filesystem::path root_;
};

/// A small Llama on one line, as json.dump() writes it, with further keys.
std::string small_llama(const std::string& more) {
  return R"({"model_type": "llama","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,)"
         R"("intermediate_size":128,"vocab_size":512,"max_position_embeddings":256,)"
         R"("rms_norm_eps":1e-6,"hidden_act":"silu")" +
         more + "}";
}

std::vector<std::string> complaints_about(const std::string& text) {
  const ConfigFile file(text);
  std::vector<std::string> messages;
  for (const Diagnostic& d :
       fixture::diagnostics_of([&] { (void)fixture::loader().network(file.path()); })) {
    EXPECT_GT(d.place.line, 0) << d.message;
    messages.push_back(d.message);
  }
  return messages;
}

TEST(HuggingFace, AConfigIsCalledByItsFolderAndScenariosMayNameIt) {
  const ConfigFile file(small_llama(",\n\t\"tie_word_embeddings\": true"));
  const NeuralNetwork network = fixture::loader().network(file.path());
  EXPECT_EQ(network.name, "my-model");
  EXPECT_TRUE(network.tied_embeddings);
  std::ofstream(file.root() / "mine.yaml")
      << "kind: scenario\nextends: base\nmodel: my-model/config.json\n";
  const Scenario scenario = fixture::loader().scenario(
      (file.root() / "mine.yaml").string(),
      {{"model.layers", "5"}, {"traffic.prompt_tokens", "64"}, {"traffic.output_tokens", "8"}});
  EXPECT_EQ(scenario.model.name, "my-model");
  EXPECT_EQ(scenario.model.layers(), 5);
  EXPECT_EQ(scenario.model.hidden, 64);
}

TEST(HuggingFace, KeysThatDoNotMatterAreIgnored) {
  EXPECT_THAT(
      complaints_about(small_llama(R"(,"_name_or_path":"x","logit_scale":null,"quux":[1])")),
      ElementsAre());
}

TEST(HuggingFace, UnknownArchitecturesListTheKnownOnes) {
  const auto unknown = complaints_about(R"({"model_type": "lama"})");
  ASSERT_EQ(unknown.size(), 1U);
  EXPECT_THAT(unknown[0], HasSubstr("model_type 'lama' is not known; did you mean 'llama'?"));
  EXPECT_THAT(unknown[0], HasSubstr("known are deepseek_v2, "));
  const auto none = complaints_about(R"({"hidden_size": 8})");
  ASSERT_EQ(none.size(), 1U);
  EXPECT_THAT(none[0], HasSubstr("a config.json needs the key 'model_type'"));
}

TEST(HuggingFace, MissingKeysAreNamedAsTheConfigNamesThem) {
  EXPECT_THAT(complaints_about(R"({"model_type":"llama","hidden_size":64,"rms_norm_eps":1e-6,)"
                               R"("num_attention_heads":4,"vocab_size":512})"),
              testing::IsSupersetOf(
                  {HasSubstr("a config of model_type 'llama' needs the key 'num_hidden_layers'"),
                   HasSubstr("a config of model_type 'llama' needs the key 'intermediate_size'"),
                   HasSubstr("model_type 'llama' needs the key 'max_position_embeddings'")}));
}

struct Refusal {
  std::string more;
  std::string complaint;
};

TEST(HuggingFace, WhatChangesTheMathematicsIsRefusedByName) {
  for (const Refusal& refusal : std::vector<Refusal>{
           {R"("logit_scale": 0.5)", "'logit_scale' '0.5' of model_type 'llama' is not supported"},
           {R"("clip_qkv": 8)", "'clip_qkv' '8' of model_type 'llama' is not supported"},
           {R"("rope_scaling": {"rope_type": "dynamic", "factor": 2})",
            "rope type 'dynamic' is not supported; supported: default, linear, llama3, yarn"},
           {R"("rope_scaling": {"type": "linear"})", "rope scaling needs the key 'factor'"},
           {R"("quantization_config": {"quant_method": "awq"})",
            "'quantization_config' of model_type 'llama' is not supported: known are fp8 by blocks "
            "of 128 x 128, mxfp4, and int4 by groups of 32"},
           {R"("head_dim": 15)", "'head_dim' is 15; rope needs an even number"},
           {R"("num_key_value_heads": 3)", "'heads' (4) is not a multiple of 'kv_heads' (3)"}}) {
    EXPECT_THAT(complaints_about(small_llama("," + refusal.more)), ElementsAre(refusal.complaint));
  }
}

/// The text of a fixture with one piece put in place of another.
std::string changed(const std::string& name, const std::string& from, const std::string& to) {
  std::ifstream file(fixture_path(name));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << name << " has no " << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

TEST(HuggingFace, SettingsOfEachArchitectureThatAreNotSupported) {
  struct Change {
    const char* fixture;
    const char* from;
    const char* to;
    const char* complaint;
  };
  for (const Change& change : {
           Change{"qwen2", "\"use_sliding_window\": false", "\"use_sliding_window\": true",
                  "'use_sliding_window' 'true' of model_type 'qwen2' is not supported"},
           Change{"qwen3_moe", "\"mlp_only_layers\": []", "\"mlp_only_layers\": [1]",
                  "'mlp_only_layers' of model_type 'qwen3_moe' is not supported"},
           Change{"deepseek_v3", "\"topk_method\": \"noaux_tc\"", "\"topk_method\": \"greedy\"",
                  "'topk_method' 'greedy' of model_type 'deepseek_v3' is not supported; supported: "
                  "noaux_tc"},
           Change{
               "deepseek_v3", "\"moe_layer_freq\": 1", "\"moe_layer_freq\": 2",
               "'moe_layer_freq' '2' of model_type 'deepseek_v3' is not supported; supported: 1"},
           Change{"gpt_oss", "\"swiglu_limit\": 7.0", "\"swiglu_limit\": 10.0",
                  "'swiglu_limit' '10.0' of model_type 'gpt_oss' is not supported; supported: 7.0, "
                  "7"},
           Change{"gpt_oss", "\"full_attention\"", "\"chunked_attention\"",
                  "layers of type 'chunked_attention' are not supported"},
           Change{"minimax_m2", "\"attn_type_list\": [1,", "\"attn_type_list\": [0,",
                  "layers of linear attention are not supported"},
           Change{"gemma4", "\"num_kv_shared_layers\": 0", "\"num_kv_shared_layers\": 4",
                  "'num_kv_shared_layers' '4' of model_type 'gemma4_text' is not supported; "
                  "supported: 0"},
           Change{"gpt2", "\"scale_attn_weights\": true", "\"scale_attn_weights\": false",
                  "'scale_attn_weights' of model_type 'gpt2' is not supported: scores are scaled"},
       }) {
    EXPECT_THAT(complaints_about(changed(change.fixture, change.from, change.to)),
                testing::Contains(std::string(change.complaint)))
        << change.fixture;
  }
}

TEST(HuggingFace, ListsOfLayersHaveOneEntryPerLayer) {
  // The fixtures have 24 and 62 layers.
  EXPECT_THAT(complaints_about(
                  changed("gpt_oss", "\"num_hidden_layers\": 24", "\"num_hidden_layers\": 25")),
              ElementsAre("'layer_types' has 24 entries; 'num_hidden_layers' is 25: write one "
                          "entry per layer"));
  EXPECT_THAT(complaints_about(
                  changed("minimax_m2", "\"num_hidden_layers\": 62", "\"num_hidden_layers\": 61")),
              ElementsAre("'attn_type_list' has 62 entries; 'num_hidden_layers' is 61: write one "
                          "entry per layer"));
}

TEST(HuggingFace, AFewLayersTakeTheBeginningOfTheDefaultPattern) {
  // Of gemma3 without layer_types every sixth layer is global, so two layers are not.
  const ConfigFile file(
      R"({"model_type":"gemma3_text","hidden_size":64,"num_hidden_layers":2,)"
      R"("num_attention_heads":4,"num_key_value_heads":2,"intermediate_size":128,)"
      R"("sliding_window":16})");
  const NeuralNetwork network = fixture::loader().network(file.path());
  ASSERT_EQ(network.layers(), 2);
  EXPECT_EQ(letter_of(network.layer(0)), 'S');
  EXPECT_EQ(letter_of(network.layer(1)), 'S');
}

/// The fixture with another number of layers.
NeuralNetwork with_layers(const std::string& name, const std::string& from,
                          const std::string& layers) {
  const ConfigFile file(changed(name, from, "\"num_hidden_layers\": " + layers));
  return fixture::loader().network(file.path());
}

TEST(HuggingFace, SizesOfLayersThatThereAreNotAreLeftOut) {
  // qwen3_next: every fourth layer has attention, so three have none.
  const NeuralNetwork next = with_layers("qwen3_next", "\"num_hidden_layers\": 48", "3");
  ASSERT_EQ(next.kinds.size(), 1U);
  EXPECT_EQ(letter_of(next.kinds[0]), 'L');
  // deepseek_v2: the first layer is dense, the others have experts.
  const NeuralNetwork dense = with_layers("deepseek_v2", "\"num_hidden_layers\": 60", "1");
  ASSERT_EQ(dense.layers(), 1);
  EXPECT_FALSE(dense.layer(0).ffn.experts.has_value());
  EXPECT_EQ(dense.layer(0).ffn.intermediate, 12288);
}

TEST(HuggingFace, ComplaintsAreAtTheValueInTheConfig) {
  const ConfigFile file(small_llama(",\n  \"num_key_value_heads\": -4"));
  const auto found = fixture::diagnostics_of([&] { (void)fixture::loader().network(file.path()); });
  ASSERT_FALSE(found.empty());
  const auto at = std::find_if(found.begin(), found.end(), [](const Diagnostic& d) {
    return d.message == "'kv_heads' is -4; must be at least 1";
  });
  ASSERT_NE(at, found.end());
  EXPECT_EQ(at->place.line, 2);
  EXPECT_EQ(at->place.column, 26);
}

}  // namespace
}  // namespace tandem
