// Does the reference model keep its promises on random networks: equal forms, exact snapshots, and
// special cases that reduce to simpler networks?
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"
#include "sim/core/random.hpp"
#include "sim/lower/reference_model.hpp"
#include "tests/lower/random_networks.hpp"
#include "tests/lower/seeded_weights.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/support/property.hpp"

namespace tandem {
namespace {

using Logits = std::vector<float>;

/// Largest difference as a share of the largest value.
double difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  double largest = 1e-30;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
  }
  return worst / largest;
}

Logits run(ReferenceModel& model, std::span<const std::int32_t> tokens) {
  Logits all;
  for (const std::int32_t token : tokens) {
    const Tensor logits = model.forward(token, model.tokens());
    all.insert(all.end(), logits.floats().begin(), logits.floats().end());
  }
  return all;
}

Logits run(const Weights& weights, std::span<const std::int32_t> tokens,
           const ReferenceOptions& options = {}) {
  ReferenceModel model(weights, options);
  return run(model, tokens);
}

/// A prefill in two calls.
Logits prefill(const Weights& weights, std::span<const std::int32_t> tokens, std::size_t first,
               const ReferenceOptions& options) {
  ReferenceModel model(weights, options);
  Logits all;
  for (const auto part : {tokens.first(first), tokens.subspan(first)}) {
    const Tensor logits = model.prefill(part);
    all.insert(all.end(), logits.floats().begin(), logits.floats().end());
  }
  return all;
}

/// One random case: a network, its weights, tokens.
struct Case {
  explicit Case(int seed, const char* what)
      : label(std::string(what) + ", seed " + std::to_string(seed)),
        random(static_cast<std::uint64_t>(seed), what),
        make(random),
        network(make.network()) {
    set(network);
  }
  void set(const NeuralNetwork& changed) {
    network = changed;
    weights = test::seeded_weights(network);
    tokens.resize(static_cast<std::size_t>(random.integer(4, 16)));
    for (std::int32_t& token : tokens) {
      token = static_cast<std::int32_t>(random.integer(0, network.vocabulary - 1));
    }
  }
  [[nodiscard]] bool is_recurrent() const {
    return std::ranges::any_of(network.pattern, [&](std::int32_t kind) {
      return std::holds_alternative<GatedDelta>(
          network.kinds[static_cast<std::size_t>(kind)].mixer);
    });
  }
  std::string label;
  RandomStream random;
  test::NetworkMaker make;
  NeuralNetwork network;
  Weights weights;
  std::vector<std::int32_t> tokens;
};

template <class Check>
void for_cases(int usual, const char* what, const Check& check) {
  const int cases = test::property_cases(usual);
  for (int seed = 0; seed < cases && !testing::Test::HasFailure(); ++seed) {
    Case one(seed, what);
    SCOPED_TRACE(one.label);
    check(one);
  }
}

/// How far roundings alone can move a network's logits: the largest change in three runs whose
/// embeddings are off by one part in 2^23.
double sensitivity_of(const Case& c) {
  const Logits exact = run(c.weights, c.tokens);
  double largest = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    RandomStream random(seed, "sensitivity");
    Weights shaken = c.weights;
    for (float& value : shaken.tensors.at("embedding").floats()) {
      value *= random.uniform() < 0.5 ? 1 - 0x1p-23F : 1 + 0x1p-23F;
    }
    largest = std::max(largest, difference(exact, run(shaken, c.tokens)));
  }
  return largest;
}

/// Two results must agree to 1e-5. Random networks can be so badly conditioned that rounding grows
/// beyond it, or turns a router's choice: those must agree to 100 times what one rounding of the
/// inputs does to them.
template <class Differ>
void expect_near(int usual, const char* what, const Differ& difference_in) {
  for_cases(usual, what, [&](Case& c) {
    const double found = difference_in(c);
    if (found < 1e-5) return;
    EXPECT_LT(found, 100 * sensitivity_of(c)) << c.label;
  });
}

TEST(ReferenceProperty, prefill_in_chunks_equals_token_by_token) {
  expect_near(60, "prefill", [](Case& c) {
    const auto first = static_cast<std::size_t>(c.make.among(1, 3));
    return difference(run(c.weights, c.tokens), prefill(c.weights, c.tokens, first, {}));
  });
}

TEST(ReferenceProperty, prefill_in_the_same_forms_gives_the_same_bits_in_every_format) {
  for_cases(40, "same forms", [](Case& c) {
    ReferenceOptions options;
    options.chunked_prefill = false;
    for (const ElementType type :
         {ElementType::Float32, ElementType::Bfloat16, ElementType::Float16}) {
      options.arithmetic = {type};
      const Weights weights = weights_in_format(c.weights, type);
      EXPECT_EQ(run(weights, c.tokens, options), prefill(weights, c.tokens, 2, options));
    }
  });
}

