// One pass of layers whose halves run on different chips, with real numbers and in simulated time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "sim/core/timeline.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/step/generate.hpp"
#include "sim/step/loaded_feed_forward.hpp"
#include "sim/step/loaded_gang.hpp"
#include "sim/step/program_turns.hpp"

namespace tandem {

/// A part of a batch that takes turns with others.
struct MicroBatch {
  Batch batch;
  StageData in;
  StageData out;
  std::vector<std::size_t> slices;  ///< where its slices stand in the whole batch
};

/// What a pass left behind besides its results.
struct SplitTrace {
  Picoseconds end;
  Picoseconds floor;
  Picoseconds mixing;  ///< that the mixers' chips computed
  Activity activity;
  std::map<std::string, Cycles> cycles;  ///< of the feed-forward side's chips, by name
  std::vector<Transfer> transfers;
};

/// The way of micro-batches between the chips of the token mixers and the gangs of the feed-forward
/// blocks.
///
/// Contract: time is as ping_pong() says, but rows cross as messages with values on the system's
/// links, where micro-batches meet. Every rank of the mixers' side sends its rows, cut in width
/// over the gang's bridge chips, and gets the same rows back; blocks compute with what arrived.
/// Elements travel in the mixers' format.
class SplitPass {
 public:
  SplitPass(LoadedGang& mixers, LoadedFeedForward& blocks, NetworkModel& network,
            TimelineRecorder* timeline);
  /// Runs all micro-batches, not empty, from `start` on and fills their results.
  SplitTrace run(std::vector<MicroBatch>& parts, Picoseconds start);

 private:
  enum class Step : std::uint8_t { Compute, Leave, Return };
  struct Event {
    Picoseconds time;
    std::size_t part;
    Step step;
    bool operator<(const Event& other) const {
      return std::tie(time, part, step) < std::tie(other.time, other.part, other.step);
    }
  };
  /// A micro-batch on its way.
  struct Traveller {
    std::unique_ptr<GangPass> pass;
    std::vector<Picoseconds> legs;
    std::size_t layer = 0;           ///< that it visits next
    std::vector<std::int64_t> rows;  ///< by rank of the mixers' side
    Tensor carried;                  ///< all ranks' rows, one after the other
    std::size_t under_way = 0;       ///< messages
    Picoseconds left;
  };
  /// Rows [row, row + rows) and columns of what a micro-batch carries, as a message.
  struct Piece {
    std::size_t part;
    bool is_there;  ///< on its way to the blocks
    std::int64_t row, rows;
    ShareRange columns;
    Transfer record;
  };

  void begin(MicroBatch& part);
  void plan_turns(const std::vector<MicroBatch>& parts);
  void advance(std::vector<MicroBatch>& parts);
  void compute(std::size_t part, Picoseconds now);
  void leave(std::size_t part, Picoseconds now);
  void send(std::size_t part, bool is_there, Picoseconds now);
  void send_rank(std::size_t part, bool is_there, std::size_t rank, std::int64_t row,
                 Picoseconds now);
  void deliver();
  void run_block(std::size_t part, Picoseconds now);
  void take_back(std::size_t part, Picoseconds now);
  [[nodiscard]] Picoseconds floor_of(const MicroBatch& part, const Traveller& traveller);
  void record(const std::string& group, const std::string& track, const std::string& label,
              Picoseconds start, Picoseconds end);

  LoadedGang& mixers_;
  LoadedFeedForward& blocks_;
  NetworkModel& network_;
  TimelineRecorder* timeline_;
  Picoseconds start_{0}, mixers_free_{0};
  std::vector<ProgramTurns> turns_;  ///< by layer
  std::vector<Traveller> travellers_;
  std::set<Event> events_;
  std::map<NetworkModel::MessageId, Piece> pieces_;
  SplitTrace trace_;
};

}  // namespace tandem
