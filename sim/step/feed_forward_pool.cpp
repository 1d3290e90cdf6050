#include "sim/step/feed_forward_pool.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/pool_fit.hpp"
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
      chip_(make_chip_model(scenario, catalogue, placement_.pool, &store)),
      chip_key_(key_of(chip_->chip(), scenario.software)),
      store_(store) {
  placement_.precision = executed_precision(*chip_, placement_);
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
  const std::vector<Stage> gangs = gangs_of(network_, placement_);
  try {
    require_fit(gangs.front());
  } catch (const ModelError& error) {
    throw ConfigError(placement_.place, error.what());
  }
  for (std::size_t gang = 0; gang < gangs.size(); ++gang) {
    gangs_.insert(gangs_.end(), index_of(gangs[gang].layers), static_cast<std::int64_t>(gang));
  }
  kind_keys_.resize(network_.kinds.size());
  for (std::int64_t layer = 0; layer < network_.layers(); ++layer) {
    std::uint64_t& key = kind_keys_[index_of(network_.pattern[index_of(layer)])];
    if (key == 0) key = block_of(layer).key();
  }
}

FeedForwardPool::FeedForwardPool(const Scenario& scenario, const FeedForwardPool& like,
                                 const Catalogue& catalogue, StageStore& store)
    : network_(like.network_),
      placement_(like.placement_),
      chip_(make_chip_model(scenario, catalogue, placement_.pool, &store)),
      chip_key_(key_of(chip_->chip(), scenario.software)),
      store_(store),
      gangs_(like.gangs_),
      kind_keys_(like.kind_keys_) {}

void FeedForwardPool::require_fit(const Stage& fullest) const {
  const FitQuestion question{
      .chip = *chip_, .network = network_, .store = &store_, .chip_key = chip_key_};
  const Fit fit = fit_on_chip(question, fullest, 1);
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

std::uint64_t FeedForwardPool::key_of_block(std::int64_t layer) const {
  return kind_keys_[index_of(network_.pattern[index_of(layer)])];
}

const StageResult& FeedForwardPool::run(std::int64_t layer, std::int64_t tokens) {
  const std::uint64_t key =
      Hasher().add(chip_key_).add(key_of_block(layer)).add("rows").add(tokens).value();
  const StageResult* known = store_.find(key);
  if (known != nullptr) return *known;
  return store_.put(key, summary_of(chip_->simulate(block_of(layer), rows_of(tokens))));
}

Picoseconds FeedForwardPool::floor(std::int64_t layer, std::int64_t tokens) {
  const std::uint64_t key = Hasher().add(key_of_block(layer)).add(tokens).value();
  const auto [known, is_new] = floors_.try_emplace(key);
  if (is_new) known->second = chip_->floor(block_of(layer), rows_of(tokens));
  return known->second;
}

}  // namespace tandem
