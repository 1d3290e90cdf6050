// The functional main job as a user sees it: text, KV cache and logits of real models on simulated
// chips.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/entry/api.hpp"
#include "sim/entry/generate_json.hpp"
#include "sim/lower/reference_model.hpp"
#include "sim/lower/safetensors.hpp"
#include "tests/entry/stories_harness.hpp"

namespace tandem::entry {
namespace {

using Json = nlohmann::json;

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(GenerateOnGpu, WritesTheExpectedStoryCharacterByCharacter) {
  if (!tandem::test::has_stories()) GTEST_SKIP() << tandem::test::no_stories;
  const Context context = make_context();
  const Model model = load_stories();
  const GenerateResult result =
      run(context, context.loader.scenario("stories260k_gpu"), model, "", 200);
  EXPECT_EQ(text_of(result, model.tokenizer),
            contents(tandem::test::stories_folder() / "expected_greedy_200.txt"));
}

TEST(GenerateOnGpu, ContinuesTheReferencePromptsAndMatchesTheReferenceLogits) {
  if (!tandem::test::has_stories()) GTEST_SKIP() << tandem::test::no_stories;
  const Context context = make_context();
  const Model model = load_stories();
  const Scenario scenario = context.loader.scenario("stories260k_gpu");
  const Json cases =
      Json::parse(contents(tandem::test::stories_folder() / "greedy_reference.json"));
  ASSERT_FALSE(cases.empty());
  for (const Json& one : cases) {
    const GenerateResult result =
        run(context, scenario, model, one["prompt"], one["steps"].get<std::int64_t>());
    EXPECT_EQ(text_of(result, model.tokenizer), one["output"].get<std::string>());
  }
  const GenerateResult result = run(context, scenario, model, "", 64);
  std::ifstream lines(tandem::test::stories_folder() / "logits_empty_prompt_64.jsonl");
  std::string line;
  std::int64_t compared = 0;
  while (std::getline(lines, line)) {
    const Json expected = Json::parse(line);
    const auto& logits = result.logits.at(expected["pos"].get<std::int64_t>());
    for (std::size_t i = 0; i < logits.size(); ++i) {
      ASSERT_NEAR(logits[i], expected["logits"][i].get<float>(), 1e-3);
    }
    ++compared;
  }
  EXPECT_EQ(compared, 64);
}

TEST(Disaggregated, GpuToGpuWritesTheTokensOfOneGpuExactly) {
  const Context context = make_context();
  const Model model = load_tales();
  const GenerateResult one =
      run(context, context.loader.scenario("little_tales_gpu"), model, "Once there was", 96);
  const GenerateResult two =
      run(context, context.loader.scenario("little_tales_gpu_pd"), model, "Once there was", 96);
  EXPECT_EQ(one.tokens, two.tokens);
  EXPECT_EQ(one.logits, two.logits);
  ASSERT_FALSE(two.kv_received.empty());
}

TEST(Disaggregated, TheKvCacheThatArrivesIsTheOneThatLeft) {
  const Context context = make_context();
  const Model model = load_tales();
  const Scenario scenario = context.loader.scenario("little_tales_hybrid");
  const GenerateResult result = run(context, scenario, model, "Once there was", 24);
  ASSERT_FALSE(result.kv_sent.empty());
  EXPECT_EQ(result.kv_sent, result.kv_received);
  std::int64_t bytes = 0;
  for (const KvBlock& block : result.kv_received) {
    bytes += static_cast<std::int64_t>(block.bytes.size());
  }
  // layers x 2 x kv_heads x head_dim x tokens x bytes per element; the LPU's cache is float16.
  const DenseDecoder network = dense_decoder_of(model.weights.network, "test");
  EXPECT_EQ(bytes,
            network.layers * 2 * network.kv_heads * network.head_dim * result.prompt_tokens * 2);
}

TEST(Disaggregated, GpuKvIsCloseToTheReferences) {
  const Context context = make_context();
  const Model model = load_tales();
  const GenerateResult result =
      run(context, context.loader.scenario("little_tales_gpu_pd"), model, "Once there was", 24);
  ReferenceModel reference(model.weights);
  for (std::int64_t i = 0; i < result.prompt_tokens; ++i) {
    (void)reference.forward(result.tokens[static_cast<std::size_t>(i)], i);
  }
  const DenseDecoder network = dense_decoder_of(model.weights.network, "test");
  ASSERT_EQ(result.kv_received.size(), 1U);
  const KvBlock& block = result.kv_received[0];
  ASSERT_EQ(block.type, ElementType::Float32);
  const auto* values = reinterpret_cast<const float*>(block.bytes.data());
  const auto span = static_cast<std::size_t>(result.prompt_tokens * network.kv_width());
  for (std::int64_t layer = 0; layer < network.layers; ++layer) {
    for (const auto& expected : {reference.k(layer), reference.v(layer)}) {
      float largest = 0;
      for (std::size_t i = 0; i < span; ++i) largest = std::max(largest, std::abs(expected[i]));
      for (std::size_t i = 0; i < span; ++i) {
        ASSERT_NEAR(values[i], expected[i], 1e-5F * largest) << "layer " << layer;
      }
      values += span;
    }
  }
}

TEST(Disaggregated, TheLpuComputesTheSameFromKvHandedOverWithoutALink) {
  const Context context = make_context();
  const Model model = load_tales();
  Scenario scenario = context.loader.scenario("little_tales_hybrid");
  scenario.model = model.weights.network;
  const GenerateResult linked = run(context, scenario, model, "Once there was", 40);
  const PoolPlacement& decode = scenario.placement.decode;
  const auto chip = make_chip_model(scenario, context.catalogue, decode.pool);
  const auto stages =
      partition_pipeline(scenario.model, decode.precision, decode.pipeline, decode.head_chips);
  ASSERT_EQ(stages.size(), 1U);
  const auto loaded = chip->load(stages[0], model.weights, 1, 40);
  loaded->import_kv(0, linked.kv_sent[0]);
  for (auto position = static_cast<std::size_t>(linked.prompt_tokens);
       position + 1 < linked.tokens.size(); ++position) {
    Batch batch;
    batch.slices.push_back({0, static_cast<std::int64_t>(position), 1, true});
    StageData in;
    StageData out;
    in.tokens = {linked.tokens[position]};
    (void)loaded->run(batch, in, out);
    const auto logits = out.logits.floats();
    const auto& expected = linked.logits.at(static_cast<std::int64_t>(position));
    ASSERT_TRUE(std::equal(logits.begin(), logits.end(), expected.begin(), expected.end()))
        << "position " << position;
  }
}

/// Rows of q or k for rotation by halves instead of neighbours: element i of the first half was
/// element 2i of its head, that of the second 2i + 1. Source: huggingface/transformers
/// src/transformers/models/llama/convert_llama_weights_to_hf.py, permute().
Tensor for_halves(const Tensor& weights, std::int64_t head_dim) {
  Tensor result(ElementType::Float32, weights.shape());
  const std::int64_t columns = weights.dim(1);
  const std::int64_t half = head_dim / 2;
  for (std::int64_t row = 0; row < weights.dim(0); ++row) {
    const std::int64_t in_head = row % head_dim;
    const std::int64_t from = row - in_head + 2 * (in_head % half) + in_head / half;
    for (std::int64_t i = 0; i < columns; ++i) {
      result.store(row * columns + i, weights.load(from * columns + i));
    }
  }
  return result;
}

/// A checkpoint folder as Hugging Face lays it out; removed at the end.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(const std::string& name)
      : path_(std::filesystem::path(testing::TempDir()) / name) {
    std::filesystem::create_directories(path_);
  }
  ~CheckpointFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const char* name) const { return (path_ / name).string(); }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

void write_as_llama(const Weights& weights, const CheckpointFolder& folder) {
  std::ofstream(folder.file("config.json"))
      << R"({"model_type": "llama", "hidden_size": 128, "intermediate_size": 320,
             "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
             "vocab_size": 512, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
             "rope_theta": 10000.0, "tie_word_embeddings": true})";
  std::map<std::string, Tensor, std::less<>> tensors;
  tensors.emplace("model.embed_tokens.weight", weights.at("embedding"));
  tensors.emplace("model.norm.weight", weights.at("final_norm"));
  for (std::int64_t i = 0; i < 4; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const auto copy = [&](const char* theirs, const char* ours) {
      tensors.emplace(layer + theirs, weights.layer(i, ours));
    };
    copy("input_layernorm.weight", "attention_norm");
    copy("self_attn.v_proj.weight", "attention.value");
    copy("self_attn.o_proj.weight", "attention.output");
    copy("post_attention_layernorm.weight", "ffn_norm");
    copy("mlp.gate_proj.weight", "ffn.gate");
    copy("mlp.up_proj.weight", "ffn.up");
    copy("mlp.down_proj.weight", "ffn.down");
    tensors.emplace(layer + "self_attn.q_proj.weight",
                    for_halves(weights.layer(i, "attention.query"), 32));
    tensors.emplace(layer + "self_attn.k_proj.weight",
                    for_halves(weights.layer(i, "attention.key"), 32));
  }
  write_safetensors(folder.file("model.safetensors"), tensors);
}

