// Layers whose halves run on different chips: what the feed-forward side and the bridge between the
// two add to a pass of the mixers' side.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "sim/lower/network_model.hpp"
#include "sim/step/feed_forward_pool.hpp"
#include "sim/step/link_ways.hpp"
#include "sim/step/ping_pong.hpp"
#include "sim/step/time_parts.hpp"

namespace tandem {

/// What the chips of the feed-forward halves did in a pass.
struct RemoteShare {
  std::map<std::string, std::int64_t> activity;
  Flops matrix;
  Bytes memory;
  std::int64_t kernels = 0;
  Picoseconds busy;  ///< of the busiest gang
};

/// What the mixers' chips do for one micro-batch.
struct MixerWork {
  std::int64_t tokens = 0;
  std::vector<Picoseconds> legs;  ///< times around the visits to the blocks
};

/// One round of all micro-batches.
struct SplitRound {
  PingPong pace;
  std::map<std::string, std::int64_t> link_bytes;  ///< payload times links crossed, by link class
  RemoteShare remote;
};

/// Hidden rows cross as elements of the activations' type: every rank of the mixers' side has its
/// share of a micro-batch's rows and sends each of the gang's bridge chips its part of their width,
/// both as even as they come; they come back the same way. So what crosses is rows x width, twice
/// per layer. The bridge is idle otherwise: rounds of one micro-batch do not meet another's there.
class SplitLayers {
 public:
  SplitLayers(const Scenario& scenario, const Catalogue& catalogue, const NetworkFactory& networks,
              StageStore& store);
  /// As `like` places the blocks, on the chips and links of another scenario.
  SplitLayers(const Scenario& scenario, const SplitLayers& like, const Catalogue& catalogue,
              const NetworkFactory& networks, StageStore& store);
  /// All micro-batches, the largest first.
  [[nodiscard]] SplitRound round(const std::vector<MixerWork>& parts,
                                 const std::vector<ChipAddress>& mixers,
                                 PassTrace* trace = nullptr);
  /// One micro-batch through all blocks ("feed_forward"), with the smallest possible hand-overs
  /// ("bridge").
  [[nodiscard]] TimeParts floor(std::int64_t tokens, const std::vector<ChipAddress>& mixers);
  [[nodiscard]] const FeedForwardPool& pool() const { return pool_; }

 private:
  struct Crossing {
    Picoseconds time;
    std::map<std::string, std::int64_t> link_bytes;
  };
  /// Messages of one crossing.
  struct Rows {
    std::int64_t tokens;
    const std::vector<ChipAddress>& mixers;
    bool there;
  };
  template <typename Each>
  void each_message(const Rows& rows, Each each) const;
  /// Asked once per number of tokens: the bridge is idle each time.
  const Crossing& cross(const Rows& rows);
  Crossing send_across(const Rows& rows);
  Picoseconds crossing_floor(const Rows& rows);
  /// Ways of the messages, each with its largest message.
  const std::map<LinkWays::Way, Bytes>& ways_of(const Rows& rows);

  FeedForwardPool pool_;
  std::int64_t hidden_;
  ElementType hidden_type_;
  std::unique_ptr<NetworkModel> network_;
  Picoseconds now_{0};
  /// Tokens, the mixers' first chip and number, and the direction.
  using Key = std::tuple<std::int64_t, ChipAddress, std::size_t, bool>;
  static Key key_of(const Rows& rows);
  std::map<Key, Crossing> crossings_;
  LinkWays links_;
  std::shared_ptr<std::map<Key, std::map<LinkWays::Way, Bytes>>> ways_;  ///< as those of links_
};

}  // namespace tandem