// bfloat16 keeps 8 bits: logits of up to three layers stay within a few per cent of float32 in most
// networks. A few are so badly conditioned that no bound holds for all.
TEST(ReferenceProperty, formats_stay_near_float32_in_dense_networks) {
  std::vector<double> errors;
  for_cases(30, "formats", [&](Case& c) {
    NeuralNetwork network = c.network;
    for (LayerKind& kind : network.kinds) {  // no choices: routers and indexers flip
      kind.ffn.experts.reset();
      kind.ffn.intermediate = 8;
      if (auto* latent = std::get_if<LatentAttention>(&kind.mixer)) latent->indexer.reset();
    }
    c.set(network);
    ReferenceOptions options;
    options.arithmetic = {ElementType::Bfloat16};
    const Logits rounded =
        run(weights_in_format(c.weights, ElementType::Bfloat16), c.tokens, options);
    errors.push_back(difference(run(c.weights, c.tokens), rounded));
    EXPECT_GT(errors.back(), 1e-5);
  });
  std::ranges::sort(errors);
  EXPECT_LT(errors[errors.size() / 2], 0.04);
}

TEST(ReferenceProperty, absorbed_latent_attention_equals_naive) {
  expect_near(60, "absorbed", [](Case& c) {
    NeuralNetwork network = c.network;
    network.kinds.front().mixer = c.make.latent();
    network.pattern.front() = 0;
    c.set(network);
    ReferenceOptions options;
    options.absorbed = true;
    return difference(run(c.weights, c.tokens), run(c.weights, c.tokens, options));
  });
}

TEST(ReferenceProperty, a_snapshot_brings_back_every_bit) {
  for_cases(60, "snapshot", [](Case& c) {
    ReferenceModel model(c.weights);
    const auto tokens = std::span<const std::int32_t>(c.tokens);
    (void)run(model, tokens.first(2));
    const ReferenceModel::Snapshot snapshot = model.snapshot();
    const Logits once = run(model, tokens.subspan(2));
    (void)model.prefill(tokens.first(1));
    model.restore(snapshot);
    EXPECT_EQ(model.tokens(), 2);
    EXPECT_EQ(model.snapshot(), snapshot);
    EXPECT_EQ(run(model, tokens.subspan(2)), once);
  });
}

TEST(ReferenceProperty, going_back_gives_the_same_bits_or_asks_for_a_snapshot) {
  for_cases(60, "going back", [](Case& c) {
    ReferenceModel model(c.weights);
    const Logits once = run(model, c.tokens);
    const ReferenceModel::Snapshot before = model.snapshot();
    const auto rest = std::span<const std::int32_t>(c.tokens).subspan(1);
    if (c.is_recurrent()) {
      EXPECT_THROW((void)model.forward(c.tokens[1], 1), ModelError);
      EXPECT_EQ(model.snapshot(), before);
    } else {
      Logits again;
      const Tensor second = model.forward(c.tokens[1], 1);
      again.assign(second.floats().begin(), second.floats().end());
      const Logits others = run(model, rest.subspan(1));
      again.insert(again.end(), others.begin(), others.end());
      EXPECT_EQ(again, Logits(once.begin() + c.network.vocabulary, once.end()));
    }
    const Tensor first = model.forward(c.tokens[0], 0);  // the beginning is always open
    EXPECT_TRUE(std::ranges::equal(first.floats(), std::span(once).first(first.floats().size())));
  });
}

TEST(ReferenceProperty, a_window_as_long_as_the_sequence_is_no_window) {
  for_cases(40, "window", [](Case& c) {
    NeuralNetwork network = c.network;
    GroupedAttention attention = c.make.grouped();
    attention.shape.window = 0;
    network.kinds.front().mixer = attention;
    network.pattern.front() = 0;
    c.set(network);
    const Logits full = run(c.weights, c.tokens);
    auto& window = std::get<GroupedAttention>(c.weights.network.kinds.front().mixer).shape.window;
    window = static_cast<std::int64_t>(c.tokens.size());
    EXPECT_EQ(run(c.weights, c.tokens), full);
    window = 1;  // a query sees only itself
    EXPECT_NE(run(c.weights, c.tokens), full);
  });
}

// Equal experts with weights that sum to 1 are one dense block, whatever the router says.
TEST(ReferenceProperty, equal_experts_are_a_dense_block) {
  expect_near(40, "equal experts", [](Case& c) {
    NeuralNetwork network = c.network;
    Experts experts = c.make.experts();
    experts.router.renormalise = true;
    experts.router.scale = 1;
    experts.router.group_mask = ops::GroupMask::MinusInfinity;
    experts.shared = experts.shared_intermediate = 0;
    experts.shared_gate = experts.expert_scale = experts.bias = false;
    for (LayerKind& kind : network.kinds) {
      kind.ffn.intermediate = 0;
      kind.ffn.bias = false;
      kind.ffn.experts = experts;
    }
    c.set(network);
    Weights dense;
    dense.network = network;
    for (LayerKind& kind : dense.network.kinds) {
      kind.ffn.experts.reset();
      kind.ffn.intermediate = experts.intermediate;
    }
    for (const TensorSpec& spec : tensors_of(dense.network)) {
      const std::size_t at = spec.name.find(".ffn.");
      if (at == std::string::npos) {
        dense.tensors.emplace(spec.name, c.weights.at(spec.name));
        continue;
      }
      Tensor& all =
          c.weights.tensors.at(spec.name.substr(0, at) + ".experts." + spec.name.substr(at + 5));
      Tensor one(ElementType::Float32, spec.shape);
      for (std::int64_t i = 0; i < all.elements(); ++i) {
        all.store(i, all.load(i % one.elements()));
        one.store(i % one.elements(), all.load(i));
      }
      dense.tensors.emplace(spec.name, one);
    }
    return difference(run(dense, c.tokens), run(c.weights, c.tokens));
  });
}

