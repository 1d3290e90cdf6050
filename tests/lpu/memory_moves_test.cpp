// What a request left on a chip goes on elsewhere: recurrent states, and latents.
#include <gtest/gtest.h>

#include "tests/lpu/compiler_harness.hpp"
#include "tests/lpu/latent_harness.hpp"

namespace tandem::test {
namespace {

/// `tokens` of a request in slot 0 of a chip, moved to slot 0 or 1 of another, give the same logits
/// from there on.
void expect_to_go_on(const Weights& weights, int tokens) {
  SCOPED_TRACE(tokens);
  const Precision half = precision_of(ElementType::Float16, ElementType::Float16);
  const Stage stage = tandem::whole_model(weights.network, half);
  StageUnderTest from(narrow_geometry(2), stage, weights, 1, 80);
  StageUnderTest to(narrow_geometry(2), stage, weights, 2, 80);
  const auto token = [&](StageUnderTest& chip, int slot, int t) {
    return chip.host->run_token(slot, t, embedding_row(weights, (t * 7 + 3) % 70)).logits;
  };
  for (int t = 0; t < tokens; ++t) static_cast<void>(token(from, 0, t));
  const KvBlock block = from.host->read_kv(0, tokens);
  EXPECT_TRUE(block.has_expected_size());
  for (const int slot : {1, 0}) to.host->write_kv(slot, block);
  for (const int slot : {0, 1}) EXPECT_EQ(to.host->read_kv(slot, tokens), block) << slot;
  for (int t = tokens; t < tokens + 3; ++t) {
    const std::vector<float> expected = token(from, 0, t);
    for (const int slot : {0, 1}) EXPECT_EQ(token(to, slot, t), expected) << slot << " " << t;
  }
}

// Two layers of Gated DeltaNet, four taps, and one of attention. Fewer tokens than taps leave
// inputs of zeros; 35 are more than a KV block.
TEST(LpuMemory, StatesGoOnOnAnotherChip) {
  NeuralNetwork network = network_of(small_network(3, 50, 6, 3, 10, 75, 70));
  LayerKind delta = network.kinds.front();
  delta.mixer = GatedDelta{{2, 8, 12, 10, 4, 64}};
  network.kinds.push_back(delta);
  network.pattern = {1, 1, 0};
  const Weights weights = random_weights(network, 3);
  for (const int tokens : {1, 2, 3, 4, 35}) expect_to_go_on(weights, tokens);
}

// 32 lanes: latents of 20 with the rotated part behind them in one vector, and of 40 in two.
TEST(LpuMemory, LatentsGoOnOnAnotherChip) {
  for (const std::int64_t rank : {16, 20, 40}) {
    const Weights weights =
        random_weights(latent_network(latent_shape(3, 24, rank, 8, 6, 10), 2, 50, 75, 70), 4);
    for (const int tokens : {1, 7, 32, 37}) expect_to_go_on(weights, tokens);
  }
}

}  // namespace
}  // namespace tandem::test