GenerateRequest tales_request(const std::string& checkpoint) {
  GenerateRequest request;
  request.scenario = "little_tales_gpu";
  request.checkpoint = checkpoint;
  request.tokenizer = (tales() / "tokenizer.bin").string();
  request.prompt = "Once there was";
  request.tokens = 64;
  return request;
}

// Half rotation of permuted q and k makes the same scores, summed in another order.
TEST(GenerateCheckpoint, AHuggingFaceFolderWritesTheTextOfTheLlama2cFile) {
  const Context context = make_context();
  const CheckpointFolder folder("tales_as_llama");
  write_as_llama(load_tales().weights, folder);
  const GenerateAnswer expected =
      generate_text_of(context, tales_request((tales() / "model.bin").string()));
  const std::string text = Json::parse(expected.json).at("text");
  ASSERT_GT(text.size(), 60U);
  for (const std::string& path : {folder.path(), folder.file("model.safetensors")}) {
    GenerateRequest request = tales_request(path);
    request.overrides = {{"model", "from_checkpoint"}};
    const Json json = Json::parse(generate_text_of(context, request).json);
    EXPECT_EQ(json.at("text"), text);
  }
  // The scenario's own network rotates neighbours, which this layout does not hold.
  EXPECT_THROW((void)generate_text_of(context, tales_request(folder.path())), ModelError);
}