/// Norms whose weights count as 1 + w where the network says so.
bool counts_from_one(const std::string& name) {
  return name.ends_with("norm") && !name.ends_with("delta.norm") &&
         !name.ends_with("router_norm") && !name.ends_with("indexer.key_norm");
}

// Weights 1 + n / 64 and their distances from 1 are exact in float, so the bits are the same.
TEST(ReferenceProperty, norms_with_weights_from_one_are_plain_norms) {
  for_cases(40, "one plus", [](Case& c) {
    NeuralNetwork network = c.network;
    network.norm = {NormKind::Rms, true, 1e-6};
    network.mtp = {};
    c.set(network);
    Weights plain = c.weights;
    plain.network.norm.one_plus_weight = false;
    for (auto& [name, tensor] : c.weights.tensors) {
      if (!counts_from_one(name)) continue;
      for (float& value : tensor.floats()) value = std::round(value * 64) / 64;
      std::ranges::transform(tensor.floats(), plain.tensors.at(name).floats().begin(),
                             [](float value) { return 1 + value; });
    }
    EXPECT_EQ(run(c.weights, c.tokens), run(plain, c.tokens));
  });
}

TEST(ReferenceProperty, drafts_depend_on_their_own_cache_alone) {
  for_cases(40, "drafts", [](Case& c) {
    NeuralNetwork network = c.network;
    network.norm.kind = NormKind::Rms;
    network.mtp = {2, 0};
    c.set(network);
    ReferenceModel model(c.weights);
    (void)model.forward(c.tokens[0], 0);
    const std::vector<float> hidden(model.hidden().begin(), model.hidden().end());
    const auto first = model.draft(hidden, c.tokens[1], 0);
    const ReferenceModel::Snapshot snapshot = model.snapshot();
    const auto second = model.draft(first.hidden, c.tokens[2], 1);
    EXPECT_EQ(model.draft_tokens(), 2);
    EXPECT_EQ(model.draft_tokens(1), 0);
    (void)model.forward(c.tokens[1], 1);  // the model's own cache is another
    model.restore(snapshot);
    EXPECT_EQ(model.draft(first.hidden, c.tokens[2], 1).logits, second.logits);
    EXPECT_EQ(model.draft(hidden, c.tokens[1], 0).logits, first.logits);  // back to the beginning
    EXPECT_NE(model.draft(hidden, c.tokens[1], 0, 1).logits, first.logits);
  });
}

TEST(ReferenceModel, refuses_what_it_cannot_run) {
  const Weights weights = test::seeded_weights(test::qwen35_tiny());
  ReferenceModel model(weights);
  EXPECT_THROW((void)model.forward(99, 0), ModelError);  // vocabulary of 99
  EXPECT_THROW((void)model.forward(-1, 0), ModelError);
  EXPECT_THROW((void)model.forward(1, 1), ModelError);  // a gap
  EXPECT_THROW((void)model.prefill({}), ModelError);
  EXPECT_THROW((void)model.prefill(std::vector<std::int32_t>(65, 1)), ModelError);  // context of 64
  EXPECT_EQ(model.tokens(), 0);
  EXPECT_THROW((void)model.draft(std::vector<float>(32), 1, 1), ModelError);
  EXPECT_THROW((void)model.draft(std::vector<float>(31), 1, 0), ModelError);
  EXPECT_THROW((void)model.draft(std::vector<float>(32), 1, 0, 1), ModelError);
  NeuralNetwork wider = test::qwen35_tiny();  // as many layers of other widths
  wider.hidden = 40;
  const Weights other = test::seeded_weights(wider);
  EXPECT_THROW(model.restore(ReferenceModel(other).snapshot()), ModelError);

  Weights missing = weights;
  missing.tensors.erase("layers.2.delta.a_log");
  EXPECT_THROW(ReferenceModel{missing}, ModelError);
  Weights narrow = weights;
  Tensor& head = narrow.tensors.at("head");
  head = head.converted(ElementType::Bfloat16);
  EXPECT_THROW(ReferenceModel{narrow}, ModelError);
}

// Rotation takes 8 elements of a key; an indexer of 6 has fewer.
TEST(ReferenceModel, refuses_an_indexer_narrower_than_its_rotation) {
  NeuralNetwork network = test::dsv3_tiny();
  for (LayerKind& kind : network.kinds) {
    std::get<LatentAttention>(kind.mixer).indexer = ops::IndexerShape{3, 6, 5};
  }
  const Weights weights = random_weights(network, 1);
  EXPECT_THROW((void)ReferenceModel(weights), ModelError);
}

}  // namespace
}  // namespace tandem
