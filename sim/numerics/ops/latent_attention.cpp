#include "sim/numerics/ops/latent_attention.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "sim/numerics/ops/argmax.hpp"
#include "sim/numerics/ops/softmax.hpp"

namespace tandem::ops {
namespace {

/// The first `width` elements of the chosen rows (none chosen: of all), one after the other.
std::vector<float> gathered(const CacheRows& rows, std::span<const std::int32_t> chosen,
                            std::int64_t width) {
  const std::size_t count = chosen.empty() ? static_cast<std::size_t>(rows.tokens) : chosen.size();
  const auto step = static_cast<std::size_t>(rows.stride);
  std::vector<float> result;
  if (width == 0) {
    return result;
  }
  result.reserve(count * static_cast<std::size_t>(width));
  for (std::size_t t = 0; t < count; ++t) {
    const std::size_t token = chosen.empty() ? t : static_cast<std::size_t>(chosen[t]);
    assert(token < static_cast<std::size_t>(rows.tokens));
    const auto row = rows.data.subspan(token * step, static_cast<std::size_t>(width));
    result.insert(result.end(), row.begin(), row.end());
  }
  return result;
}

/// A latent attention whose tokens are chosen: what both forms share.
class LatentCache {
 public:
  LatentCache(const LatentShape& shape, const CacheRows& latent, const CacheRows& rope_keys,
              std::span<const std::int32_t> chosen, const Arithmetic& arithmetic)
      : arithmetic_(arithmetic),
        rank_(static_cast<std::size_t>(shape.kv_rank)),
        rope_(static_cast<std::size_t>(shape.rope_dim)),
        scale_(static_cast<float>(shape.scale_factor /
                                  std::sqrt(static_cast<double>(shape.query_dim())))),
        latent_(gathered(latent, chosen, shape.kv_rank)),
        rope_keys_(gathered(rope_keys, chosen, shape.rope_dim)) {
    assert(shape.rope_dim == 0 || latent.tokens == rope_keys.tokens);
  }
  [[nodiscard]] std::size_t tokens() const { return latent_.size() / rank_; }
  [[nodiscard]] std::span<const float> latents() const { return latent_; }
  [[nodiscard]] std::span<const float> latent(std::size_t token) const {
    return latents().subspan(token * rank_, rank_);
  }
  /// Rounded softmax weights of the tokens: the keys' unrotated parts are rows of `keys`.
  [[nodiscard]] std::vector<float> weights(std::span<const float> q_nope,
                                           std::span<const float> q_rope,
                                           std::span<const float> keys) const {
    std::vector<float> result(tokens());
    for (std::size_t t = 0; t < result.size(); ++t) {
      const auto rotated = std::span(rope_keys_).subspan(t * rope_, rope_);
      result[t] = (arithmetic_.dot(q_nope, keys.subspan(t * q_nope.size(), q_nope.size())) +
                   arithmetic_.dot(q_rope, rotated)) *
                  scale_;
    }
    softmax(result);
    arithmetic_.round(result);
    return result;
  }

