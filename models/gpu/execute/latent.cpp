// Multi-head latent attention of a pass (DeepSeek-V2, arXiv 2405.04434): naive for prompts,
// absorbed for tokens that decode and wherever an indexer chooses keys.
#include <algorithm>
#include <cmath>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/cache_eviction.hpp"
#include "models/gpu/execute/cache_rows.hpp"
#include "models/gpu/execute/product_row.hpp"
#include "models/gpu/functional_ops.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

const LatentAttention& latent_of(const KernelCall& call) {
  return std::get<LatentAttention>(call.kind().mixer);
}

bool runs_absorbed(const KernelCall& call, const SliceOnChip& slice) {
  return latent_of(call).indexer.has_value() || slice.slice.is_decode();
}

float score_scale(const ops::LatentShape& s) {
  return static_cast<float>(s.scale_factor / std::sqrt(static_cast<double>(s.query_dim())));
}

/// Calls `body(row of the pass, new token)` for the tokens of a slice, in the order of CTAs.
template <class Body>
void for_each_token(const KernelCall& call, const SliceOnChip& slice, const Body& body) {
  for (const std::int64_t i : call.on().order_of(slice.slice.new_tokens)) {
    body(slice.first_row + i, i);
  }
}

/// Slices of one form, in the order of the batch.
std::vector<const SliceOnChip*> slices_of_form(const KernelCall& call, bool absorbed) {
  std::vector<const SliceOnChip*> slices;
  for (const SliceOnChip& slice : call.pass.slices) {
    if (runs_absorbed(call, slice) == absorbed) slices.push_back(&slice);
  }
  return slices;
}

/// out = the rows of one head's matrix times x.
void multiply_head(const KernelCall& call, std::span<const float> x, std::int64_t head,
                   std::span<float> out) {
  const ProductRow row(call.on(), x, call.own_weights());
  const std::int64_t first = head * static_cast<std::int64_t>(out.size());
  for (std::size_t column = 0; column < out.size(); ++column) {
    const float sum = row.dot(first + static_cast<std::int64_t>(column));
    out[column] = round_to(call.on().type(), sum);
  }
}

/// One product per head over the tokens that run absorbed: the first `k` of every head's elements.
void multiply_heads(const KernelCall& call, const TrackedRows& from, TrackedRows& to) {
  const auto& kernel = std::get<BatchedGemmKernel>(call.kernel.shape);
  const std::int64_t stride = from.width() / kernel.batch;
  for (const SliceOnChip* slice : slices_of_form(call, true)) {
    for_each_token(call, *slice, [&](std::int64_t row, std::int64_t) {
      const std::span<const float> x = from.read(row, call.span.start);
      const std::span<float> y = to.write(row, call.span.end);
      for (const std::int64_t head : call.on().order_of(kernel.batch)) {
        multiply_head(call, part_of(x, head, stride).first(index_of(kernel.k)), head,
                      part_of(y, head, kernel.n));
      }
    });
  }
}

/// Folds `count` keys into a softmax, in blocks of ascending order. Returns their scores.
template <class Score, class Value>
std::vector<float> fold_keys(OnlineSoftmax& softmax, std::int64_t count, const Score& score,
                             const Value& value) {
  std::vector<float> all, scores;
  for (std::int64_t begin = 0; begin < count; begin += fold_tokens) {
    const std::int64_t end = std::min(count, begin + fold_tokens);
    scores.clear();
    for (std::int64_t i = begin; i < end; ++i) scores.push_back(score(i));
    all.insert(all.end(), scores.begin(), scores.end());
    softmax.fold(scores, [&](std::int64_t i) { return value(begin + i); });
  }
  return all;
}

