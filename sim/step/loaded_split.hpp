// Layers whose halves run on different chips, as one loaded stage: token mixers on a gang that
// keeps the KV, feed-forward blocks elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/step/loaded_feed_forward.hpp"
#include "sim/step/loaded_gang.hpp"
#include "sim/step/split_pass.hpp"

namespace tandem {

/// Contract: every slice of a batch goes with one of `micro_batches` parts, dealt as in service
/// runs; results are in the order of the batch. What is given must outlive the stage.
class LoadedSplit final : public LoadedStage {
 public:
  LoadedSplit(std::unique_ptr<LoadedGang> mixers, LoadedFeedForward& blocks, NetworkModel& network,
              std::int64_t micro_batches, TimelineRecorder* timeline);

  /// Starts when the last pass has ended.
  StageCost run(const Batch& batch, const StageData& in, StageData& out) override;
  /// Starts at `start`, not before the end of the last pass.
  StageCost run_from(Picoseconds start, const Batch& batch, const StageData& in, StageData& out);
  [[nodiscard]] KvBlock export_kv(std::int64_t request) const override;
  void import_kv(std::int64_t request, const KvBlock& block) override;
  void fork(std::int64_t from, std::int64_t to) override;
  void release(std::int64_t request) override;

  /// Of all passes: hidden rows over the bridge, and cycles of the feed-forward side by chip.
  [[nodiscard]] const std::vector<Transfer>& transfers() const { return transfers_; }
  [[nodiscard]] const std::map<std::string, Cycles>& cycles() const { return cycles_; }

 private:
  [[nodiscard]] std::vector<MicroBatch> deal(const Batch& batch, const StageData& in) const;

  std::unique_ptr<LoadedGang> mixers_;
  LoadedFeedForward& blocks_;
  NetworkModel& network_;
  std::int64_t micro_batches_;
  TimelineRecorder* timeline_;
  Picoseconds now_{0};
  std::vector<Transfer> transfers_;
  std::map<std::string, Cycles> cycles_;
};

}  // namespace tandem