TEST(GenerateCheckpoint, SafetensorsWithOurNamesComputeTheSameBits) {
  const Context context = make_context();
  const CheckpointFolder folder("tales_own_names");
  write_safetensors(folder.file("own.safetensors"), load_tales().weights.tensors);
  const GenerateAnswer expected =
      generate_text_of(context, tales_request((tales() / "model.bin").string()));
  const GenerateAnswer answer =
      generate_text_of(context, tales_request(folder.file("own.safetensors")));
  EXPECT_EQ(answer.logits_jsonl, expected.logits_jsonl);
}

TEST(GenerateCheckpoint, ANetworkWithWindowsComputesTheReference) {
  const Context context = make_context();
  const CheckpointFolder folder("tales_with_windows");
  write_as_llama(load_tales().weights, folder);
  std::ofstream(folder.file("config.json"))
      << R"({"model_type": "llama", "hidden_size": 128, "intermediate_size": 320,
             "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
             "vocab_size": 512, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
             "rope_theta": 10000.0, "tie_word_embeddings": true, "sliding_window": 16})";
  GenerateRequest request = tales_request(folder.path());
  request.overrides = {{"model", "from_checkpoint"}};
  const auto json = nlohmann::json::parse(generate_text_of(context, request).json);
  EXPECT_LT(json.at("checks").at("reference_max_abs_error").get<double>(), 1e-3);
}

