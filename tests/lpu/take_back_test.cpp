// Tokens that are taken back from a request on a chip leave no trace: what follows has the bits of
// a request that never had them.
#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "tests/lower/tiny_networks.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

const Precision half_precision = precision_of(ElementType::Float16, ElementType::Float16);

/// A stage on a chip with one request.
class Loaded {
 public:
  Loaded(const lpu::Geometry& geometry, Stage stage, std::int64_t revocable, const Weights& weights,
         std::int64_t max_context)
      : chip_(lpu::make_lpu_chip(chip_of(geometry), Software{})) {
    stage.revocable = revocable;
    stage_ = chip_->load(stage, weights, 1, max_context);
  }

  /// Logits of all of `count` tokens; what they are is told by `seed` and position.
  Tensor run(std::int64_t count, std::int64_t seed) {
    StageData in, out;
    for (std::int64_t i = tokens_; i < tokens_ + count; ++i) {
      in.tokens.push_back(static_cast<std::int32_t>((7 * i + seed) % 32));
    }
    (void)stage_->run({{{0, tokens_, count, true, 0, count - 1, count > 1}}}, in, out);
    tokens_ += count;
    return out.logits;
  }
  void keep(std::int64_t tokens) {
    stage_->keep(0, tokens);
    tokens_ = tokens;
  }
  [[nodiscard]] LoadedStage& stage() { return *stage_; }
  void take(const KvBlock& block) {
    stage_->import_kv(0, block);
    tokens_ = block.tokens;
  }

 private:
  std::unique_ptr<ChipModel> chip_;
  std::unique_ptr<LoadedStage> stage_;
  std::int64_t tokens_ = 0;
};

// Vectors of 32 lanes: KV blocks of 32 tokens. The round begins in one block and ends in the next.
TEST(TakeBack, ABlockGoesOnGrowingAfterTheNextOneHasBegun) {
  const DenseDecoder network = small_network(2, 32, 4, 2, 8, 48, 40);
  const Weights weights = spread_weights(network, 3);
  const Stage stage = whole_model(network, half_precision);
  for (const std::int64_t kept : {30, 31, 32, 33}) {
    Loaded rounds(narrow_geometry(2), stage, 4, weights, 64);
    Loaded plain(narrow_geometry(2), stage, 0, weights, 64);
    EXPECT_EQ(rounds.run(29, 0), plain.run(29, 0));
    (void)rounds.run(kept - 29, 1);
    (void)plain.run(kept - 29, 1);
    (void)rounds.run(5 - (kept - 29), 5);
    rounds.keep(kept);
    EXPECT_EQ(rounds.run(4, 2), plain.run(4, 2)) << kept;
    EXPECT_EQ(rounds.stage().export_kv(0), plain.stage().export_kv(0)) << kept;
  }
}

class RecurrentStates : public testing::Test {
 protected:
  [[nodiscard]] Loaded loaded(std::int64_t revocable) const {
    return {narrow_geometry(4), whole_model(network_, half_precision), revocable, weights_, 64};
  }
  NeuralNetwork network_ = qwen35_tiny();
  Weights weights_ = random_weights(network_, 5);
};

// Each round drafts three tokens and keeps 0, 1, 2 or 3 of them: states are written in turns of
// four, inputs of the convolution in turns of seven.
TEST_F(RecurrentStates, AreThoseOfTheTokensThatStay) {
  Loaded rounds = loaded(3);
  Loaded plain = loaded(0);
  EXPECT_EQ(rounds.run(5, 0), plain.run(5, 0));
  std::int64_t context = 5;
  for (const std::int64_t kept : {0, 3, 1, 2, 0, 0, 3, 1}) {
    (void)rounds.run(1 + kept, 1);
    (void)plain.run(1 + kept, 1);
    if (kept < 3) (void)rounds.run(3 - kept, 9);
    context += 1 + kept;
    rounds.keep(context);
    ASSERT_EQ(rounds.stage().export_kv(0), plain.stage().export_kv(0)) << context;
  }
  EXPECT_EQ(rounds.run(2, 4), plain.run(2, 4));
}

TEST_F(RecurrentStates, ThatCameFromAnotherChipAreTakenBackToNothingBefore) {
  Loaded sender = loaded(0);
  (void)sender.run(6, 0);
  Loaded receiver = loaded(2);
  receiver.take(sender.stage().export_kv(0));
  EXPECT_THROW(receiver.keep(5), ModelError);
  (void)receiver.run(3, 7);
  EXPECT_THROW(receiver.keep(6), ModelError);
  receiver.keep(7);
  EXPECT_THROW(receiver.keep(6), ModelError);
  // From the beginning again.
  receiver.keep(0);
  Loaded fresh = loaded(0);
  EXPECT_EQ(receiver.run(4, 1), fresh.run(4, 1));
}

TEST_F(RecurrentStates, MakeProgramsThatTheVerifierPasses) {
  Stage stage = whole_model(network_, half_precision);
  stage.revocable = 3;
  const lpu::Geometry geometry = narrow_geometry(4);
  expect_verified(lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, 2, 64),
                  geometry);
}

TEST(Modules, MakeProgramsThatTheVerifierPasses) {
  Stage stage = whole_model(module_of(dsv3_tiny()), half_precision);
  stage.hands_on_hidden = true;
  const lpu::Geometry geometry = narrow_geometry(4);
  expect_verified(lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage, 2, 64),
                  geometry);
}

}  // namespace
}  // namespace tandem::test
