// What a request leaves behind on a GPU.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "models/gpu/tracked_rows.hpp"
#include "sim/lower/batch.hpp"

namespace tandem::gpu {

/// Which of the tokens of earlier passes one KV head still has, ascending, and what each has drawn
/// from queries so far.
struct KeptTokens {
  std::vector<std::int64_t> tokens;
  std::vector<float> sums;  ///< of heavy hitters
};

/// One layer's memory of a request: one row per token, rounded to the stage's KV type, or a state
/// that does not grow.
struct LayerCache {
  TrackedRows keys;    ///< after rotation; of latent attention the key that heads share
  TrackedRows values;  ///< of latent attention the latents
  /// Of each token the slots of all KV heads, where the cache has a format: what the rows were read
  /// back from.
  std::vector<std::vector<std::uint8_t>> slots;
  TrackedRows index_keys;   ///< of sparse attention's indexer
  TrackedRows delta;        ///< recurrent state: a row [key_dim][value_dim] per value head
  TrackedRows convolution;  ///< inputs of the last taps - 1 tokens, oldest first
  /// States of both kinds as they were behind as many tokens, for the newest ones that may be taken
  /// back; of a tree, behind the node at the place before.
  std::map<std::int64_t, TrackedRows> earlier_delta, earlier_convolution;
  std::vector<KeptTokens> kept;  ///< per KV head, of layers that evict
};

struct RequestCache {
  std::int64_t tokens = 0;
  std::vector<LayerCache> layers;
};

/// The state behind `tokens` tokens. Throws ModelError where none was kept.
[[nodiscard]] const TrackedRows& state_behind(const std::map<std::int64_t, TrackedRows>& states,
                                              std::int64_t tokens);

/// Of a new request: no rows, and states of zeros. `network` is as the chip has it.
[[nodiscard]] RequestCache empty_cache(const Stage& stage, const NeuralNetwork& network);

/// Makes room for more tokens; all that is there is ready when a pass begins. Of recurrent states
/// it forgets those from before the last `revocable` tokens.
void grow_cache(RequestCache& cache, std::int64_t tokens, std::int64_t revocable);

/// Keeps what the first `tokens` tokens left. Throws ModelError for more tokens than there are, and
/// where a recurrent state has taken the others in and none of before is there.
void cut_cache(RequestCache& cache, std::int64_t tokens);

/// Keeps what the first `tokens` tokens left and, behind them, what those at `places` did: one path
/// of a tree. Throws ModelError as cut_cache(), and for places that do not ascend.
void keep_path(RequestCache& cache, std::int64_t tokens, std::span<const std::int64_t> places);

}  // namespace tandem::gpu
