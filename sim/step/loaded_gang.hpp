// A stage that several chips share, with real numbers: every chip computes its part, and what they
// exchange are the values that came out of it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"
#include "sim/step/gang_model.hpp"
#include "sim/step/gang_pass.hpp"
#include "sim/step/stage_store.hpp"

namespace tandem {

/// One exchange of a functional pass.
struct ExchangeRecord {
  std::string role;
  std::int64_t layer = -1;
  CollectiveOp op = CollectiveOp::AllReduce;
  std::vector<std::int64_t> ranks;
  /// The buffer as Collective::bytes counts it, with unequal parts padded to the longest. Of
  /// dispatch and combine, rows that went from one chip to another.
  Bytes bytes;
  Bytes indices;  ///< beside the rows of a dispatch
};

/// The chips of a gang, each loaded with its rank's part of a stage, as one loaded stage.
///
/// Contract: ranks run in lock step from exchange to exchange. All-reduce, all-gather and
/// reduce-scatter are made by the collective model, in its order of sums; dispatch and combine hand
/// rows over as they are. Time is GangModel's. Requests live in the attention group that their
/// slices name; KV leaves and enters whole, merged and cut by heads.
class LoadedGang final : public LoadedStage {
 public:
  /// `stage.shard.of` says how the stage is shared; `chips` are one per rank. `chip` and
  /// `collectives` must outlive the gang. Throws ModelError where the network cannot be shared so
  /// or the chip model does not run single ranks.
  LoadedGang(const ChipModel& chip, const Stage& stage, const Weights& weights,
             std::int64_t sequences, std::int64_t max_context, std::vector<ChipAddress> chips,
             CollectiveModel& collectives);

  StageCost run(const Batch& batch, const StageData& in, StageData& out) override;
  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override;
  void import_kv(std::int64_t request, const KvBlock& block) override;
  void keep(std::int64_t request, std::int64_t tokens) override;
  void keep_path(std::int64_t request, std::int64_t tokens,
                 std::span<const std::int64_t> places) override;
  /// The copy lives in the same attention group.
  void fork(std::int64_t from, std::int64_t to) override;
  void release(std::int64_t request) override;

  /// A pass that the caller drives, where the other halves of layers run elsewhere; finish_gang()
  /// when its ranks are through. `in` must outlive it.
  [[nodiscard]] std::unique_ptr<GangPass> begin_gang(const Batch& batch, const StageData& in);
  void finish_gang(GangPass& pass, const Batch& batch, StageData& out);
  /// Time of a pass by GangModel, without visits elsewhere.
  [[nodiscard]] GangCost price(const Batch& batch);
  [[nodiscard]] Picoseconds floor(const Batch& batch);
  [[nodiscard]] const Stage& stage() const { return stage_; }
  [[nodiscard]] const std::vector<ChipAddress>& chips() const { return chips_; }
  [[nodiscard]] const ChipModel& chip() const { return chip_; }

  /// Of the last pass, in the order in which ranks met.
  [[nodiscard]] const std::vector<ExchangeRecord>& exchanges() const { return exchanges_; }

 private:
  void place_requests(const Batch& batch);
  [[nodiscard]] StageCost cost_of(const Batch& batch);
  [[nodiscard]] LoadedStage& rank(std::int64_t index) const {
    return *ranks_[static_cast<std::size_t>(index)];
  }

  const ChipModel& chip_;
  Stage stage_;
  std::vector<ChipAddress> chips_;
  CollectiveModel& collectives_;
  StageStore store_;
  std::vector<std::unique_ptr<LoadedStage>> ranks_;
  std::map<std::int64_t, std::int64_t> groups_;  ///< by request
  std::map<std::int64_t, KvBlock> arrived_;      ///< KV of requests that have no group yet
  std::vector<ExchangeRecord> exchanges_;
};

}  // namespace tandem
