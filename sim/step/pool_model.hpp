// One replica of a pool: its chips in a row, what a forward pass costs on them, and whether the
// model fits. Knows chips and links only through their interfaces.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sim/lower/chip_model.hpp"
#include "sim/lower/network_model.hpp"
#include "sim/step/gang_model.hpp"
#include "sim/step/host_launches.hpp"
#include "sim/step/link_ways.hpp"
#include "sim/step/split_layers.hpp"
#include "sim/step/stage_store.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {

/// One place of the pipeline: a single chip, or the chips that share the LM head side by side.
struct Station {
  std::vector<Stage> stages;        ///< one per chip or gang of chips
  std::vector<std::uint64_t> keys;  ///< their content keys
  std::int64_t first_chip = 0;      ///< index of the first of them within the replica
  [[nodiscard]] std::int64_t chips() const;
  /// Index within the replica of the first chip of a stage.
  [[nodiscard]] std::int64_t first_chip_of(std::size_t stage) const;
};

/// Cost of one forward pass over all stations, cycle clock.
struct StepCost {
  std::vector<Picoseconds> stations;  ///< time that the pass occupies each station
  /// hops[i]: hand-over of hidden states from station i to i + 1. The last one returns the sampled
  /// tokens to the first station; zero where one chip does everything or nothing was sampled.
  std::vector<Picoseconds> hops;
  std::map<std::string, std::int64_t> activity;    ///< of all chips
  std::map<std::string, std::int64_t> link_bytes;  ///< payload times links crossed, by link class
  Flops matrix;
  Bytes memory;
  std::int64_t kernels = 0;
  std::string bottleneck;  ///< of the slowest station
  /// Where a pass by itself spends its latency, along its longest way: kernels by role, exchanges
  /// ("exchange <role>", waiting for others included), "hand_over" between stations, and "wait" for
  /// a chip that is at another micro-batch. They add up to latency().
  TimeParts parts;
  RemoteShare remote;  ///< of the feed-forward pool, where there is one
  /// One pass by itself: all stations and hops.
  [[nodiscard]] Picoseconds latency() const;
  /// Shortest distance between passes when the pipeline is full: the slowest station.
  [[nodiscard]] Picoseconds period() const;
};

/// The same by the analytical clock: floors of the stages and smallest possible hand-overs.
struct StepFloor {
  Picoseconds latency;
  Picoseconds period;
  /// What the floors of one way through are made of, by kind_of_part(): how they change with an
  /// input matters, not their sum, since parts may overlap.
  TimeParts parts;
  bool operator==(const StepFloor&) const = default;
};

/// Room for KV on one replica, given the placement.
struct KvRoom {
  std::int64_t sequences = 0;  ///< requests of full length that fit at once (at most max_sequences)
  std::int64_t tokens = 0;     ///< KV tokens that fit, worst stage
};

/// What a pool runs of the layers: whole ones, or the token mixers for the feed-forward pool of the
/// placement.
enum class LayerDuty : std::uint8_t { Whole, Mixers };

/// One replica of a pool.
///
/// Contract: answers depend only on the scenario and the batch. Throws ConfigError, at the place
/// where the user wrote the placement, when the model does not fit or the system has too few chips.
class PoolModel {
 public:
  /// `first_chip`: chips of the group that earlier pools of the placement took.
  PoolModel(const Scenario& scenario, const PoolPlacement& placement, std::int64_t first_chip,
            const Catalogue& catalogue, const NetworkFactory& make_network, StageStore& store,
            LayerDuty duty = LayerDuty::Whole);

  /// The same partition on the chips and links of a scenario that differs in their numbers; whether
  /// it fits is not looked at.
  PoolModel(const Scenario& scenario, const PoolModel& like, const Catalogue& catalogue,
            const NetworkFactory& make_network, StageStore& store);

  /// Simulates every rank of a gang instead of one of each kind. For the passes from now on.
  void simulate_all_ranks() { policy_ = RankPolicy::All; }
  /// The cost of a pass, simulated (or taken from the store). The reference stays valid.
  const StepCost& step(const Batch& batch);
  /// What happens when in a pass: each rank of a gang with each micro-batch, or each micro-batch on
  /// its way between halves of layers. A chip by itself is one span.
  [[nodiscard]] PassTrace trace(const Batch& batch);
  /// Computed apart from step(). The reference stays valid.
  const StepFloor& floor(const Batch& batch);

