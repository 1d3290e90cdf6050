// Which lanes multi-head latent attention fills in its absorbed form (DeepSeek-V2, arXiv
// 2405.04434, section 2.1). Pure arithmetic on shapes; see docs/decisions/lpu_latent.md.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/numerics/ops/latent_attention.hpp"
#include "sim/numerics/ops/rope.hpp"

namespace tandem::lpu {

/// Vectors and lanes of one chip's heads.
///
/// A cached token is one key for all heads: the normed latent from lane 0 of its first vector on,
/// then the rotated part, in one vector. Its latent is the value of all heads too; the channel
/// behind it is a column of ones, whose output is the sum of the softmax.
struct LatentPlan {
  int lanes = 0;
  int heads = 0;
  int query_rank = 0;                 ///< 0: queries come straight from the hidden state
  int rank = 0;                       ///< channels of the latent
  int nope = 0, rope = 0, value = 0;  ///< channels of a head: that rotate not, that do, of values
  int query_vectors = 0;              ///< of the queries' latent
  int latent_vectors = 0;
  int key_vectors = 0;    ///< latent and rotated part
  int value_vectors = 0;  ///< latent and ones
  int rope_lane = 0;      ///< of the rotated part, in the last key vector
  int nope_heads = 0, rope_heads = 0, value_heads = 0;         ///< heads in a vector of these parts
  int nope_vectors = 0, rope_vectors = 0, output_vectors = 0;  ///< of all heads
  float score_scale = 1;

  LatentPlan() = default;
  /// Throws ModelError where a part of a head is wider than a vector.
  LatentPlan(const ops::LatentShape& shape, int lanes);

  /// Whether the last vector of the latent has the rotated part behind it.
  [[nodiscard]] bool shares_vector() const { return key_vectors == latent_vectors; }
  /// Channels of the latent in one of its vectors.
  [[nodiscard]] int latent_lanes(int vector) const;
  /// Lanes of a key vector up to the last one in use.
  [[nodiscard]] int key_lanes(int vector) const;
  [[nodiscard]] int ones_vector() const { return rank / lanes; }
  [[nodiscard]] int ones_lane() const { return rank % lanes; }
  /// Heads that vector j of the parts without rotation (of outputs) holds.
  [[nodiscard]] int heads_of_nope(int j) const;
  [[nodiscard]] int heads_of_output(int j) const;

  /// Brings the rotated part of the `place`-th head of a vector to where keys have it; `partners`:
  /// what rotation pairs each lane with instead. All other lanes get zero.
  [[nodiscard]] std::vector<std::uint16_t> rope_map(int place, const ops::Rope& rope,
                                                    bool partners) const;
  /// The partners within a key vector.
  [[nodiscard]] std::vector<std::uint16_t> key_partners(const ops::Rope& rope) const;
};

}  // namespace tandem::lpu
