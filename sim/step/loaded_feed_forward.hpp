// The feed-forward halves of all layers with real weights, on the gangs of a feed-forward pool.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sim/lower/weights.hpp"
#include "sim/step/feed_forward_pool.hpp"

namespace tandem {

/// Answers with numbers what FeedForwardPool answers with times.
///
/// Contract: every layer is a stage of its own on the chips of its gang, which keep nothing of a
/// request. Throws ConfigError as FeedForwardPool does.
class LoadedFeedForward {
 public:
  /// `scenario.model` is the network of the weights. `first_chip`: chips of the group that earlier
  /// pools of the placement took.
  LoadedFeedForward(const Scenario& scenario, const Catalogue& catalogue, const Weights& weights,
                    std::int64_t first_chip);

  /// What the block of a layer makes of hidden rows [rows, hidden], its residual added, and what
  /// the pass cost.
  struct Answer {
    Tensor rows;
    StageCost cost;
  };
  [[nodiscard]] Answer run(std::int64_t layer, const Tensor& rows);

  [[nodiscard]] std::int64_t layers() const { return pool_.layers(); }
  [[nodiscard]] std::size_t gang_of(std::int64_t layer) const;
  /// The chips of the layer's gang whose bridge links carry hidden rows.
  [[nodiscard]] std::vector<ChipAddress> bridge_chips(std::int64_t layer) const;
  /// Times of a layer's passes, and their floor, for so many rows.
  [[nodiscard]] std::vector<Picoseconds> passes(std::int64_t layer, std::int64_t rows);
  [[nodiscard]] Picoseconds floor(std::int64_t layer, std::int64_t rows);

 private:
  StageStore store_;
  FeedForwardPool pool_;
  std::int64_t first_chip_;
  std::vector<std::unique_ptr<LoadedStage>> blocks_;  ///< by layer
};

}  // namespace tandem
