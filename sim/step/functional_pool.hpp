// One replica of a pool with real weights: its chips in a row, hidden states passed along by
// message, logits gathered from the chips that hold the head.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/collective.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/loaded_split.hpp"

namespace tandem {

/// What one pass through all stages produced.
struct PoolPass {
  std::vector<float> logits;  ///< of the last token, over the whole vocabulary; empty if not wanted
  std::vector<std::vector<float>> rows;  ///< the same of all tokens that are sampled from
  Tensor hidden;  ///< [tokens, hidden] behind the final norm, where the placement hands them on
  Picoseconds end;
  Picoseconds floor;
};

/// A row of chips of a pool, loaded with the stages of a pipeline.
class FunctionalPool {
 public:
  /// `collectives` may be null where no stage is shared by a gang that the engine runs rank by
  /// rank. With `blocks` the pool runs the token mixers of all layers and these the rest; they must
  /// outlive it. `sequences` requests have room side by side.
  FunctionalPool(const ChipModel& chip, const PoolPlacement& placement, const Weights& weights,
                 std::int64_t max_context, std::int64_t first_chip, NetworkModel& network,
                 CollectiveModel* collectives, TimelineRecorder* timeline,
                 LoadedFeedForward* blocks = nullptr, std::int64_t sequences = 1);

  /// Runs `tokens` of request 0 on top of `context` tokens, starting at `start`. The last one is
  /// sampled from, and `verified` before it. `hidden` is what a network that joins tokens with
  /// hidden states takes, [tokens, hidden]; of others empty. With a tree the tokens are its nodes
  /// from place `context` on.
  PoolPass run(std::span<const std::int32_t> tokens, std::int64_t context, Picoseconds start,
               std::int64_t verified = 0, Tensor hidden = {}, TokenTree tree = {});
  /// Runs a batch, with the token ids of its slices one after the other; row i of the pass is what
  /// its i-th sampled token gave.
  PoolPass run_batch(const Batch& batch, StageData data, Picoseconds start);
  /// Drops of request 0 what was computed beyond the first `tokens` tokens.
  void keep(std::int64_t tokens);
  /// The same, and keeps of what was computed beyond them one path of a tree, by places.
  void keep_path(std::int64_t tokens, std::span<const std::int64_t> places);
  /// Gives request `to` a copy of what request 0 left in all stages.
  void fork(std::int64_t to);

  [[nodiscard]] const std::vector<Stage>& stages() const { return stages_; }
  [[nodiscard]] LoadedStage& loaded(std::size_t stage) { return *loaded_[stage]; }
  /// First chip of a stage.
  [[nodiscard]] ChipAddress address(std::size_t stage) const;
  /// Chips that all stages take.
  [[nodiscard]] std::int64_t chips() const;
  /// Of the pool's chips, and of those of `blocks`.
  [[nodiscard]] std::map<std::string, Cycles> cycles() const;
  [[nodiscard]] std::vector<Transfer> transfers() const;

 private:
  void require_room(const ChipModel& chip, const PoolPlacement& placement, std::size_t stage,
                    std::int64_t max_context) const;
  void load(std::size_t stage, const ChipModel& chip, const Weights& weights,
            std::int64_t max_context, CollectiveModel* collectives);
  std::unique_ptr<LoadedGang> load_gang(std::size_t stage, const ChipModel& chip,
                                        const Weights& weights, std::int64_t max_context,
                                        CollectiveModel* collectives) const;
  StageCost run_loaded(std::size_t stage, const Batch& batch, const StageData& in, StageData& out,
                       Picoseconds start);
  std::vector<Picoseconds> pass_hidden(std::size_t from, std::size_t first_target,
                                       std::size_t last_target, StageData& data, Picoseconds start);
  StageData run_stage(std::size_t stage, const Batch& batch, const StageData& in, Picoseconds start,
                      PoolPass& pass, Picoseconds& floor);

  std::string pool_;
  std::int64_t first_chip_;
  std::int64_t sequences_;
  ElementType hidden_type_;
  bool schedules_links_;
  std::vector<Stage> stages_;
  std::vector<std::unique_ptr<LoadedStage>> loaded_;
  LoadedSplit* split_ = nullptr;  ///< the one loaded stage, where blocks are elsewhere
  NetworkModel& network_;
  TimelineRecorder* timeline_;
  std::map<std::string, Cycles> cycles_;
  std::vector<Transfer> transfers_;
};

/// "gpu0": how chips are named in results.
[[nodiscard]] std::string chip_name(const ChipAddress& address);

/// A message to send.
struct Parcel {
  ChipAddress from;
  ChipAddress to;
  NetworkModel::Payload payload;
};

/// Sends all parcels at `start` and waits for all of them; deliveries in the order of the parcels.
[[nodiscard]] std::vector<NetworkModel::Delivery> send_and_wait(NetworkModel& network,
                                                                Picoseconds start,
                                                                const std::vector<Parcel>& parcels);

}  // namespace tandem
