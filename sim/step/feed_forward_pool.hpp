// The chips with static schedules that run the feed-forward halves of a network's layers for a pool
// that runs the token mixers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "sim/core/integers.hpp"
#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// `pipeline` gangs of `tensor` chips, each with a run of layers in its memory.
///
/// Contract: answers depend only on the scenario and the question. Throws ConfigError at the place
/// of the `ffn` pool when layers do not fit or the chips are too few.
class FeedForwardPool {
 public:
  FeedForwardPool(const Scenario& scenario, const Catalogue& catalogue, StageStore& store);
  /// The layers' blocks where `like` has them, on the chips and links of another scenario; whether
  /// they fit is not asked again.
  FeedForwardPool(const Scenario& scenario, const FeedForwardPool& like, const Catalogue& catalogue,
                  StageStore& store);

  [[nodiscard]] std::int64_t layers() const { return network_.layers(); }
  [[nodiscard]] std::int64_t chips() const { return placement_.pipeline * placement_.tensor; }
  [[nodiscard]] const ChipModel& chip() const { return *chip_; }
  [[nodiscard]] const PoolPlacement& placement() const { return placement_; }
  /// The gang that holds a layer's block.
  [[nodiscard]] std::int64_t gang_of(std::int64_t layer) const { return gangs_[index_of(layer)]; }
  /// The chips of the first gang whose bridge links carry hidden rows.
  [[nodiscard]] std::vector<ChipAddress> bridge_chips() const;
  /// What the block of a layer costs for `tokens` rows, as passes one after the other.
  [[nodiscard]] const StageResult& run(std::int64_t layer, std::int64_t tokens);
  [[nodiscard]] Picoseconds floor(std::int64_t layer, std::int64_t tokens);

  /// The second half of one layer as a stage of its gang.
  [[nodiscard]] Stage block_of(std::int64_t layer) const;
  /// A pass of so many rows of tokens that are being made. What lies behind them does not matter to
  /// these blocks.
  [[nodiscard]] static Batch rows_of(std::int64_t tokens);

 private:
  /// Equal for layers of one kind: what answers are remembered by.
  [[nodiscard]] std::uint64_t key_of_block(std::int64_t layer) const;
  void require_fit(const Stage& fullest) const;

  NeuralNetwork network_;  ///< second halves
  PoolPlacement placement_;
  std::unique_ptr<ChipModel> chip_;
  std::uint64_t chip_key_;
  StageStore& store_;
  std::vector<std::int64_t> gangs_;       ///< by layer
  std::vector<std::uint64_t> kind_keys_;  ///< of blocks, by kind of layer
  std::map<std::uint64_t, Picoseconds> floors_;
};

}  // namespace tandem
