// How the heads of a Gated DeltaNet layer lie in vectors: arithmetic on shapes, no rows, no cycles.
//
// Key vectors hold as many key heads as fit side by side, for q and for k alike. A pack holds value
// heads side by side; the keys of all its heads lie in one key vector. Row i of a pack's state has
// S[head][i][j] in the lane of channel j of that head, so a vector of the state is scaled by one
// element of k per head: key vectors are spread over the lanes of a pack by permutations.
#pragma once

#include <cstdint>
#include <vector>

#include "models/lpu/isa.hpp"
#include "sim/numerics/ops/gated_delta.hpp"

namespace tandem::lpu {

/// Value heads side by side in one vector.
struct DeltaPack {
  int first_head = 0;
  int heads = 0;
  int view = 0;         ///< how it sees its keys
  int gate_vector = 0;  ///< where its heads' gates lie
  int gate_lane = 0;    ///< a of its first head; b lies gate_heads lanes behind
};

/// A key vector as the lanes of some packs see it.
struct DeltaView {
  int key_vector = 0;
  int pattern = 0;  ///< index into DeltaPlan::patterns
};

/// Lanes of one layer's heads.
///
/// Contract: throws ModelError for heads longer than a vector and as ops::check_gated_delta() does.
class DeltaPlan {
 public:
  /// `revocable`: newest tokens of a request that may be taken back.
  DeltaPlan(const ops::GatedDeltaShape& shape, int lanes, std::int64_t revocable = 0);

  ops::GatedDeltaShape shape;
  int lanes = 0;
  int states = 1;  ///< kept of a request: behind its newest token and those that may be taken back
  int keys_per_vector = 0;
  int key_vectors = 0;
  int gate_heads = 0;  ///< heads whose gates share a vector
  int gate_vectors = 0;
  std::vector<DeltaPack> packs;
  std::vector<DeltaView> views;  ///< by pattern, so that each pattern is needed once
  /// For each head of a pack: the place, within the key vector, of the key head it uses.
  std::vector<std::vector<int>> patterns;

  [[nodiscard]] int key_dim() const { return static_cast<int>(shape.key_dim); }
  [[nodiscard]] int value_dim() const { return static_cast<int>(shape.value_dim); }
  [[nodiscard]] int taps() const { return static_cast<int>(shape.conv_taps); }
  /// Inputs of the convolution that are kept of a request.
  [[nodiscard]] int ring() const { return taps() + states - 1; }
  /// Lanes that key vectors and packs fill at most.
  [[nodiscard]] int key_lanes() const { return keys_per_vector * key_dim(); }
  [[nodiscard]] int value_lanes() const;

  /// Channel of each lane in a natural order of heads; -1 where a lane holds none.
  [[nodiscard]] std::vector<std::int64_t> key_channels(int key_vector) const;
  [[nodiscard]] std::vector<std::int64_t> value_channels(int pack) const;
  /// Head whose gate a (or b) lies in each lane of a gate vector; -1: none.
  [[nodiscard]] std::vector<std::int64_t> gate_channels(int gate_vector, bool is_b) const;

  /// Permutation that spreads element i of the keys over the lanes of their value heads.
  [[nodiscard]] std::vector<std::uint16_t> spread_map(int pattern, int i) const;
  /// Permutation that spreads gates of a (or b) over the lanes of a pack's heads.
  [[nodiscard]] std::vector<std::uint16_t> gate_map(int pack, bool is_b) const;
  /// Tile of ones that sums the lanes of each key head for the lanes of the heads that use it:
  /// element [column * lanes + row].
  [[nodiscard]] std::vector<float> key_sums(int pattern) const;
  /// The same over the lanes of each value head, for these lanes.
  [[nodiscard]] std::vector<float> value_sums() const;

 private:
  void make_packs();
  void add_pack(int first_head, int heads);
  [[nodiscard]] int heads_per_key() const {
    return static_cast<int>(shape.value_heads / shape.key_heads);
  }
};

}  // namespace tandem::lpu