 private:
  Arithmetic arithmetic_;
  std::size_t rank_;
  std::size_t rope_;
  float scale_;
  std::vector<float> latent_;
  std::vector<float> rope_keys_;
};

/// The slices of one head.
struct Head {
  std::span<const float> q_nope;
  std::span<const float> q_rope;
  std::span<const float> up_keys;    ///< [nope_dim, kv_rank]
  std::span<const float> up_values;  ///< [value_dim, kv_rank]
  std::span<float> out;
};

Head head_of(const LatentShape& shape, std::size_t head, std::span<const float> q, LatentUp up,
             std::span<float> out) {
  const auto nope = static_cast<std::size_t>(shape.nope_dim);
  const auto rope = static_cast<std::size_t>(shape.rope_dim);
  const auto value = static_cast<std::size_t>(shape.value_dim);
  const auto rank = static_cast<std::size_t>(shape.kv_rank);
  assert(q.size() == static_cast<std::size_t>(shape.heads) * (nope + rope));
  assert(up.size() == static_cast<std::size_t>(shape.heads) * (nope + value) * rank);
  assert(out.size() == static_cast<std::size_t>(shape.heads) * value);
  const auto query = q.subspan(head * (nope + rope), nope + rope);
  const auto rows = up.subspan(head * (nope + value) * rank, (nope + value) * rank);
  return {query.first(nope), query.last(rope), rows.first(nope * rank), rows.last(value * rank),
          out.subspan(head * value, value)};
}

/// [tokens, rows of `up`]: every latent taken up through `up`, rounded.
std::vector<float> taken_up(const LatentCache& cache, std::span<const float> up, std::size_t rows,
                            const Arithmetic& arithmetic) {
  const std::size_t rank = rows == 0 ? 0 : up.size() / rows;
  std::vector<float> result(cache.tokens() * rows);
  for (std::size_t t = 0; t < cache.tokens(); ++t) {
    for (std::size_t row = 0; row < rows; ++row) {
      result[t * rows + row] =
          arithmetic.rounded(arithmetic.dot(up.subspan(row * rank, rank), cache.latent(t)));
    }
  }
  return result;
}

}  // namespace

void latent_attention_naive(const LatentShape& shape, std::span<const float> q, LatentUp up,
                            const CacheRows& latent, const CacheRows& rope_keys,
                            std::span<const std::int32_t> chosen, const Arithmetic& arithmetic,
                            std::span<float> out) {
  const LatentCache cache(shape, latent, rope_keys, chosen, arithmetic);
  for (std::size_t h = 0; h < static_cast<std::size_t>(shape.heads); ++h) {
    const Head head = head_of(shape, h, q, up, out);
    const auto keys = taken_up(cache, head.up_keys, head.q_nope.size(), arithmetic);
    const auto values = taken_up(cache, head.up_values, head.out.size(), arithmetic);
    const auto weights = cache.weights(head.q_nope, head.q_rope, keys);
    arithmetic.weighted_sum(weights, values, shape.value_dim, head.out);
  }
}

void latent_attention_absorbed(const LatentShape& shape, std::span<const float> q, LatentUp up,
                               const CacheRows& latent, const CacheRows& rope_keys,
                               std::span<const std::int32_t> chosen, const Arithmetic& arithmetic,
                               std::span<float> out) {
  const LatentCache cache(shape, latent, rope_keys, chosen, arithmetic);
  const auto rank = static_cast<std::size_t>(shape.kv_rank);
  std::vector<float> query(rank);
  std::vector<float> mixed(rank);
  for (std::size_t h = 0; h < static_cast<std::size_t>(shape.heads); ++h) {
    const Head head = head_of(shape, h, q, up, out);
    arithmetic.weighted_sum(head.q_nope, head.up_keys, shape.kv_rank, query);
    const auto weights = cache.weights(query, head.q_rope, cache.latents());
    arithmetic.weighted_sum(weights, cache.latents(), shape.kv_rank, mixed);
    for (std::size_t i = 0; i < head.out.size(); ++i) {
      const auto row = head.up_values.subspan(i * rank, rank);
      head.out[i] = arithmetic.rounded(arithmetic.dot(row, mixed));
    }
  }
}

std::vector<float> index_scores(const IndexerShape& shape, std::span<const float> q,
                                std::span<const float> head_weights, const CacheRows& keys,
                                const Arithmetic& arithmetic) {
  const auto heads = static_cast<std::size_t>(shape.heads);
  const auto width = static_cast<std::size_t>(shape.head_dim);
  assert(q.size() == heads * width && head_weights.size() == heads);
  std::vector<float> scores(static_cast<std::size_t>(keys.tokens), 0.0F);
  for (std::size_t t = 0; t < scores.size(); ++t) {
    const auto key = keys.data.subspan(t * static_cast<std::size_t>(keys.stride), width);
    for (std::size_t head = 0; head < heads; ++head) {
      const float product = arithmetic.dot(q.subspan(head * width, width), key);
      scores[t] += head_weights[head] * std::max(product, 0.0F);
    }
  }
  return scores;
}

std::vector<std::int32_t> choose_top(std::span<const float> scores, std::int64_t k) {
  std::vector<std::int32_t> tokens = largest(scores, k);
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

}  // namespace tandem::ops
