// Does a model fit on the chips of a placement? The table of bytes per stage, the number of chips
// that hold the LM head, and the error that says by how much it misses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/step/pool_model.hpp"

namespace tandem {

/// Tokens that a request has in the cache at most: with eviction those that stay and those of a
/// pass.
[[nodiscard]] std::int64_t most_cached(const Scenario& scenario);

/// Bytes of one stage on its chip.
struct FitRow {
  std::string stage;  ///< "layers 0-3 + embedding"
  Fit fit;
};

/// A partition and how it fits.
struct PoolFit {
  std::vector<Stage> stages;
  std::int64_t head_chips = 0;
  std::vector<FitRow> rows;  ///< one per stage
  KvRoom room;
  [[nodiscard]] bool fits() const { return room.sequences > 0; }
};

/// What is to fit where.
struct FitQuestion {
  const ChipModel& chip;
  const NeuralNetwork& network;
  std::int64_t max_sequences = 1;
  std::int64_t max_context = 1;  ///< tokens of the longest request
  double memory_reserve = 0;     ///< share of memory that the serving framework leaves free
  /// A network whose drafts the same chips make, with weights and KV of its own, in so many copies.
  std::optional<NeuralNetwork> drafting = std::nullopt;
  std::int64_t drafting_copies = 1;
  /// Formats of further copies of the weights on the same chips.
  std::vector<Precision> tiers = {};
  /// Where answers are kept, under a key of the chip; null: nowhere.
  StageStore* store = nullptr;
  std::uint64_t chip_key = 0;
};

/// How the chips of a stage share it.
[[nodiscard]] Sharding sharding_of(const PoolPlacement& placement);

/// What the chip makes of the placement's formats; throws ConfigError at placement.place for those
/// that it does not take.
[[nodiscard]] Precision executed_precision(const ChipModel& chip, const PoolPlacement& placement);

/// The stages of a placement, uncut among ranks: those of chips that do not run gangs by themselves
/// are of rank 0. Throws ConfigError at placement.place where the network cannot be shared so.
[[nodiscard]] std::vector<Stage> stages_of(const ChipModel& chip, const NeuralNetwork& network,
                                           const PoolPlacement& placement, std::int64_t head_chips);

/// Throws ConfigError at placement.place where a pool cannot run the token mixers of attention_ffn.
void require_mixers_pool(const ChipModel& chip, const PoolPlacement& placement);

/// The question that a scenario asks about one of its pools, which runs `network`.
[[nodiscard]] FitQuestion fit_question(const Scenario& scenario, const ChipModel& chip,
                                       const NeuralNetwork& network);
[[nodiscard]] inline FitQuestion fit_question(const Scenario& scenario, const ChipModel& chip) {
  return fit_question(scenario, chip, scenario.model);
}

/// What the chip says of a stage with `sequences` requests, asked once where there is a store.
[[nodiscard]] Fit fit_on_chip(const FitQuestion& question, const Stage& stage,
                              std::int64_t sequences,
                              const std::optional<Neighbours>& neighbours = std::nullopt);

/// Cuts the model as the placement says and looks whether it fits. With head_chips = 0 in the
/// placement, chips with static schedules get as many head chips as it takes (none where the last
/// stage holds the head).
[[nodiscard]] PoolFit fit_pool(const FitQuestion& question, const PoolPlacement& placement);

/// As fit_pool; throws ConfigError at placement.place with the table, by how much the worst stage
/// misses and the smallest pipeline that would do.
[[nodiscard]] PoolFit require_fit(const FitQuestion& question, const PoolPlacement& placement);

/// "stage, weights, program, workspace, KV per token, capacity, free": one line per stage kind.
[[nodiscard]] std::string fit_table(const PoolFit& fit);

}  // namespace tandem
