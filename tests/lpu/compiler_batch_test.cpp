// Passes of several tokens: requests at different positions side by side, chunks of prompts, and
// both at once give, bit for bit, what passes of one token give.
#include <gtest/gtest.h>

#include <algorithm>

#include "models/lpu/verifier.hpp"
#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;
using lpu::TokenPlace;

constexpr int context_limit = 96;

/// One stage compiled for passes of one and of several tokens, and every request's tokens and
/// logits by passes of one token.
class BatchUnderTest {
 public:
  BatchUnderTest(const lpu::Geometry& geometry, const DenseDecoder& network, ElementType type,
                 int requests, int tokens)
      : weights_(spread_weights(network, 21)),
        vocabulary_(static_cast<std::int32_t>(network.vocabulary)),
        stage_(whole_model(network, precision_of(type, type))),
        single_(geometry, stage_, weights_, requests, context_limit),
        compiled_(lpu::compile_stage(geometry, LatencyTable{}, "chip", stage_, requests,
                                     context_limit, {}, {tokens})),
        host_(geometry, LatencyTable{}, compiled_, weights_) {}

  /// A token of the prompt that every request makes up from its number.
  [[nodiscard]] std::int32_t token(int request, std::int64_t position) const {
    return static_cast<std::int32_t>((7 * request + 3 * position + 1) % vocabulary_);
  }

  /// Runs the places in one pass and alone, and compares.
  void expect_equal(const std::vector<TokenPlace>& places) {
    std::vector<std::span<const float>> hidden;
    for (const TokenPlace& place : places) {
      hidden.push_back(embedding_row(weights_, token(place.slot, place.position)));
    }
    const auto batch = host_.run_tokens(places, hidden);
    ASSERT_EQ(batch.tokens.size(), places.size());
    EXPECT_EQ(batch.run.cycles, compiled_.cycles_of(blocks_of(places)));
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto alone = single_.host->run_token(places[i].slot, places[i].position, hidden[i]);
      ASSERT_EQ(batch.tokens[i].logits, alone.logits)
          << "slot " << places[i].slot << " position " << places[i].position;
      EXPECT_EQ(batch.tokens[i].best_token, alone.best_token);
      EXPECT_EQ(batch.tokens[i].best_logit, alone.best_logit);
    }
  }

  void expect_equal_kv(int slot, std::int64_t tokens) {
    EXPECT_EQ(host_.read_kv(slot, tokens), single_.host->read_kv(slot, tokens));
  }

  [[nodiscard]] const lpu::CompiledStage& compiled() const { return compiled_; }

 private:
  [[nodiscard]] std::vector<std::int64_t> blocks_of(const std::vector<TokenPlace>& places) const {
    std::vector<std::int64_t> blocks;
    for (const TokenPlace& place : places) {
      blocks.push_back(place.position / single_.geometry.lanes() + 1);
    }
    return blocks;
  }

  Weights weights_;
  std::int64_t vocabulary_;
  Stage stage_;
  StageUnderTest single_;
  lpu::CompiledStage compiled_;
  lpu::ChipHost host_;
};

DenseDecoder two_layers() {
  return small_network(2, 50, 6, 3, 10, 75, 70);
}

// Request r joins r * 9 passes after the first: positions differ, and with 32 lanes they lie in one
// to three KV blocks. Passes that are not full yet carry fillers.
void expect_staggered_requests_equal(ElementType type, int requests) {
  BatchUnderTest chip(narrow_geometry(2), two_layers(), type, requests, requests);
  for (std::int64_t pass = 0; pass < 9 * requests + 34; ++pass) {
    std::vector<TokenPlace> places;
    for (int r = 0; r < requests; ++r) {
      const std::int64_t position = pass - 9 * r;
      if (position >= 0 && position < context_limit) places.push_back({r, position});
    }
    chip.expect_equal(places);
    if (testing::Test::HasFatalFailure()) return;
  }
  for (int r = 0; r < requests; ++r) chip.expect_equal_kv(r, 34);
}

TEST(Batch, RequestsAtDifferentPositionsGiveTheBitsOfSinglePasses) {
  expect_staggered_requests_equal(ElementType::Float16, 2);
  expect_staggered_requests_equal(ElementType::Fp8E4m3, 4);
}

TEST(Batch, WithTheWideWeightPath) {
  BatchUnderTest chip(lp30_geometry(), small_network(1, 330, 8, 2, 64, 400, 330),
                      ElementType::Fp8E4m3, 4, 4);
  chip.expect_equal({{2, 0}});
  chip.expect_equal({{0, 0}, {2, 1}, {3, 0}});
  chip.expect_equal({{3, 1}, {2, 2}, {1, 0}, {0, 1}});
}

