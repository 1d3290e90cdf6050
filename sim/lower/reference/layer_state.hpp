// What a sequence leaves behind in one layer of the reference model.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/numerics/ops/gated_delta.hpp"

namespace tandem::reference {

/// The memory of one layer. A copy is a snapshot. Caches of windowed layers keep every token and
/// mask, so that any of them can be cut back to an earlier length.
struct LayerState {
  /// Grouped attention: keys after rotation, [token][kv_head][head_dim]. Latent attention: the
  /// latents after their norm, [token][kv_rank].
  std::vector<float> k;
  /// Values as k. Latent attention: the shared key after rotation, [token][rope_dim].
  std::vector<float> v;
  std::vector<float> index_keys;  ///< [token][indexer head_dim]; sparse attention only
  ops::GatedDeltaState delta;     ///< gated delta layers only
  std::int64_t tokens = 0;
  bool operator==(const LayerState&) const = default;
};

/// Which of two equal forms a layer computes in.
struct Forms {
  bool absorbed = false;  ///< latent attention: absorbed instead of naive
  bool chunked = false;   ///< gated delta: chunks instead of token by token
};

}  // namespace tandem::reference
