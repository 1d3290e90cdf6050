// Token mixers on GPUs, feed-forward blocks on LPUs of 32 lanes, wires between them.
#pragma once

#include "models/lpu/chip_model.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/loaded_split.hpp"
#include "tests/lpu/halves_harness.hpp"
#include "tests/step/fakes.hpp"
#include "tests/step/gang_harness.hpp"

namespace tandem::test {

/// Weights that float16 holds exactly, so that GPUs in float32 and LPUs in float16 multiply by the
/// same numbers.
inline Weights half_weights(const NeuralNetwork& network, std::uint64_t seed) {
  return weights_in_format(random_weights(network, seed), ElementType::Float16);
}

/// Mixers on pool "gpu", blocks on pool "lpu".
inline Scenario split_layers_scenario(const NeuralNetwork& network) {
  Scenario scenario = fakes::scenario();
  scenario.model = network;
  scenario.system.chips["big"] = gpu::large_chip();
  scenario.system.chips["small"] = chip_of(narrow_geometry(2));
  Placement& placement = scenario.placement;
  placement.mode = PlacementMode::AttentionFfn;
  placement.prefill.precision = in_format(ElementType::Float32);
  placement.decode = placement.prefill;
  placement.ffn.pool = "lpu";
  placement.ffn.precision = in_format(ElementType::Float16);
  return scenario;
}

inline Catalogue both_chips() {
  return {gpu::gpu_entry(), lpu::lpu_entry()};
}

inline NetworkFactory wires() {
  return {[](const System&) { return std::make_unique<fakes::FakeNetwork>(); },
          [](const System&, const Software&) { return std::make_unique<RankOrderCollectives>(); }};
}

/// A network with its layers' halves apart.
class SplitRun {
 public:
  SplitRun(const Scenario& scenario, const Weights& weights)
      : blocks_(scenario, both_chips(), weights, 0) {
    const PoolPlacement& placement = scenario.placement.decode;
    Stage mixers = whole_model(half_of(weights.network, LayerHalf::First), placement.precision);
    mixers.shard.of.tensor = placement.tensor;
    mixers.shard.of.attention_data = placement.attention_data;
    std::vector<ChipAddress> chips;
    for (std::int64_t i = 0; i < placement.gang(); ++i) chips.push_back({"gpu", i});
    auto gang =
        std::make_unique<LoadedGang>(chip_, mixers, weights, 8, positions, chips, collectives_);
    split_ = std::make_unique<LoadedSplit>(std::move(gang), blocks_, network_,
                                           placement.micro_batches, nullptr);
  }
  [[nodiscard]] LoadedSplit& split() { return *split_; }
  [[nodiscard]] LoadedFeedForward& blocks() { return blocks_; }
  [[nodiscard]] Bytes moved() const {
    const auto usage = network_.usage();
    return usage.empty() ? Bytes(0) : usage.at("wire").bytes;
  }

 private:
  gpu::GpuChip chip_{gpu::large_chip(), Software{}};
  RankOrderCollectives collectives_;
  fakes::FakeNetwork network_;
  LoadedFeedForward blocks_;
  std::unique_ptr<LoadedSplit> split_;
};

}  // namespace tandem::test
