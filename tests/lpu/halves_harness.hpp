// Stages of feed-forward halves alone behind the chip interface, against the reference.
#pragma once

#include "models/lpu/collective/gang.hpp"
#include "sim/core/integers.hpp"
#include "tests/lpu/chip_harness.hpp"
#include "tests/lpu/mixture_harness.hpp"
#include "tests/lpu/rack/gang_harness.hpp"
#include "tests/lpu/rack/shipped_fabrics.hpp"

namespace tandem::test {

/// `layers` layers of the second halves of a network, from `first` on.
inline Stage half_stage(const NeuralNetwork& network, const Precision& precision,
                        std::int64_t first, std::int64_t layers, std::int64_t tensor = 1) {
  Stage stage;
  stage.network = half_of(network, LayerHalf::Second);
  stage.precision = precision;
  stage.first_layer = first;
  stage.layers = layers;
  stage.tensor = tensor;
  return stage;
}

inline Stage all_halves(const NeuralNetwork& network, const Precision& precision,
                        std::int64_t tensor = 1) {
  return half_stage(network, precision, 0, network.layers(), tensor);
}

/// Decode of `tokens` requests that are somewhere in their contexts.
inline Batch decode_of(std::int64_t tokens) {
  Batch batch;
  for (std::int64_t i = 0; i < tokens; ++i) batch.slices.push_back({i, 1000 + 77 * i, 1, true});
  return batch;
}

/// What a stage of halves makes of random rows has the bits of the reference, which adds by rank.
inline void expect_halves_equal_the_reference(const ChipModel& chip, const lpu::Geometry& geometry,
                                              const Stage& stage, std::int64_t tokens) {
  SCOPED_TRACE(stage.network.name + " on " + std::to_string(stage.tensor));
  const Weights weights = random_weights(stage.network, 17);
  const auto loaded = chip.load(stage, weights, 1, 1);
  RandomStream random(5, "hidden");
  StageData in, out;
  in.hidden = random_tensor({tokens, stage.network.hidden}, 1.5, random);
  const StageCost cost = loaded->run(decode_of(tokens), in, out);
  EXPECT_EQ(cost.cycles, chip.simulate(stage, decode_of(tokens), nullptr).cycles);
  EXPECT_GT(cost.time, cost.floor);
  GangReference gang(rank_shares(weights, static_cast<int>(stage.tensor)), stage.precision.weights,
                     stage.precision.kv_cache, geometry.lanes(),
                     index_of(lpu::gang_shape(geometry, stage.tensor).trays));
  const std::size_t width = index_of(stage.network.hidden);
  const std::size_t lanes = index_of(geometry.lanes());
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto row = in.hidden.floats().subspan(index_of(t) * width, width);
    std::vector<float> hidden(row.begin(), row.end());
    hidden.resize((width + lanes - 1) / lanes * lanes);
    for (std::int64_t l = 0; l < stage.layers; ++l) {
      gang.feed_forward(index_of(stage.first_layer + l), hidden);
    }
    hidden.resize(width);
    const auto got = out.hidden.floats().subspan(index_of(t) * width, width);
    ASSERT_EQ(std::vector<float>(got.begin(), got.end()), hidden) << "token " << t;
  }
}

}  // namespace tandem::test
