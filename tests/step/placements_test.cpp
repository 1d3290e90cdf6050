// One table: small models of three kinds in every way to place them. Each writes the tokens of one
// chip, with the bits of one chip where sums run in the same order, and moves the bytes of closed
// forms.
#include <numeric>

#include "tests/step/split_harness.hpp"

namespace tandem::test {
namespace {

constexpr std::int64_t prompt_tokens = 7, all_positions = 14, float_bytes = 4;
constexpr std::int64_t passes = 1 + all_positions - prompt_tokens;

/// Adds up what all-reduces and gathers put on the links.
class CountingCollectives final : public CollectiveModel {
 public:
  explicit CountingCollectives(std::int64_t& bytes) : bytes_(bytes) {}
  CollectiveCost cost(const std::vector<ChipAddress>& ranks, const Collective& c) override {
    return plain_.cost(ranks, c);
  }
  std::vector<Tensor> exchange(const std::vector<ChipAddress>& ranks, const Collective& c,
                               const std::vector<Tensor>& inputs) override {
    bytes_ += c.bytes.count();
    return plain_.exchange(ranks, c, inputs);
  }

 private:
  std::int64_t& bytes_;
  RankOrderCollectives plain_;
};

/// Eight query heads, so that eight ranks can share them.
NeuralNetwork eight_head_mixture() {
  NeuralNetwork network = gptoss_tiny();
  network.name = "mixture";
  network.pattern = {0, 1, 0, 1};
  for (LayerKind& kind : network.kinds) {
    auto& shape = std::get<GroupedAttention>(kind.mixer).shape;
    shape.heads = 8;
    shape.kv_heads = 4;
  }
  return network;
}

NeuralNetwork eight_head_latent() {
  NeuralNetwork network = dsv3_tiny();
  network.name = "latent";
  network.pattern = {0, 1, 1, 1};
  for (LayerKind& kind : network.kinds) std::get<LatentAttention>(kind.mixer).shape.heads = 8;
  return network;
}

NeuralNetwork eight_head_hybrid() {
  NeuralNetwork network = wide_hybrid();
  network.name = "hybrid";
  auto& delta = std::get<GatedDelta>(network.kinds[0].mixer).shape;
  delta.key_heads = delta.value_heads = 8;
  auto& attention = std::get<GroupedAttention>(network.kinds[1].mixer).shape;
  attention.heads = 8;
  attention.kv_heads = 4;
  for (LayerKind& kind : network.kinds) {
    kind.ffn.experts->intermediate = 16;
    kind.ffn.experts->shared_intermediate = 40;
  }
  return network;
}

/// What crossed links while a text was written.
struct Moved {
  std::int64_t sums = 0;    ///< buffers of all-reduces and gathers
  std::int64_t hidden = 0;  ///< rows between stages, and between halves of layers
  std::int64_t kv = 0;
  bool operator==(const Moved&) const = default;
};

struct Written {
  GenerateResult result;
  Moved moved;
};

Written text_of(const Placement& placement, const Weights& weights,
                const std::vector<std::int32_t>& forced = {}) {
  Scenario scenario = split_layers_scenario(weights.network);
  scenario.placement = placement;
  Written written;
  const NetworkFactory factory{[](const System&) { return std::make_unique<fakes::FakeNetwork>(); },
                               [&](const System&, const Software&) {
                                 return std::make_unique<CountingCollectives>(written.moved.sums);
                               }};
  GenerateOptions options;
  options.positions = all_positions;
  options.ignore_end = true;
  options.forced = forced;
  const std::vector<std::int32_t> prompt{1, 9, 4, 17, 2, 30, 8};
  written.result = generate(scenario, both_chips(), factory, weights, prompt, options);
  for (const Transfer& transfer : written.result.transfers) {
    (transfer.what == "kv" ? written.moved.kv : written.moved.hidden) += transfer.bytes.count();
  }
  return written;
}

/// The sums of a gang of tensor ranks: the embedding's and two per layer for every row, and the
/// logits of every pass, in equal parts per rank.
std::int64_t sums_of(const NeuralNetwork& network, std::int64_t tensor, std::int64_t rows,
                     std::int64_t sampled) {
  if (tensor == 1) return 0;
  const std::int64_t logits = ceil_div(network.vocabulary, tensor) * tensor;
  return float_bytes * (rows * network.hidden * (1 + 2 * network.layers()) + sampled * logits);
}

/// KV of all its tokens, and states once.
std::int64_t kv_of_prompt(const NeuralNetwork& network) {
  std::int64_t elements = 0;
  for (std::int64_t i = 0; i < network.layers(); ++i) {
    elements += prompt_tokens * kv_elements_per_token(network.layer(i));
    const auto* delta = std::get_if<GatedDelta>(&network.layer(i).mixer);
    if (delta == nullptr) continue;
    elements += delta->shape.state_elements() + delta->shape.conv_state_elements();
  }
  return float_bytes * elements;
}

/// A row of the table.
struct Way {
  std::string name;
  Placement placement;
  bool same_bits = false;
  Moved moved;
};

class Table {
 public:
  explicit Table(const NeuralNetwork& network) : network_(network) {
    plain_ = split_layers_scenario(network).placement;
    plain_.mode = PlacementMode::Monolithic;
  }
  std::vector<Way> rows() {
    for (const std::int64_t n : {2, 4, 8}) add_tensor(n, 1);
    for (const std::int64_t n : {2, 4}) add_pipeline(n);
    if (network_.kinds.back().ffn.experts) {
      for (const std::int64_t n : {2, 4, 8}) add_tensor(n, n);
      for (const std::int64_t n : {2, 4, 8}) add_attention_data(n);
    }
    add_disaggregated();
    add_attention_ffn();
    return std::move(ways_);
  }

