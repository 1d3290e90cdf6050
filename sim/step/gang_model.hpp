// What a pass costs on a gang of chips that share a stage rank by rank: every kind of rank is
// simulated once, and ranks wait for each other where they exchange.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// Which ranks of a gang are simulated.
enum class RankPolicy : std::uint8_t {
  Classes,  ///< one of those with equal work: same requests, rows, experts' rows and weights
  All       ///< every one, without the store
};

/// One pass of a stage on its gang.
struct GangCost {
  Picoseconds time;  ///< until the last rank is through
  Picoseconds floor;
  /// Time before the first visit elsewhere (RankGroup::Elsewhere), between each and the next, and
  /// after the last: all ranks go and come back together, and the visits take no time here. Empty
  /// where there are none.
  std::vector<Picoseconds> legs;
  /// Of the rank that is through last: time in exchanges, waiting for others included, by role.
  std::map<std::string, Picoseconds> exchanges;
  std::map<std::string, std::int64_t> activity;    ///< of all ranks
  std::map<std::string, std::int64_t> link_bytes;  ///< as StepCost::link_bytes
  Flops matrix;
  Bytes memory;
  std::int64_t kernels = 0;
  std::int64_t simulated_ranks = 0;
  std::string bottleneck;  ///< of the last rank; "exchange" where it spends most time there
};

/// Key of what one rank has to do in a pass: equal for ranks whose kernels are equal. `stage.shard`
/// is the rank's.
[[nodiscard]] std::uint64_t rank_class(const Stage& stage, const Batch& batch);

/// Puts a batch's requests on the attention groups of a gang: longest first, each to the group with
/// the fewest tokens so far (in equal numbers of requests within one).
[[nodiscard]] Batch dealt_to_groups(const Batch& batch, std::int64_t groups);

/// Gangs of one kind of chip.
///
/// Contract: a pass starts on all ranks at once. An exchange begins when the last of its ranks has
/// arrived and ends on all of them together. Exchanges of different groups do not slow each other.
class GangModel {
 public:
  GangModel(const ChipModel& chip, std::uint64_t chip_key, CollectiveModel& collectives,
            StageStore& store)
      : chip_(chip), chip_key_(chip_key), collectives_(collectives), store_(store) {}
  /// `chips`: one per rank, in the order of ranks.
  [[nodiscard]] GangCost cost(const Stage& stage, const std::vector<ChipAddress>& chips,
                              const Batch& batch, RankPolicy policy);
  /// The slowest rank's floor with those of its exchanges; no rank is simulated.
  [[nodiscard]] Picoseconds floor(const Stage& stage, const std::vector<ChipAddress>& chips,
                                  const Batch& batch);
  /// The cheaper of what the framework's kernels and the library take, as frameworks choose by
  /// size.
  [[nodiscard]] CollectiveCost exchange_cost(const std::vector<ChipAddress>& chips,
                                             const Exchange& exchange);

 private:
  const ChipModel& chip_;
  std::uint64_t chip_key_;
  CollectiveModel& collectives_;
  StageStore& store_;
};

}  // namespace tandem