  [[nodiscard]] const std::vector<Station>& stations() const { return stations_; }
  [[nodiscard]] const ChipModel& chip() const { return *chip_; }
  [[nodiscard]] const PoolPlacement& placement() const { return placement_; }
  [[nodiscard]] std::int64_t chips_per_replica() const { return chips_per_replica_; }
  /// The feed-forward side of a pool of mixers; null for others.
  [[nodiscard]] const FeedForwardPool* feed_forward() const {
    return split_ == nullptr ? nullptr : &split_->pool();
  }
  [[nodiscard]] const KvRoom& kv_room() const { return kv_room_; }
  /// Longest request of the traffic, prompt and output.
  [[nodiscard]] std::int64_t max_context() const { return max_context_; }
  /// True where passes follow a static schedule with batch slots (LPU): one token per request.
  [[nodiscard]] bool is_static() const { return chip_->batch_limit() > 0; }
  [[nodiscard]] ChipAddress address(std::int64_t replica, std::int64_t chip) const;
  /// Chips between the first attention group of a stage's gang and the one that a request belongs
  /// to, by turns.
  [[nodiscard]] std::int64_t group_offset(std::int64_t request) const;
  /// Number of distinct passes that step() has answered.
  [[nodiscard]] std::size_t distinct_steps() const { return steps_.size(); }

 private:
  struct Hop {
    Picoseconds time;
    std::map<std::string, std::int64_t> link_bytes;
  };
  /// A message between chips of two stations.
  struct HandOver {
    std::int64_t from, to;  ///< chips of the replica
    Bytes size;
    Bytes flight;        ///< what has to arrive before the next pass may begin
    std::int64_t ranks;  ///< that send as much
  };
  StepCost simulate(const Batch& batch);
  [[nodiscard]] Batch on_groups(const Batch& batch) const;
  [[nodiscard]] std::vector<ChipAddress> chips_of(const Station& station, std::size_t stage) const;
  /// What one stage of a station cost, exchanges within its gang included.
  struct StageShare {
    StageResult result;
    TimeParts parts;  ///< as StepCost::parts
    std::map<std::string, std::int64_t> link_bytes;
    std::vector<Picoseconds> legs;  ///< around the visits to the feed-forward pool
    std::int64_t launches = 0;      ///< of the chip that has the most
  };
  StageShare run_stage(const Station& station, std::size_t stage, std::vector<Batch> parts,
                       PassTrace* trace);
  static void add_work(const StageShare& more, StageShare& share);
  StageShare run_in_turns(const Station& station, std::size_t stage, const Batch& batch,
                          RemoteShare& remote, PassTrace* trace);
  [[nodiscard]] std::vector<Batch> micro_batches(const Batch& batch) const;
  [[nodiscard]] std::vector<Batch> turns_of(const Batch& batch) const;
  void connect_gang(const Scenario& scenario, const NetworkFactory& make_network,
                    const GangModel* like = nullptr);
  void connect_split(const Scenario& scenario, const Catalogue& catalogue,
                     const NetworkFactory& make_network);
  void check_chips(const Scenario& scenario) const;
  struct StageFloor {
    Picoseconds time;
    TimeParts parts;
  };
  StageFloor floor_of(const Station& station, std::size_t stage, const Batch& batch);
  void add_station(const Station& station, const Batch& batch, StepCost& cost, PassTrace* trace);
  const Hop& hop(std::int64_t from, std::int64_t to, Bytes size);
  [[nodiscard]] Bytes hidden_bytes(const Batch& batch) const;
  /// Stations that take part in a pass: chips that only hold the head rest when nothing is sampled.
  [[nodiscard]] std::size_t stations_of(const Batch& batch) const;
  [[nodiscard]] std::vector<HandOver> hand_overs(std::size_t from_station,
                                                 const Batch& batch) const;
  [[nodiscard]] std::vector<HandOver> returned_tokens(const Batch& batch) const;
  [[nodiscard]] std::vector<HandOver> messages_behind(std::size_t station,
                                                      const Batch& batch) const;
  Hop hop_behind(std::size_t station, const Batch& batch);
  [[nodiscard]] Picoseconds hop_floor_behind(std::size_t station, const Batch& batch) const;

  PoolPlacement placement_;
  std::int64_t first_chip_;
  NeuralNetwork layers_;  ///< what it runs: whole layers or first halves
  std::unique_ptr<ChipModel> chip_;
  std::uint64_t chip_key_ = 0;
  HostLaunches launches_;
  std::vector<Station> stations_;
  std::int64_t chips_per_replica_ = 0;
  std::int64_t max_context_ = 0;
  KvRoom kv_room_;
  std::int64_t hidden_ = 0;
  std::unique_ptr<NetworkModel> network_;
  LinkWays ways_;
  std::unique_ptr<CollectiveModel> collectives_;
  std::unique_ptr<GangModel> gang_;     ///< where the engine runs a gang's ranks
  std::unique_ptr<SplitLayers> split_;  ///< of a pool of mixers
  RankPolicy policy_ = RankPolicy::Classes;
  Picoseconds network_now_{0};
  std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t>, Hop> hops_;
  StageStore& store_;
  std::unordered_map<std::uint64_t, StepCost> steps_;
  std::unordered_map<std::uint64_t, StepFloor> floors_;
};

/// Content key of a batch: contexts, new tokens and who wants logits, in order.
[[nodiscard]] std::uint64_t key_of(const Batch& batch);

/// Content key of a chip with its software: model and every resolved number.
[[nodiscard]] std::uint64_t key_of(const Chip& chip, const Software& software);

}  // namespace tandem
