#include "sim/step/loaded_feed_forward.hpp"

#include <utility>

#include "sim/core/integers.hpp"

namespace tandem {

LoadedFeedForward::LoadedFeedForward(const Scenario& scenario, const Catalogue& catalogue,
                                     const Weights& weights, std::int64_t first_chip)
    : pool_(scenario, catalogue, store_), first_chip_(first_chip) {
  for (std::int64_t layer = 0; layer < pool_.layers(); ++layer) {
    blocks_.push_back(pool_.chip().load(pool_.block_of(layer), weights, 1, 1));
  }
}

LoadedFeedForward::Answer LoadedFeedForward::run(std::int64_t layer, const Tensor& rows) {
  StageData in, out;
  in.hidden = rows;
  StageCost cost = blocks_[index_of(layer)]->run(FeedForwardPool::rows_of(rows.dim(0)), in, out);
  return {std::move(out.hidden), std::move(cost)};
}

std::size_t LoadedFeedForward::gang_of(std::int64_t layer) const {
  return index_of(pool_.gang_of(layer));
}

std::vector<ChipAddress> LoadedFeedForward::bridge_chips(std::int64_t layer) const {
  std::vector<ChipAddress> chips = pool_.bridge_chips();
  for (ChipAddress& chip : chips) {
    chip.index += first_chip_ + pool_.gang_of(layer) * pool_.placement().tensor;
  }
  return chips;
}

std::vector<Picoseconds> LoadedFeedForward::passes(std::int64_t layer, std::int64_t rows) {
  return pool_.run(layer, rows).segments;
}

Picoseconds LoadedFeedForward::floor(std::int64_t layer, std::int64_t rows) {
  return pool_.floor(layer, rows);
}

}  // namespace tandem