/// The rotated parts of a token's queries as they meet recent keys, and the sinks of an evicted
/// cache.
class RotatedParts {
 public:
  RotatedParts(const KernelCall& call, std::span<const float> queries,
               std::span<const float> to_sinks)
      : shape_(latent_of(call).shape),
        queries_(queries),
        to_sinks_(moves_sinks(call) ? to_sinks : std::span<const float>()) {}
  [[nodiscard]] std::span<const float> of(std::int64_t head, bool meets_sink) const {
    if (meets_sink && !to_sinks_.empty()) return part_of(to_sinks_, head, shape_.rope_dim);
    return part_of(queries_, head, shape_.query_dim()).last(index_of(shape_.rope_dim));
  }

 private:
  const ops::LatentShape& shape_;
  std::span<const float> queries_, to_sinks_;
};

/// Positions that a token attends to where an indexer chose them: how many, then which.
std::span<const float> chosen_of(const KernelCall& call, std::int64_t row) {
  const std::span<const float> all = call.pass.at(Buffer::Chosen).read(row, call.span.start);
  return all.subspan(1, static_cast<std::size_t>(all[0]));
}

}  // namespace

/// Queries' latents go through their norm into a buffer of their own.
void execute_latent_norm(const KernelCall& call) {
  const ops::LatentShape& s = latent_of(call).shape;
  const Norm& norm = call.on().network.norm;
  const bool is_query = call.kernel.role == "query_norm";
  TrackedRows& latent = call.pass.at(Buffer::Latent);
  if (is_query) call.pass.fresh(Buffer::QueryLatent, latent.rows(), s.query_rank);
  for (const std::int64_t row : call.on().order_of(latent.rows())) {
    const std::span<const float> all = latent.read(row, call.span.start);
    const auto x = is_query ? all.first(index_of(s.query_rank))
                            : all.subspan(index_of(s.query_rank), index_of(s.kv_rank));
    const auto y =
        is_query
            ? call.pass.at(Buffer::QueryLatent).write(row, call.span.end)
            : latent.write(row, call.span.end).subspan(index_of(s.query_rank), index_of(s.kv_rank));
    norm_row(x, call.own_weights().row(0), norm.one_plus_weight, norm.epsilon, call.on().type(), y);
  }
}

namespace {

void rotate_rounded(const KernelCall& call, std::int64_t position, std::span<float> part) {
  call.rotation().rotate(position, part);
  for (float& value : part) value = round_to(call.on().type(), value);
}

/// The rotating parts of one row of queries, rotated to a place within an evicted cache.
void rotate_to_place(const KernelCall& call, std::span<const float> queries, std::int64_t place,
                     std::span<float> parts) {
  const ops::LatentShape& s = latent_of(call).shape;
  for (std::int64_t head = 0; head < s.heads; ++head) {
    const auto from = part_of(queries, head, s.query_dim()).last(index_of(s.rope_dim));
    const auto to = part_of(parts, head, s.rope_dim);
    std::ranges::copy(from, to.begin());
    rotate_rounded(call, place, to);
  }
}

}  // namespace

/// Rotates the last rope_dim elements of every query head, and the key that heads share; appends
/// that key and the latent to the cache.
void execute_latent_rope(const KernelCall& call) {
  const ops::LatentShape& s = latent_of(call).shape;
  TrackedRows& query = call.pass.at(Buffer::Query);
  const TrackedRows& latent = call.pass.at(Buffer::Latent);
  call.pass.fresh(Buffer::Attended, call.pass.tokens, s.heads * s.value_dim);
  TrackedRows* places = moves_sinks(call) ? &call.pass.fresh(Buffer::SinkQuery, call.pass.tokens,
                                                             s.heads * s.rope_dim)
                                          : nullptr;
  std::vector<float> key(index_of(s.rope_dim));
  for (const SliceOnChip& slice : call.pass.slices) {
    LayerCache& cache = call.cache(slice);
    for_each_token(call, slice, [&](std::int64_t row, std::int64_t i) {
      const std::int64_t position = slice.position(i);
      (void)query.read(row, call.span.start);
      const std::span<float> q = query.write(row, call.span.end);
      if (places != nullptr) {
        const std::int64_t context = slice.slice.context;
        const std::int64_t place = call.on().stage.eviction.kept(context) + position - context;
        rotate_to_place(call, q, place, places->write(row, call.span.end));
      }
      for (std::int64_t head = 0; head < s.heads; ++head) {
        rotate_rounded(call, position, part_of(q, head, s.query_dim()).last(index_of(s.rope_dim)));
      }
      const std::span<const float> down = latent.read(row, call.span.start);
      std::copy(down.end() - s.rope_dim, down.end(), key.begin());
      call.rotation().rotate(position, key);
      const auto own = down.subspan(index_of(s.query_rank), index_of(s.kv_rank));
      append_to_cache(call, key, own, cache, slice.slice.context + i);
    });
  }
}

