#include "models/lpu/compiler/latent_plan.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/diagnostics.hpp"

namespace tandem::lpu {
namespace {

constexpr std::uint16_t no_lane = 0xffff;

int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}

int partner_of(int channel, int width, const ops::Rope& rope) {
  const int rotated = rope.rotated == 0 ? width : static_cast<int>(rope.rotated);
  if (channel >= rotated) return channel;
  if (rope.layout == ops::RopeLayout::Interleaved) return channel ^ 1;
  return channel < rotated / 2 ? channel + rotated / 2 : channel - rotated / 2;
}

}  // namespace

LatentPlan::LatentPlan(const ops::LatentShape& shape, int vector_lanes)
    : lanes(vector_lanes),
      heads(static_cast<int>(shape.heads)),
      query_rank(static_cast<int>(shape.query_rank)),
      rank(static_cast<int>(shape.kv_rank)),
      nope(static_cast<int>(shape.nope_dim)),
      rope(static_cast<int>(shape.rope_dim)),
      value(static_cast<int>(shape.value_dim)) {
  if (std::max({nope, rope, value}) > lanes || std::min({nope, rope, value}) < 1) {
    throw ModelError(
        "lpu.compiler: latent attention whose heads have parts of no channels or more "
        "than a vector");
  }
  query_vectors = ceil_div(query_rank, lanes);
  latent_vectors = ceil_div(rank, lanes);
  const bool fits = rank % lanes != 0 && rank % lanes + rope <= lanes;
  key_vectors = latent_vectors + (fits ? 0 : 1);
  rope_lane = fits ? rank % lanes : 0;
  value_vectors = ceil_div(rank + 1, lanes);
  nope_heads = lanes / nope;
  rope_heads = lanes / rope;
  value_heads = lanes / value;
  nope_vectors = ceil_div(heads, nope_heads);
  rope_vectors = ceil_div(heads, rope_heads);
  output_vectors = ceil_div(heads, value_heads);
  score_scale =
      static_cast<float>(shape.scale_factor / std::sqrt(static_cast<double>(shape.query_dim())));
}

int LatentPlan::latent_lanes(int vector) const {
  return std::clamp(rank - vector * lanes, 0, lanes);
}

int LatentPlan::key_lanes(int vector) const {
  return vector + 1 == key_vectors ? rope_lane + rope : lanes;
}

int LatentPlan::heads_of_nope(int j) const {
  return std::min(nope_heads, heads - j * nope_heads);
}

int LatentPlan::heads_of_output(int j) const {
  return std::min(value_heads, heads - j * value_heads);
}

std::vector<std::uint16_t> LatentPlan::rope_map(int place, const ops::Rope& rotation,
                                                bool partners) const {
  std::vector<std::uint16_t> map(static_cast<std::size_t>(lanes), no_lane);
  for (int d = 0; d < rope; ++d) {
    const int from = partners ? partner_of(d, rope, rotation) : d;
    map[static_cast<std::size_t>(rope_lane + d)] = static_cast<std::uint16_t>(place * rope + from);
  }
  return map;
}

std::vector<std::uint16_t> LatentPlan::key_partners(const ops::Rope& rotation) const {
  std::vector<std::uint16_t> map(static_cast<std::size_t>(lanes), no_lane);
  for (int d = 0; d < rope; ++d) {
    map[static_cast<std::size_t>(rope_lane + d)] =
        static_cast<std::uint16_t>(rope_lane + partner_of(d, rope, rotation));
  }
  return map;
}

}  // namespace tandem::lpu
