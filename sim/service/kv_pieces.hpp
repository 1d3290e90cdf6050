// Which chip sends which part of a request's KV to which chip, between two pools that may share
// their layers differently.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/step/pool_model.hpp"

namespace tandem {

/// One message of a transfer: what a sending and a receiving chip have in common.
struct KvPiece {
  std::int64_t from_chip = 0;  ///< within the replica, in its first attention group
  std::int64_t to_chip = 0;
  Stage layers;  ///< those in common, of all KV heads, in the receiver's formats
  /// Part of these layers' KV: heads and cached tokens that both chips have.
  std::int64_t share = 1, shares = 1;
  /// Bytes for a prompt of `tokens`, of which the receiver has the first `kept`.
  [[nodiscard]] Bytes size(std::int64_t tokens, std::int64_t kept = 0) const;
};

/// What a chip of a stage holds of its KV.
struct KvHolder {
  std::int64_t chip = 0;      ///< within the replica, in the first attention group
  ShareRange heads;           ///< of the network's KV heads; latents count as one head
  std::int64_t context = 0;   ///< its context rank
  std::int64_t contexts = 1;  ///< chips that share the tokens
};

/// The holders of a stage whose first chip is `first_chip`: tensor ranks in equal runs of heads, or
/// several with the same head where there are fewer heads than ranks.
[[nodiscard]] std::vector<KvHolder> kv_holders(const Stage& stage, std::int64_t first_chip);

/// The pieces between two pools; what has nothing in common makes none. A receiver that shares its
/// heads with others gets a copy of its own; copies come from different senders where there are
/// several with these heads.
[[nodiscard]] std::vector<KvPiece> kv_pieces(const PoolModel& from, const PoolModel& to);

}  // namespace tandem