/// Earlier latents of prompts that are processed in chunks, one slice after the other: of an
/// evicted cache those that stay.
void execute_latent_read(const KernelCall& call) {
  const auto& kernel = std::get<CacheReadKernel>(call.kernel.shape);
  TrackedRows& read =
      call.pass.fresh(Buffer::LatentRead, kernel.rows, latent_of(call).shape.kv_rank);
  std::int64_t next = 0;
  for (const SliceOnChip* slice : slices_of_form(call, false)) {
    const SeenKeys keys = CacheEviction(call, *slice).keys_of(0, 0);
    for (std::int64_t place = 0; place + 1 < keys.count; ++place) {
      const auto from = call.cache(*slice).values.read(keys.token(place), call.span.start);
      std::ranges::copy(from, read.write(next++, call.span.end).begin());
    }
  }
}

/// Keys and values of all tokens of the prompts, slice by slice: earlier ones as they were read,
/// new ones as the cache keeps them, so that chunks do not change a bit.
void execute_latent_up(const KernelCall& call) {
  const auto& kernel = std::get<GemmKernel>(call.kernel.shape);
  TrackedRows latents("latents of prompts", kernel.m, kernel.k);
  std::int64_t next = 0;
  std::int64_t next_read = 0;
  for (const SliceOnChip* slice : slices_of_form(call, false)) {
    const std::int64_t last = slice->slice.new_tokens - 1;
    const SeenKeys keys = CacheEviction(call, *slice).keys_of(last, 0);
    for (std::int64_t place = 0; place < keys.count; ++place) {
      const auto from = place < keys.count - slice->slice.new_tokens
                            ? call.pass.at(Buffer::LatentRead).read(next_read++, call.span.start)
                            : call.cache(*slice).values.read(keys.token(place), call.span.start);
      std::ranges::copy(from, latents.write(next++, call.span.start).begin());
    }
  }
  multiply(call, latents, call.own_weights(), nullptr,
           call.pass.fresh(Buffer::LatentUp, kernel.m, kernel.n));
}

void execute_absorption(const KernelCall& call) {
  const ops::LatentShape& s = latent_of(call).shape;
  multiply_heads(call, call.pass.at(Buffer::Query),
                 call.pass.fresh(Buffer::Absorbed, call.pass.tokens, s.heads * s.kv_rank));
}

void execute_value_projection(const KernelCall& call) {
  multiply_heads(call, call.pass.at(Buffer::LatentMixed), call.pass.at(Buffer::Attended));
}