TEST(GenerateOnLpu, APipelineOfChipsWritesTheBitsOfOneChip) {
  const Context context = make_context();
  const Model model = load_tales();
  const GenerateResult one =
      run(context, context.loader.scenario("little_tales_lpu"), model, "Once there was", 12);
  for (const char* chips : {"2", "4"}) {
    const Scenario scenario = context.loader.scenario(
        "little_tales_lpu",
        {{"system", "lpu_v1_node"}, {"placement.pipeline", chips}, {"placement.head_chips", "2"}});
    const GenerateResult row = run(context, scenario, model, "Once there was", 12);
    EXPECT_EQ(row.logits, one.logits) << chips << " chips";
    // 12 tokens of 128 fp32 values, over each hop between layer chips and to both head chips.
    std::int64_t bytes = 0;
    for (const Transfer& transfer : row.transfers) bytes += transfer.bytes.count();
    EXPECT_EQ(bytes, 12 * 128 * 4 * (std::stoi(chips) - 1 + 2));
  }
}

// KV of a GPU goes to a gang of two LPUs head by head; sums of two ranks round otherwise than one
// chip's, but choose the same tokens.
TEST(Disaggregated, AGangOfLpusWritesTheTokensOfOneChip) {
  const Context context = make_context();
  const Model model = load_tales();
  const auto tokens_on = [&](std::int64_t tensor) {
    Scenario scenario =
        context.loader.scenario("little_tales_hybrid", {{"system", "dgx_h100_lpu_v1"}});
    scenario.placement.decode.tensor = tensor;
    return run(context, scenario, model, "Once there was", 16).tokens;
  };
  EXPECT_EQ(tokens_on(1), tokens_on(2));
}

TEST(Disaggregated, EveryChipOfADecodePipelineGetsItsLayers) {
  const Context context = make_context();
  const Model model = load_tales();
  const GenerateResult one =
      run(context, context.loader.scenario("little_tales_hybrid"), model, "Once there was", 12);
  const Scenario scenario = context.loader.scenario(
      "little_tales_hybrid", {{"system", "dgx_h100_lpu_v1"}, {"placement.decode.pipeline", "4"}});
  const GenerateResult four = run(context, scenario, model, "Once there was", 12);
  EXPECT_EQ(four.logits, one.logits);
  EXPECT_EQ(four.kv_received.size(), 4U);
  EXPECT_EQ(four.kv_received, four.kv_sent);
}

TEST(GenerateOnLpu, AgreesWithTheFp32ReferenceWhenFedTheSameTokens) {
  const Context context = make_context();
  const Model model = load_tales();
  std::int64_t agreed = 0;
  std::int64_t compared = 0;
  for (const auto& [prompt, positions] :
       {std::pair("", 128), std::pair("Once there was", 128), std::pair("One day", 64)}) {
    const GenerateResult wanted =
        run(context, context.loader.scenario("little_tales_gpu"), model, prompt, positions);
    const GenerateResult result = run(context, context.loader.scenario("little_tales_lpu"), model,
                                      prompt, positions, wanted.tokens);
    EXPECT_LE(reference_max_abs_error(result, model.weights), 0.05) << prompt;
    for (const auto& [position, logits] : result.logits) {
      const auto& reference = wanted.logits.find(position);
      if (reference == wanted.logits.end()) continue;
      const auto top = [](const std::vector<float>& row) {
        return std::max_element(row.begin(), row.end()) - row.begin();
      };
      agreed += top(logits) == top(reference->second) ? 1 : 0;
      ++compared;
    }
  }
  EXPECT_GE(static_cast<double>(agreed), 0.99 * static_cast<double>(compared));
  EXPECT_GE(compared, 300);
}

}  // namespace
}  // namespace tandem::entry
