// Counts and sizes that follow from a network, by hand for each kind of layer.
#include "sim/describe/neural_network.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "sim/core/diagnostics.hpp"
#include "sim/describe/dense_decoder.hpp"
#include "sim/describe/tensors.hpp"

namespace tandem {
namespace {

DenseDecoder llama_8b() {
  DenseDecoder decoder;
  decoder.name = "llama";
  decoder.layers = 32;
  decoder.hidden = 4096;
  decoder.heads = 32;
  decoder.kv_heads = 8;
  decoder.head_dim = 128;
  decoder.intermediate = 14336;
  decoder.vocabulary = 128256;
  decoder.max_context = 131072;
  return decoder;
}

/// A network of one kind of layer, hidden 8, vocabulary 10.
NeuralNetwork network_with(const Mixer& mixer, const FeedForward& ffn, std::int64_t layers = 1) {
  NeuralNetwork network;
  network.hidden = 8;
  network.vocabulary = 10;
  network.max_context = 6;
  network.kinds.push_back({mixer, ffn, false});
  network.pattern.assign(static_cast<std::size_t>(layers), 0);
  return network;
}

/// Two query heads and one KV head of 4.
GroupedAttention small_attention() {
  GroupedAttention attention;
  attention.shape = {2, 1, 4, 0, 0, 0};
  attention.rope = ops::Rope{};
  attention.rope->rotated = 4;
  return attention;
}

FeedForward small_ffn() {
  FeedForward ffn;
  ffn.intermediate = 16;
  return ffn;
}

/// Parameters of the only kind of layer.
std::int64_t layer_of(const NeuralNetwork& network) {
  return parameters_of(network, network.kinds[0]);
}

TEST(NeuralNetwork, CountsParametersOfLlama8b) {
  const NeuralNetwork network = network_of(llama_8b());
  // Q and O 4096 x 4096 each, K and V 4096 x 1024 each, FFN 3 x 4096 x 14336, norms 2 x 4096:
  // 33,554,432 + 8,388,608 + 176,160,768 + 8,192 = 218,112,000.
  EXPECT_EQ(layer_of(network), 218112000);
  // 32 layers + final norm 4,096 + two tables of 128,256 x 4,096 = 525,336,576 each.
  const ParameterCount count = count_parameters(network);
  EXPECT_EQ(count.total, 8030261248);
  EXPECT_EQ(count.active, count.total);
  EXPECT_EQ(count.active_without_embedding, 8030261248 - 525336576);
  // K and V of 8 heads of 128, in 32 layers.
  EXPECT_EQ(kv_elements_per_token(network.kinds[0]), 2048);
  EXPECT_EQ(kv_elements_per_token(network), 65536);
}

TEST(NeuralNetwork, ATiedTableCountsOnceAndIsTheHead) {
  NeuralNetwork network = network_of(llama_8b());
  network.tied_embeddings = true;
  const ParameterCount count = count_parameters(network);
  EXPECT_EQ(count.total, 8030261248 - 525336576);
  EXPECT_EQ(count.active_without_embedding, count.total);  // every token multiplies with all of it
}

TEST(NeuralNetwork, CountsPartsOfGroupedAttention) {
  // Q and O 8 x 8 each, K and V 4 x 8 each, FFN 3 x 8 x 16, norms 2 x 8.
  constexpr std::int64_t plain = 2 * 64 + 2 * 32 + 384 + 16;
  const auto count = [](const std::function<void(GroupedAttention&)>& change) {
    GroupedAttention attention = small_attention();
    change(attention);
    return layer_of(network_with(attention, small_ffn()));
  };
  EXPECT_EQ(count([](GroupedAttention&) {}), plain);
  EXPECT_EQ(count([](GroupedAttention& a) { a.output_gate = true; }), plain + 64);  // Q twice
  EXPECT_EQ(count([](GroupedAttention& a) { a.sinks = true; }), plain + 2);
  EXPECT_EQ(count([](GroupedAttention& a) { a.qkv_bias = true; }), plain + 8 + 4 + 4);
  EXPECT_EQ(count([](GroupedAttention& a) { a.output_bias = true; }), plain + 8);
  EXPECT_EQ(count([](GroupedAttention& a) { a.keys_are_values = true; }), plain - 32);  // no V
  EXPECT_EQ(count([](GroupedAttention& a) { a.value_norm = true; }), plain);  // has no weight
  EXPECT_EQ(count([](GroupedAttention& a) { a.qk_norm = QkNorm::PerHead; }), plain + 4 + 4);
  EXPECT_EQ(count([](GroupedAttention& a) { a.qk_norm = QkNorm::AllHeads; }), plain + 8 + 4);
}

TEST(NeuralNetwork, CountsNormsAndPositions) {
  NeuralNetwork network = network_with(small_attention(), small_ffn(), 2);
  const std::int64_t before = count_parameters(network).total;
  network.norm.kind = NormKind::Layer;  // biases of two norms in each of two layers, and the last
  EXPECT_EQ(count_parameters(network).total, before + 5 * 8);
  network.learned_positions = true;
  EXPECT_EQ(count_parameters(network).total, before + 5 * 8 + 6 * 8);
  network.kinds[0].post_norms = true;
  EXPECT_EQ(count_parameters(network).total, before + 5 * 8 + 6 * 8 + 2 * 2 * 16);
}

TEST(NeuralNetwork, CountsLatentAttention) {
  LatentAttention latent;
  latent.shape = {2, 6, 4, 4, 2, 3, 1};  // heads, query and kv ranks, nope, rope and value widths
  // q_down 6 x 8, its norm 6, q_up 2 x (4 + 2) x 6, kv_down (4 + 2) x 8, norm 4, kv_up 2 x (4 + 3)
  // x 4, out 8 x 6; FFN 384, norms 16.
  constexpr std::int64_t plain = 48 + 6 + 72 + 48 + 4 + 56 + 48 + 384 + 16;
  EXPECT_EQ(layer_of(network_with(latent, small_ffn())), plain);
  EXPECT_EQ(kv_elements_per_token(network_with(latent, small_ffn(), 3)), 3 * (4 + 2));
  latent.indexer = ops::IndexerShape{2, 4, 5};
  // Index queries 2 x 4 x 6, key 4 x 8, its LayerNorm 2 x 4, head weights 2 x 8.
  EXPECT_EQ(layer_of(network_with(latent, small_ffn())), plain + 48 + 32 + 8 + 16);
  EXPECT_EQ(index_elements_per_token(network_with(latent, small_ffn(), 3)), 3 * 4);
  latent.indexer.reset();
  latent.shape.query_rank = 0;  // one q matrix 2 x 6 x 8 in place of two and a norm
  EXPECT_EQ(layer_of(network_with(latent, small_ffn())), plain - 48 - 6 - 72 + 96);
}

TEST(NeuralNetwork, CountsGatedDelta) {
  GatedDelta delta;
  delta.shape = {1, 2, 3, 4, 4, 64};  // key and value heads, key and value widths, taps
  // Channels 2 x 1 x 3 + 2 x 4 = 14: qkv 14 x 8, z 8 x 8, a and b 2 x 8 each, conv 14 x 4, A_log
  // and dt_bias 2 each, norm 4, out 8 x 8; FFN 384, norms 16.
  const NeuralNetwork network = network_with(delta, small_ffn(), 5);
  EXPECT_EQ(layer_of(network), 112 + 64 + 32 + 56 + 4 + 4 + 64 + 384 + 16);
  EXPECT_EQ(kv_elements_per_token(network), 0);
  EXPECT_EQ(recurrent_state_elements(network), 5 * 2 * 3 * 4);
  EXPECT_EQ(conv_state_elements(network), 5 * 3 * 14);
}

TEST(NeuralNetwork, CountsExpertsAndThoseThatATokenTakes) {
  FeedForward ffn;
  ffn.experts.emplace();
  Experts& experts = *ffn.experts;
  experts.router.experts = 4;
  experts.router.top_k = 2;
  experts.intermediate = 5;
  const auto rest = layer_of(network_with(small_attention(), small_ffn())) - 384;
  // Router 4 x 8, four experts of 3 x 8 x 5.
  NeuralNetwork network = network_with(small_attention(), ffn);
  EXPECT_EQ(layer_of(network), rest + 32 + 4 * 120);
  EXPECT_EQ(active_parameters_of(network, network.kinds[0]), rest + 32 + 2 * 120);
  experts.bias = true;         // gate and up 5 each, down 8
  experts.router.bias = true;  // 4
  experts.shared = 1;
  experts.shared_intermediate = 6;  // 3 x 8 x 6
  experts.shared_gate = true;       // 8
  network = network_with(small_attention(), ffn);
  const std::int64_t common = rest + 32 + 4 + 144 + 8;
  EXPECT_EQ(layer_of(network), common + 4 * (120 + 18));
  EXPECT_EQ(active_parameters_of(network, network.kinds[0]), common + 2 * (120 + 18));
}

TEST(NeuralNetwork, CountsModulesOfMultiTokenPrediction) {
  NeuralNetwork network = network_with(small_attention(), small_ffn(), 3);
  const std::int64_t total = count_parameters(network).total;
  network.mtp.modules = 2;
  // Each: W of 8 x 16, three norms of 8, and a layer.
  EXPECT_EQ(count_parameters(network).mtp, 2 * (128 + 24 + layer_of(network)));
  EXPECT_EQ(count_parameters(network).total, total);
}

TEST(NeuralNetwork, WindowsBoundTheCacheAndAreNotInItsGrowth) {
  GroupedAttention sliding = small_attention();
  sliding.shape.window = 3;
  NeuralNetwork network = network_with(small_attention(), small_ffn());
  network.kinds.push_back({sliding, small_ffn(), false});
  network.kinds.push_back({GatedDelta{}, small_ffn(), false});
  network.pattern = {2, 1, 1, 0};
  EXPECT_EQ(kv_elements_per_token(network), 8);  // K and V of the one full layer
  EXPECT_EQ(kv_elements_per_token(network.kinds[1]), 8);
  EXPECT_EQ(cache_window(network.kinds[1]), 3);
  std::string letters;
  for (std::int64_t i = 0; i < network.layers(); ++i) letters += letter_of(network.layer(i));
  EXPECT_EQ(letters, "LSSF");
}

TEST(NeuralNetwork, NamesOfTensorsAreUnique) {
  NeuralNetwork network = network_with(small_attention(), small_ffn(), 2);
  network.mtp.modules = 1;
  std::set<std::string> names;
  for (const TensorSpec& tensor : tensors_of(network)) {
    EXPECT_TRUE(names.insert(tensor.name).second) << tensor.name;
  }
  EXPECT_TRUE(names.contains("layers.1.attention.query"));
  EXPECT_TRUE(names.contains("mtp.0.combine"));
}

TEST(NeuralNetwork, TheKeyChangesWithTheMathematicsAndNotWithTheSource) {
  const NeuralNetwork plain = network_with(small_attention(), small_ffn(), 2);
  const auto key = [&](const std::function<void(NeuralNetwork&)>& change) {
    NeuralNetwork changed = plain;
    change(changed);
    return key_of(changed);
  };
  const auto attention = [](NeuralNetwork& n) -> GroupedAttention& {
    return std::get<GroupedAttention>(n.kinds[0].mixer);
  };
  EXPECT_EQ(key_of(plain), key([](NeuralNetwork& n) { n.source = "elsewhere"; }));
  const std::vector<std::function<void(NeuralNetwork&)>> changes = {
      [](NeuralNetwork& n) { n.norm.one_plus_weight = true; },
      [](NeuralNetwork& n) { n.final_softcap = 30; },
      [](NeuralNetwork& n) { n.embedding_scale = 2; },
      [](NeuralNetwork& n) { n.pattern.push_back(0); },
      [](NeuralNetwork& n) { n.kinds[0].post_norms = true; },
      [](NeuralNetwork& n) { n.kinds[0].ffn.activation = ActivationKind::Gelu; },
      [](NeuralNetwork& n) { n.mtp.modules = 1; },
      [&](NeuralNetwork& n) { attention(n).shape.window = 2; },
      [&](NeuralNetwork& n) { attention(n).shape.scale = 0.5; },
      [&](NeuralNetwork& n) { attention(n).value_norm = true; },
      [&](NeuralNetwork& n) { attention(n).rope.reset(); },
      [&](NeuralNetwork& n) { attention(n).rope->partial = ops::PartialRotary::Proportional; },
      [&](NeuralNetwork& n) { attention(n).rope->scaling = ops::LinearScaling{2}; },
  };
  std::set<std::uint64_t> keys = {key_of(plain)};
  for (std::size_t i = 0; i < changes.size(); ++i) {
    EXPECT_TRUE(keys.insert(key(changes[i])).second) << "change " << i;
  }
}

TEST(DenseDecoder, IsANetworkAndBack) {
  const DenseDecoder decoder = llama_8b();
  const DenseDecoder back = dense_decoder_of(network_of(decoder), "test");
  EXPECT_EQ(back.layers, decoder.layers);
  EXPECT_EQ(back.kv_heads, decoder.kv_heads);
  EXPECT_EQ(back.intermediate, decoder.intermediate);
  EXPECT_EQ(network_of(back), network_of(decoder));
}

TEST(DenseDecoder, SaysWhatItCannotBe) {
  NeuralNetwork network = network_of(llama_8b());
  EXPECT_EQ(beyond_dense(network), "");
  network.kinds[0].ffn.experts.emplace();
  try {
    (void)dense_decoder_of(network, "chips.x");
    FAIL() << "experts are not dense";
  } catch (const ModelError& error) {
    EXPECT_EQ(std::string(error.what()),
              "chips.x: llama has mixtures of experts, which this chip model does not execute yet");
  }
}

}  // namespace
}  // namespace tandem