 private:
  Way& add(std::string name, bool same_bits) {
    ways_.push_back({std::move(name), plain_, same_bits, {}});
    return ways_.back();
  }
  void add_tensor(std::int64_t n, std::int64_t expert) {
    Way& way = add("tensor " + std::to_string(n) + " expert " + std::to_string(expert), false);
    way.placement.prefill.tensor = n;
    way.placement.prefill.expert = expert;
    way.moved.sums = sums_of(network_, n, all_positions, passes);
  }
  void add_pipeline(std::int64_t n) {
    Way& way = add("pipeline " + std::to_string(n), true);
    way.placement.prefill.pipeline = n;
    way.moved.hidden = (n - 1) * all_positions * network_.hidden * float_bytes;
  }
  void add_attention_data(std::int64_t n) {
    Way& way = add("attention_data " + std::to_string(n), true);
    way.placement.prefill.attention_data = way.placement.prefill.expert = n;
  }
  /// Prompts on a pipeline of two pairs, tokens on a gang of four.
  void add_disaggregated() {
    Way& way = add("disaggregated", false);
    way.placement.mode = PlacementMode::Disaggregated;
    way.placement.prefill.tensor = way.placement.prefill.pipeline = 2;
    way.placement.decode.tensor = 4;
    way.moved.sums = sums_of(network_, 2, prompt_tokens, 1) +
                     sums_of(network_, 4, all_positions - prompt_tokens, passes - 1);
    way.moved.hidden = prompt_tokens * network_.hidden * float_bytes;
    way.moved.kv = kv_of_prompt(network_);
  }
  /// Prompts on one GPU, mixers on another, blocks on two LPUs.
  void add_attention_ffn() {
    Way& way = add("attention_ffn", false);
    way.placement.mode = PlacementMode::AttentionFfn;
    way.placement.decode.micro_batches = 2;
    way.placement.ffn.pipeline = 2;
    way.moved.hidden =
        2 * network_.layers() * (all_positions - prompt_tokens) * network_.hidden * float_bytes;
    way.moved.kv = kv_of_prompt(network_);
  }

  const NeuralNetwork& network_;
  Placement plain_;
  std::vector<Way> ways_;
};

class EveryPlacement : public ::testing::TestWithParam<NeuralNetwork> {};

TEST_P(EveryPlacement, WritesTheTokensOfOneChip) {
  const Weights weights = half_weights(GetParam(), 41);
  Placement plain = split_layers_scenario(GetParam()).placement;
  plain.mode = PlacementMode::Monolithic;
  const Written alone = text_of(plain, weights);
  EXPECT_EQ(alone.moved, Moved{});
  EXPECT_LT(reference_max_abs_error(alone.result, weights), 1e-3);
  for (const Way& way : Table(GetParam()).rows()) {
    SCOPED_TRACE(way.name);
    const Written written = text_of(way.placement, weights);
    EXPECT_EQ(written.result.tokens, alone.result.tokens);
    if (way.same_bits) {
      EXPECT_EQ(written.result.logits, alone.result.logits);
    }
    EXPECT_EQ(written.moved.sums, way.moved.sums);
    EXPECT_EQ(written.moved.hidden, way.moved.hidden);
    EXPECT_EQ(written.moved.kv, way.moved.kv);
  }
}

// Prompts on a GPU in float32, tokens on an LPU in float16: given the same tokens, logits are those
// of one GPU but for the LPU's rounding.
TEST_P(EveryPlacement, GoesOnOnAnLpu) {
  const Weights weights = half_weights(GetParam(), 41);
  Placement placement = split_layers_scenario(GetParam()).placement;
  placement.mode = PlacementMode::Monolithic;
  const Written alone = text_of(placement, weights);
  placement.mode = PlacementMode::Disaggregated;
  placement.decode.pool = placement.ffn.pool;
  placement.decode.precision = {ElementType::Float16, ElementType::Float16, ElementType::Float16};
  const Written written = text_of(placement, weights, alone.result.tokens);
  EXPECT_EQ(written.result.kv_received, written.result.kv_sent);
  float largest = 0, difference = 0;
  for (const auto& [position, logits] : alone.result.logits) {
    const std::vector<float>& other = written.result.logits.at(position);
    for (std::size_t i = 0; i < logits.size(); ++i) {
      largest = std::max(largest, std::abs(logits[i]));
      difference = std::max(difference, std::abs(logits[i] - other[i]));
    }
  }
  EXPECT_GT(difference, 0.0F);
  EXPECT_LT(difference, 0.01F * largest);
}

INSTANTIATE_TEST_SUITE_P(Models, EveryPlacement,
                         ::testing::Values(dense_network(), eight_head_mixture(),
                                           eight_head_latent(), eight_head_hybrid()),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace tandem::test
