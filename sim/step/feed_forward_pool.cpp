#include "sim/step/feed_forward_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {
namespace {

constexpr double megabyte = 1e6;

/// Stages of whole layers without embedding and head, which stay with the mixers.
std::vector<Stage> gangs_of(const NeuralNetwork& network, const PoolPlacement& placement) {
  std::vector<Stage> gangs =
      partition_pipeline(network, placement.precision, placement.pipeline, 0, placement.tensor);
  for (Stage& gang : gangs) {
    gang.has_embedding = false;
    gang.head_begin = gang.head_end = 0;
  }
  return gangs;
}

}  // namespace

FeedForwardPool::FeedForwardPool(const Scenario& scenario, const Catalogue& catalogue,
                                 StageStore& store)
    : network_(half_of(scenario.model, LayerHalf::Second)),
      placement_(scenario.placement.ffn),
      chip_(make_chip_model(scenario, catalogue, placement_.pool)),
      chip_key_(key_of(chip_->chip(), scenario.software)),
      store_(store) {
  if (!chip_->runs_gangs()) {
    throw ConfigError(placement_.place,
                      fmt::format("pool '{}' of '{}' has no static schedule; feed-forward blocks "
                                  "run on a pool of LPUs",
                                  placement_.pool, chip_->chip().name));
  }
  if (placement_.pipeline > network_.layers()) {
    throw ConfigError(
        placement_.place,
        fmt::format("'pipeline' is {}; {} has {} layers, so it must be 1 to {}",
                    placement_.pipeline, network_.name, network_.layers(), network_.layers()));
  }
  require_fit();
}

void FeedForwardPool::require_fit() const {
  const std::vector<Stage> gangs = gangs_of(network_, placement_);
  const Stage& fullest = gangs.front();
  const Fit fit = chip_->fit(fullest, 1, 1);
  if (fit.holds_weights()) return;
  const double missing = -static_cast<double>(fit.free_for_kv().count()) / megabyte;
  throw ConfigError(
      placement_.place,
      fmt::format("the feed-forward blocks of layers {}-{} of {} miss {:.1f} MB per chip on "
                  "'tensor: {}'; use a longer 'pipeline' or more chips per gang",
                  fullest.first_layer, fullest.first_layer + fullest.layers - 1, network_.name,
                  missing, placement_.tensor));
}

Batch FeedForwardPool::rows_of(std::int64_t tokens) {
  Batch batch;
  for (std::int64_t i = 0; i < tokens; ++i) {
    batch.slices.push_back({.request = i, .context = 1, .new_tokens = 1, .wants_logits = false});
  }
  return batch;
}

std::int64_t FeedForwardPool::gang_of(std::int64_t layer) const {
  const std::vector<Stage> gangs = gangs_of(network_, placement_);
  const auto holds = [&](const Stage& gang) {
    return layer >= gang.first_layer && layer < gang.first_layer + gang.layers;
  };
  return std::find_if(gangs.begin(), gangs.end(), holds) - gangs.begin();
}

std::vector<ChipAddress> FeedForwardPool::bridge_chips() const {
  const std::int64_t asked = placement_.bridge_links;
  const std::int64_t count = asked == 0 ? placement_.tensor : std::min(asked, placement_.tensor);
  std::vector<ChipAddress> chips;
  for (std::int64_t i = 0; i < count; ++i) chips.push_back({placement_.pool, i});
  return chips;
}

Stage FeedForwardPool::block_of(std::int64_t layer) const {
  Stage block;
  block.network = network_;
  block.precision = placement_.precision;
  block.first_layer = layer;
  block.layers = 1;
  block.tensor = placement_.tensor;
  block.longest_request = 1;
  return block;
}

const StageResult& FeedForwardPool::run(std::int64_t layer, std::int64_t tokens) {
  const Stage block = block_of(layer);
  const std::uint64_t key =
      Hasher().add(chip_key_).add(block.key()).add("rows").add(tokens).value();
  const StageResult* known = store_.find(key);
  if (known != nullptr) return *known;
  return store_.put(key, summary_of(chip_->simulate(block, rows_of(tokens))));
}

Picoseconds FeedForwardPool::floor(std::int64_t layer, std::int64_t tokens) const {
  return chip_->floor(block_of(layer), rows_of(tokens));
}

}  // namespace tandem