/// score = (q_n k_n + q_r k_r) scale with keys and values made of the latents.
void execute_naive_attention(const KernelCall& call) {
  const ops::LatentShape& s = latent_of(call).shape;
  const ElementType math = call.on().kv_math();
  const TrackedRows& query = call.pass.at(Buffer::Query);
  const TrackedRows& up = call.pass.at(Buffer::LatentUp);
  TrackedRows& attended = call.pass.at(Buffer::Attended);
  const auto nope = index_of(s.nope_dim);
  std::int64_t first = 0;
  for (const SliceOnChip* slice : slices_of_form(call, false)) {
    const LayerCache& cache = call.cache(*slice);
    CacheEviction eviction(call, *slice);
    for_each_token(call, *slice, [&](std::int64_t row, std::int64_t index) {
      const std::span<const float> queries = query.read(row, call.span.start);
      const RotatedParts rotated(call, queries, eviction.queries_of_sinks(index, queries));
      const SeenKeys keys = eviction.keys_of(index, 0);
      const std::span<float> out = attended.write(row, call.span.end);
      for (const std::int64_t head : call.on().order_of(s.heads)) {
        const auto q = part_of(queries, head, s.query_dim());
        const auto made = [&](std::int64_t t) {
          return part_of(up.read(first + t, call.span.start), head, s.nope_dim + s.value_dim);
        };
        OnlineSoftmax softmax(s.value_dim);
        std::vector<float> scores = fold_keys(
            softmax, keys.count,
            [&](std::int64_t t) {
              const float still = matrix_dot(math, q.first(nope), made(t).first(nope));
              const auto key = cache.keys.read(keys.token(t), call.span.start);
              const auto rotating = rotated.of(head, t < keys.sinks);
              return (still + matrix_dot(math, rotating, key)) * score_scale(s);
            },
            [&](std::int64_t t) { return made(t).subspan(nope); });
        eviction.take(index, head, std::move(scores));
        softmax.finish(call.on().type(), part_of(out, head, s.value_dim));
      }
    });
    first += eviction.keys_of(slice->slice.new_tokens - 1, 0).count;
    eviction.finish();
  }
}

/// score = (q~ c + q_r k_r) scale over the latents themselves, all or those an indexer chose.
void execute_absorbed_attention(const KernelCall& call) {
  const LatentAttention& a = latent_of(call);
  const ops::LatentShape& s = a.shape;
  const ElementType math = call.on().kv_math();
  const TrackedRows& query = call.pass.at(Buffer::Query);
  const TrackedRows& absorbed = call.pass.at(Buffer::Absorbed);
  TrackedRows& mixed = call.pass.fresh(Buffer::LatentMixed, call.pass.tokens, s.heads * s.kv_rank);
  for (const SliceOnChip* slice : slices_of_form(call, true)) {
    const LayerCache& cache = call.cache(*slice);
    CacheEviction eviction(call, *slice);
    for_each_token(call, *slice, [&](std::int64_t row, std::int64_t index) {
      const auto chosen = a.indexer ? chosen_of(call, row) : std::span<const float>();
      const SeenKeys keys = eviction.keys_of(index, 0);
      const std::int64_t count = a.indexer ? static_cast<std::int64_t>(chosen.size()) : keys.count;
      const auto token = [&](std::int64_t i) {
        return a.indexer ? static_cast<std::int64_t>(chosen[index_of(i)]) : keys.token(i);
      };
      const std::span<const float> queries = query.read(row, call.span.start);
      const RotatedParts rotated(call, queries, eviction.queries_of_sinks(index, queries));
      const std::span<const float> up = absorbed.read(row, call.span.start);
      const std::span<float> out = mixed.write(row, call.span.end);
      for (const std::int64_t head : call.on().order_of(s.heads)) {
        const auto latent = [&](std::int64_t i) {
          return cache.values.read(token(i), call.span.start);
        };
        OnlineSoftmax softmax(s.kv_rank);
        std::vector<float> scores = fold_keys(
            softmax, count,
            [&](std::int64_t i) {
              const float still = matrix_dot(math, part_of(up, head, s.kv_rank), latent(i));
              const auto key = cache.keys.read(token(i), call.span.start);
              const auto rotating = rotated.of(head, i < keys.sinks);
              return (still + matrix_dot(math, rotating, key)) * score_scale(s);
            },
            latent);
        eviction.take(index, head, std::move(scores));
        softmax.finish(call.on().type(), part_of(out, head, s.kv_rank));
      }
    });
    eviction.finish();
  }
}

}  // namespace tandem::gpu
