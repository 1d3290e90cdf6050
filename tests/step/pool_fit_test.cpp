// What fits on a pool of chips with static schedules, and what is advised where it does not.
#include "sim/step/pool_fit.hpp"

#include <gtest/gtest.h>

#include "sim/core/diagnostics.hpp"
#include "tests/step/fakes.hpp"

namespace tandem {
namespace {

// One layer: 192 parameters of attention, 384 of the block, 16 of norms, two bytes each: 1,184 B.
// Embedding and head 512 B each, the last norm 16 B. KV: 16 B per token and layer, in blocks of 16
// tokens. A request of 32 + 4 tokens takes three blocks.
class PoolFitTest : public testing::Test {
 protected:
  PoolFitTest() {
    scenario_.placement.decode.pool = "lpu";
    scenario_.placement.decode.pipeline = 1;
    fakes::set(scenario_.system.chips["small"].parameters, "kv_block", 16);
  }
  [[nodiscard]] std::unique_ptr<ChipModel> chip_of(double capacity) {
    fakes::set(scenario_.system.chips["small"].parameters, "capacity", capacity);
    return std::make_unique<fakes::FakeChip>(scenario_.system.chips["small"]);
  }

  Scenario scenario_ = fakes::scenario();
};

TEST_F(PoolFitTest, RequestsTakeWholeBlocks) {
  // Room for 150 tokens of 64 B: four times 36, but three times 48.
  const double weights = 4 * 1184 + 512 + 512 + 16;
  const auto chip = chip_of(weights + 150 * 64);
  const PoolFit fit = fit_pool(fit_question(scenario_, *chip), scenario_.placement.decode);
  EXPECT_EQ(fit.room.sequences, 3);
  EXPECT_EQ(fit.room.tokens, 150);
  // One token less than three blocks, with the head on a chip of its own.
  const auto less = chip_of(weights - 512 - 16 + 47 * 64);
  EXPECT_FALSE(fit_pool(fit_question(scenario_, *less), scenario_.placement.decode).fits());
}

TEST_F(PoolFitTest, AdviceCountsTheChipsOfTheHead) {
  // A layer, the embedding and one request (48 x 16 B) fit with 8 B to spare; in place of the
  // embedding the head with its norm, 16 B more, does not: it gets a fifth chip.
  const auto chip = chip_of(1184 + 512 + 48 * 16 + 8);
  try {
    static_cast<void>(require_fit(fit_question(scenario_, *chip), scenario_.placement.decode));
    FAIL() << "fits";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("pipeline: 4 (5 chips per replica)"),
              std::string::npos)
        << error.what();
    EXPECT_EQ(error.diagnostics().front().place.line, 7);
  }
}

}  // namespace
}  // namespace tandem
