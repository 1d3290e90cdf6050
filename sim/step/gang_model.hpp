// What a pass costs on a gang of chips that share a stage rank by rank: every kind of rank is
// simulated once, and ranks wait for each other where they exchange.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"
#include "sim/step/passage.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// Which ranks of a gang are simulated.
enum class RankPolicy : std::uint8_t {
  Classes,  ///< one of those alike: see representatives()
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
  std::map<std::string, Picoseconds> kernel_times;  ///< of the same rank, by role
  std::map<std::string, std::int64_t> activity;     ///< of all ranks
  std::map<std::string, std::int64_t> link_bytes;   ///< as StepCost::link_bytes
  Flops matrix;
  Bytes memory;
  std::int64_t kernels = 0;
  std::int64_t launches = 0;  ///< kernels and exchanges of the rank that has the most
  std::int64_t simulated_ranks = 0;
  std::string bottleneck;  ///< of the last rank's kernels
};

/// Key of what one rank has to do in a pass: equal for ranks whose kernels are equal. `stage.shard`
/// is the rank's.
[[nodiscard]] std::uint64_t rank_class(const Stage& stage, const Batch& batch);

/// Per rank the one that stands for it: equal rows, experts' rows and weights, as many requests and
/// new tokens, and cached tokens of all its requests within 5 %. Of ranks alike that with the most
/// cached tokens stands for all.
[[nodiscard]] std::vector<std::int64_t> representatives(const Stage& stage, const Batch& batch);

/// Puts a batch's requests on the attention groups of a gang: longest first, each to the group with
/// the fewest tokens so far (in equal numbers of requests within one).
[[nodiscard]] Batch dealt_to_groups(const Batch& batch, std::int64_t groups);

/// Analytical times of a pass on a gang, each of the rank with the largest.
struct GangFloor {
  Picoseconds chain;      ///< its kernels and its exchanges one after the other
  Picoseconds kernels;    ///< its kernels alone
  Picoseconds exchanges;  ///< its exchanges alone
};

/// Gangs of one kind of chip.
///
/// Contract: ranks go through a pass as pass_through() says, exchanges of different groups do not
/// slow each other.
class GangModel {
 public:
  /// `like`: a gang of the same placement whose knowledge of what passes exchange is shared; null
  /// begins anew.
  GangModel(const ChipModel& chip, std::uint64_t chip_key, CollectiveModel& collectives,
            StageStore& store, const GangModel* like = nullptr);
  /// `chips`: one per rank, in the order of ranks. `micro_batches`: parts of a batch that the ranks
  /// compute and exchange by turns. `trace`: as in pass_through().
  [[nodiscard]] GangCost cost(const Stage& stage, const std::vector<ChipAddress>& chips,
                              const std::vector<Batch>& micro_batches, RankPolicy policy,
                              PassTrace* trace = nullptr);
  /// Of a batch that is not cut; no rank is simulated.
  [[nodiscard]] GangFloor floor(const Stage& stage, const std::vector<ChipAddress>& chips,
                                const Batch& batch);
  /// The cheaper of what the framework's kernels and the library take, as frameworks choose by
  /// size.
  [[nodiscard]] CollectiveCost exchange_cost(const std::vector<ChipAddress>& chips,
                                             const Exchange& exchange);

 private:
  /// exchange_cost() among peers of a rank, asked once.
  const CollectiveCost& price_of(const std::vector<ChipAddress>& chips, const Shard& shard,
                                 const Exchange& exchange);
  /// The least that exchange_cost() could be, by closed forms.
  Picoseconds exchange_floor(const std::vector<ChipAddress>& chips, const Shard& shard,
                             const Exchange& exchange);
  Picoseconds exchanges_floor(const Stage& own, const std::vector<ChipAddress>& chips,
                              const Batch& batch);
  /// Exchanges of a pass that cost alike, and how many there are.
  struct Repeated {
    Exchange exchange;
    std::int64_t times = 0;
  };
  using Exchanges = std::map<std::uint64_t, std::vector<Repeated>>;
  /// What a chip exchanges in a pass; loads_key() knows batches that exchange the same.
  const std::vector<Repeated>& exchanges_of(const Stage& own, std::uint64_t loads,
                                            const Batch& batch);
  /// The same one by one, in the order of the pass.
  const std::vector<Exchange>& exchange_list(const Stage& own, const Batch& batch);
  /// A chip as it computes in a pass.
  struct Worker {
    const ChipModel* chip;
    std::uint64_t key;
  };
  /// Where micro-batches take turns, bulk exchanges keep their compute units for the whole pass, as
  /// engines share SMs out (DeepGEMM set_num_sms beside DeepEP Buffer.set_num_sms).
  Worker worker_of(const Stage& stage, const std::vector<ChipAddress>& chips,
                   const std::vector<Batch>& micro_batches);
  using Works = std::map<std::uint64_t, std::unique_ptr<RankWork>>;
  const RankWork& work_of(const Worker& worker, const Stage& own, const Batch& batch,
                          RankPolicy policy, Works& works, GangCost& cost);

  const ChipModel& chip_;
  std::uint64_t chip_key_;
  CollectiveModel& collectives_;
  StageStore& store_;
  std::map<std::int64_t, std::unique_ptr<ChipModel>> beside_;  ///< by units given away
  std::map<std::uint64_t, CollectiveCost> prices_;
  std::map<std::uint64_t, Picoseconds> floors_;           ///< of exchanges
  std::shared_ptr<Exchanges> exchanges_;                  ///< by stage and load; no chip is in it
  std::map<std::uint64_t, std::vector<Exchange>> lists_;  ///< of passes that were simulated
  std::map<std::uint64_t, Picoseconds> pass_floors_;      ///< of all exchanges of a pass
};

}  // namespace tandem
