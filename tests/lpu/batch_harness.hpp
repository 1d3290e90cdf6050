// A stage compiled for passes of one and of several tokens, compared bit for bit.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "tests/lpu/compiler_harness.hpp"

namespace tandem::test {

/// Requests whose tokens run in passes of several tokens, and alone on a chip of their own.
class BatchUnderTest {
 public:
  BatchUnderTest(const lpu::Geometry& geometry, Weights weights, ElementType type, int requests,
                 int tokens, std::int64_t max_context)
      : weights_(std::move(weights)),
        vocabulary_(static_cast<std::int32_t>(weights_.network.vocabulary)),
        stage_(tandem::whole_model(weights_.network, precision_of(type, type))),
        single_(geometry, stage_, weights_, requests, max_context),
        compiled_(lpu::compile_stage(geometry, lpu::LatencyTable{}, "chip", stage_, requests,
                                     max_context, {}, {tokens})),
        host_(geometry, lpu::LatencyTable{}, compiled_, weights_) {}

  /// A token of the prompt that every request makes up from its number.
  [[nodiscard]] std::int32_t token(int request, std::int64_t position) const {
    return static_cast<std::int32_t>((7 * request + 3 * position + 1) % vocabulary_);
  }

  /// Runs the places in one pass and alone, and compares.
  void expect_equal(const std::vector<lpu::TokenPlace>& places) {
    std::vector<std::span<const float>> hidden;
    for (const lpu::TokenPlace& place : places) {
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
  [[nodiscard]] std::vector<std::int64_t> blocks_of(
      const std::vector<lpu::TokenPlace>& places) const {
    std::vector<std::int64_t> blocks;
    for (const lpu::TokenPlace& place : places) {
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

}  // namespace tandem::test
