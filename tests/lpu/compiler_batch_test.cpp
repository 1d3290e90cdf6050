// Passes of several tokens: requests at different positions side by side, chunks of prompts, and
// both at once give, bit for bit, what passes of one token give.
#include <gtest/gtest.h>

#include <algorithm>

#include "models/lpu/verifier.hpp"
#include "tests/lpu/batch_harness.hpp"

namespace tandem::test {
namespace {

using lpu::LatencyTable;
using lpu::TokenPlace;

constexpr int context_limit = 96;

BatchUnderTest batch_under_test(const lpu::Geometry& geometry, const DenseDecoder& network,
                                ElementType type, int requests, int tokens) {
  return {geometry, spread_weights(network, 21), type, requests, tokens, context_limit};
}

DenseDecoder two_layers() {
  return small_network(2, 50, 6, 3, 10, 75, 70);
}

// Request r joins r * 9 passes after the first: positions differ, and with 32 lanes they lie in one
// to three KV blocks. Passes that are not full yet carry fillers.
void expect_staggered_requests_equal(ElementType type, int requests) {
  BatchUnderTest chip =
      batch_under_test(narrow_geometry(2), two_layers(), type, requests, requests);
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
  BatchUnderTest chip = batch_under_test(lp30_geometry(), small_network(1, 330, 8, 2, 64, 400, 330),
                                         ElementType::Fp8E4m3, 4, 4);
  chip.expect_equal({{2, 0}});
  chip.expect_equal({{0, 0}, {2, 1}, {3, 0}});
  chip.expect_equal({{3, 1}, {2, 2}, {1, 0}, {0, 1}});
}

// Prompts in chunks of up to four tokens: a chunk ends where a KV block of 32 tokens ends.
TEST(Batch, ChunksOfAPromptGiveTheBitsOfTokenByToken) {
  for (const ElementType type : {ElementType::Float16, ElementType::Fp8E4m3}) {
    BatchUnderTest chip = batch_under_test(narrow_geometry(2), two_layers(), type, 1, 4);
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
  BatchUnderTest chip =
      batch_under_test(narrow_geometry(2), two_layers(), ElementType::Float16, 3, 4);
  chip.expect_equal({{1, 0}, {1, 1}, {1, 2}});
  chip.expect_equal({{0, 0}, {0, 1}, {1, 3}, {2, 0}});
  chip.expect_equal({{2, 1}, {1, 4}, {2, 2}, {0, 2}});
}

TEST(Batch, EveryTokenPaysForItsOwnBlocks) {
  BatchUnderTest chip =
      batch_under_test(narrow_geometry(2), two_layers(), ElementType::Float16, 2, 2);
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
      expect_verified(compiled, geometry);
    }
  }
}

}  // namespace
}  // namespace tandem::test
