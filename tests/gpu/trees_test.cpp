// A pass over a tree of drafts: every node gives what a text that takes the way to it would, and
// the way that is kept leaves what that text leaves.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/loaded_stage.hpp"
#include "sim/core/diagnostics.hpp"
#include "sim/core/integers.hpp"
#include "sim/lower/weights.hpp"
#include "tests/gpu/test_chips.hpp"
#include "tests/lower/tiny_networks.hpp"

namespace tandem::gpu {
namespace {

using NodeTokens = std::vector<std::int32_t>;

constexpr std::int64_t before_tree = 9;

/// The newest token, three drafts behind it, two behind the second of them, one behind the fifth.
const TokenTree some_tree{before_tree, {-1, 0, 0, 0, 2, 2, 5}};

/// Its nodes by depth, [first, last).
const std::vector<std::pair<std::int64_t, std::int64_t>> depths{{0, 1}, {1, 4}, {4, 6}, {6, 7}};

bool chooses_keys(const NeuralNetwork& network) {
  return std::ranges::any_of(network.kinds, [](const LayerKind& kind) {
    const auto* latent = std::get_if<LatentAttention>(&kind.mixer);
    return latent != nullptr && latent->indexer.has_value();
  });
}

class Trees : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<LoadedStage> load(const NeuralNetwork& network) const {
    Stage stage =
        whole_model(network, {ElementType::Float32, ElementType::Float32, ElementType::Float32});
    stage.revocable = std::ssize(some_tree.parents) - 1;  // all but the newest token
    return load_on_gpu(chip_, stage, random_weights(network, 22), 32);
  }
  static Tensor run(LoadedStage& stage, const SequenceSlice& slice, const NodeTokens& tokens,
                    TokenTree tree = {}) {
    StageData in, out;
    in.tokens = tokens;
    in.tree = std::move(tree);
    (void)stage.run({{slice}}, in, out);
    return out.logits;
  }
  static NodeTokens tokens_of(const NeuralNetwork& network, std::int64_t count, std::int64_t salt) {
    NodeTokens tokens;
    for (std::int64_t i = 0; i < count; ++i) {
      tokens.push_back(static_cast<std::int32_t>((i * 7 + salt * 5 + 1) % network.vocabulary));
    }
    return tokens;
  }
  /// A pass over nodes [begin, end) of a request.
  static Tensor run_nodes(LoadedStage& stage, std::int64_t request, const NodeTokens& nodes,
                          std::int64_t begin, std::int64_t end) {
    TokenTree tree = some_tree;
    tree.parents.resize(index_of(end));
    const std::int64_t count = end - begin;
    return run(stage, {request, before_tree + begin, count, true, 0, count - 1, count > 1},
               {nodes.begin() + begin, nodes.begin() + end}, tree);
  }
  static NodeTokens along(const NodeTokens& nodes, const std::vector<std::int64_t>& path) {
    NodeTokens text;
    for (const std::int64_t node : path) text.push_back(nodes[index_of(node)]);
    return text;
  }
  /// Logits behind `text` on top of the prompt, token by token.
  Tensor alone(const NeuralNetwork& network, const NodeTokens& prompt, const NodeTokens& text) {
    const auto stage = load(network);
    Tensor last = run(*stage, {0, 0, before_tree, true}, prompt);
    for (std::int64_t i = 0; i < std::ssize(text); ++i) {
      last = run(*stage, {0, before_tree + i, 1, true}, {text[index_of(i)]});
    }
    return last;
  }
  static bool same(const Tensor& rows, std::int64_t row, const Tensor& one) {
    const auto width = one.floats().size();
    return std::ranges::equal(rows.floats().subspan(index_of(row) * width, width), one.floats());
  }

  GpuChip chip_{large_chip(), Software{}};
};

TEST_F(Trees, EveryNodeSeesItsOwnText) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    if (chooses_keys(network)) continue;
    const NodeTokens prompt = tokens_of(network, before_tree, 2);
    const NodeTokens nodes = tokens_of(network, std::ssize(some_tree.parents), 3);
    const auto stage = load(network);
    for (std::int64_t request : {0, 1}) {
      (void)run(*stage, {request, 0, before_tree, true}, prompt);
    }
    // In one pass, as verified, and depth by depth, as drafted.
    const Tensor whole = run_nodes(*stage, 0, nodes, 0, 7);
    std::vector<Tensor> parts;
    for (const auto& [begin, end] : depths) {
      parts.push_back(run_nodes(*stage, 1, nodes, begin, end));
    }
    for (std::int64_t node = 0; node < 7; ++node) {
      const Tensor one = alone(network, prompt, along(nodes, some_tree.path(node)));
      EXPECT_TRUE(same(whole, node, one)) << network.name << " node " << node;
      const auto own = std::ranges::find_if(depths, [&](const auto& d) { return node < d.second; });
      const auto part = static_cast<std::size_t>(own - depths.begin());
      EXPECT_TRUE(same(parts[part], node - own->first, one))
          << network.name << " node " << node << " by depth";
    }
  }
}

TEST_F(Trees, ThePathThatIsKeptGoesOnAsItsText) {
  for (const NeuralNetwork& network : test::tiny_networks()) {
    if (chooses_keys(network)) continue;
    const NodeTokens prompt = tokens_of(network, before_tree, 2);
    const NodeTokens nodes = tokens_of(network, std::ssize(some_tree.parents), 3);
    const auto stage = load(network);
    for (std::int64_t node = 0; node < 7; ++node) {
      (void)run(*stage, {node, 0, before_tree, true}, prompt);
      (void)run_nodes(*stage, node, nodes, 0, 7);
      const std::vector<std::int64_t> path = some_tree.path(node);
      std::vector<std::int64_t> places;
      for (const std::int64_t on_it : path) places.push_back(before_tree + on_it);
      stage->keep_path(node, before_tree, places);
      NodeTokens text = along(nodes, path);
      text.push_back(5);
      EXPECT_EQ(run(*stage, {node, before_tree + std::ssize(path), 1, true}, {5}),
                alone(network, prompt, text))
          << network.name << " node " << node;
    }
  }
}

TEST_F(Trees, WhatIsNoTreeIsRefused) {
  const NeuralNetwork network = test::qwen35_tiny();
  const NodeTokens prompt = tokens_of(network, before_tree, 2);
  const auto stage = load(network);
  (void)run(*stage, {0, 0, before_tree, true}, prompt);
  const SequenceSlice slice{0, before_tree, 2, true, 0, 1, true};
  EXPECT_THROW((void)run(*stage, slice, {1, 2}, {before_tree, {-1}}), ModelError);
  EXPECT_THROW((void)run(*stage, slice, {1, 2}, {before_tree, {-1, 1}}), ModelError);
  (void)run(*stage, slice, {1, 2}, {before_tree, {-1, -1}});
  EXPECT_THROW(stage->keep_path(0, before_tree, std::array<std::int64_t, 1>{11}), ModelError);
  EXPECT_THROW(stage->keep_path(0, before_tree, std::array<std::int64_t, 2>{10, 9}), ModelError);
}

}  // namespace
}  // namespace tandem::gpu