// Prompts in chunks of up to four tokens: a chunk ends where a KV block of 32 tokens ends.
TEST(Batch, ChunksOfAPromptGiveTheBitsOfTokenByToken) {
  for (const ElementType type : {ElementType::Float16, ElementType::Fp8E4m3}) {
    BatchUnderTest chip(narrow_geometry(2), two_layers(), type, 1, 4);
    std::int64_t position = 0;
    for (const int chunk : {3, 4, 4, 4, 4, 4, 4, 4, 1, 4, 2}) {
      std::vector<TokenPlace> places;
      for (int i = 0; i < chunk; ++i) places.push_back({0, position++});
      chip.expect_equal(places);
      if (HasFatalFailure()) return;
    }
    chip.expect_equal_kv(0, position);
  }
}

TEST(Batch, MixesChunksWithTokensOfOtherRequests) {
  BatchUnderTest chip(narrow_geometry(2), two_layers(), ElementType::Float16, 3, 4);
  chip.expect_equal({{1, 0}, {1, 1}, {1, 2}});
  chip.expect_equal({{0, 0}, {0, 1}, {1, 3}, {2, 0}});
  chip.expect_equal({{2, 1}, {1, 4}, {2, 2}, {0, 2}});
}

TEST(Batch, EveryTokenPaysForItsOwnBlocks) {
  BatchUnderTest chip(narrow_geometry(2), two_layers(), ElementType::Float16, 2, 2);
  const auto& compiled = chip.compiled();
  // A filler counts as a request of one block.
  EXPECT_EQ(compiled.cycles_of({1}), compiled.cycles_of({1, 1}));
  const std::int64_t one = compiled.cycles_of({1, 1});
  EXPECT_GT(compiled.cycles_of({3, 1}), one);
  EXPECT_EQ(compiled.cycles_of({3, 3}) - one,
            compiled.cycles_of({3, 1}) - one + compiled.cycles_of({1, 3}) - one);
}

TEST(Batch, OfOneTokenIsTheProgramOfASinglePass) {
  const Stage stage =
      whole_model(two_layers(), precision_of(ElementType::Float16, ElementType::Float16));
  const auto one = lpu::compile_stage(narrow_geometry(2), LatencyTable{}, "chip", stage, 2, 64);
  const auto plain = lpu::compile_stage(narrow_geometry(2), LatencyTable{}, "chip", stage, 2, 64);
  EXPECT_EQ(one.program, plain.program);
}

TEST(Batch, RefusesWhatAPassCannotHold) {
  const Stage stage =
      whole_model(two_layers(), precision_of(ElementType::Float16, ElementType::Float16));
  const auto geometry = narrow_geometry(2);
  for (const int tokens : {0, lpu::most_tokens + 1}) {
    EXPECT_THROW(lpu::compile_stage(geometry, LatencyTable{}, "c", stage, 1, 64, {}, {tokens}),
                 ModelError);
  }
  const auto compiled = lpu::compile_stage(geometry, LatencyTable{}, "c", stage, 3, 64, {}, {2});
  const auto registers = [&](const std::vector<TokenPlace>& places) {
    return lpu::pass_registers(geometry, compiled.layout, places);
  };
  EXPECT_NO_THROW(registers({{0, 30}, {0, 31}}));
  EXPECT_THROW(registers({}), ModelError);
  EXPECT_THROW(registers({{0, 0}, {1, 0}, {2, 0}}), ModelError);
  EXPECT_THROW(registers({{3, 0}}), ModelError);
  EXPECT_THROW(registers({{0, 31}, {0, 32}}), ModelError);  // two KV blocks
}

TEST(Verifier, FindsNothingInProgramsOfSeveralTokens) {
  const Precision half = precision_of(ElementType::Float16, ElementType::Float16);
  const Precision byte = precision_of(ElementType::Fp8E4m3, ElementType::Fp8E4m3);
  for (const Precision& precision : {half, byte}) {
    const auto geometry = narrow_geometry(2);
    for (const Stage& stage : partition_pipeline(network_of(two_layers()), precision, 2, 1)) {
      const auto compiled =
          lpu::compile_stage(geometry, LatencyTable{}, "chip", stage, 3, 70, {}, {4});
      for (const auto& fault : lpu::verify(compiled.program, geometry, LatencyTable{})) {
        ADD_FAILURE() << lpu::format_violation(fault);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::test
