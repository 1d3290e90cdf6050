// Grouped-query attention of a pass: rotation and cache, the softmax over the keys, the gate.
#include <algorithm>
#include <cmath>

#include "models/gpu/execute/bodies.hpp"
#include "models/gpu/execute/cache_eviction.hpp"
#include "models/gpu/execute/cache_rows.hpp"
#include "models/gpu/functional_ops.hpp"
#include "models/gpu/gpu_chip.hpp"
#include "models/gpu/planned_attention.hpp"
#include "sim/core/integers.hpp"

namespace tandem::gpu {
namespace {

const GroupedAttention& attention_of(const KernelCall& call) {
  return std::get<GroupedAttention>(call.kind().mixer);
}

std::span<float> first_of(std::span<float> values, std::int64_t count) {
  return values.first(static_cast<std::size_t>(count));
}

/// Rotates and rounds the queries of one row.
void rotate_queries(const KernelCall& call, std::int64_t position, std::span<float> queries) {
  const GroupedAttention& a = attention_of(call);
  if (!a.rope) return;
  for (std::int64_t head = 0; head < a.shape.heads; ++head) {
    call.rotation().rotate(position, part_of(queries, head, a.shape.head_dim));
  }
  for (float& value : queries) value = round_to(call.on().type(), value);
}

/// Rotates the q and k of one row of q, k, gate and v in place; rounds q.
void rotate_row(const KernelCall& call, std::int64_t position, std::span<float> qkv) {
  const GroupedAttention& a = attention_of(call);
  if (!a.rope) return;
  const std::int64_t heads = a.shape.heads + a.shape.kv_heads;
  for (std::int64_t head = 0; head < heads; ++head) {
    call.rotation().rotate(position, part_of(qkv, head, a.shape.head_dim));
  }
  for (float& value : first_of(qkv, a.q_width())) value = round_to(call.on().type(), value);
}

/// A query as it meets recent keys, and the sinks of an evicted cache.
struct HeadQuery {
  std::span<const float> to_others, to_sinks;
};

/// softmax(scores of the keys that a query sees) v, one query head.
class HeadAttention {
 public:
  HeadAttention(const KernelCall& call, const SliceOnChip& slice)
      : call_(call), a_(attention_of(call)), cache_(call.cache(slice)) {}

  /// Returns the scores.
  std::vector<float> run(const SeenKeys& keys, std::int64_t head, const HeadQuery& query,
                         std::span<float> out) const {
    OnlineSoftmax softmax(a_.shape.head_dim);
    const std::int64_t kv_head = head / (a_.shape.heads / a_.shape.kv_heads);
    const std::int64_t first =
        a_.shape.window > 0 ? std::max<std::int64_t>(0, keys.count - a_.shape.window) : 0;
    std::vector<float> all, scores;
    // Blocks count from place 0 whatever the window, so that every pass folds the same ones.
    for (std::int64_t block = first / fold_tokens * fold_tokens; block < keys.count;
         block += fold_tokens) {
      const std::int64_t begin = std::max(first, block);
      const std::int64_t end = std::min(keys.count, block + fold_tokens);
      scores.clear();
      for (std::int64_t i = begin; i < end; ++i) {
        const auto& rotated = i < keys.sinks ? query.to_sinks : query.to_others;
        scores.push_back(score(rotated, row(cache_.keys, keys.token(i), kv_head)));
      }
      all.insert(all.end(), scores.begin(), scores.end());
      softmax.fold(scores, [&](std::int64_t i) {
        return row(cache_.values, keys.token(begin + i), kv_head);
      });
    }
    if (a_.sinks) softmax.fold_sink(call_.weights().at("attention.sinks").row(0)[index_of(head)]);
    softmax.finish(call_.on().type(), out);
    return all;
  }

 private:
  [[nodiscard]] std::span<const float> row(const TrackedRows& rows, std::int64_t token,
                                           std::int64_t kv_head) const {
    return part_of(rows.read(token, call_.span.start), kv_head, a_.shape.head_dim);
  }
  [[nodiscard]] float score(std::span<const float> query, std::span<const float> key) const {
    const float product = matrix_dot(call_.on().kv_math(), query, key);
    const float scaled = a_.shape.scale == 0
                             ? product / std::sqrt(static_cast<float>(a_.shape.head_dim))
                             : product * static_cast<float>(a_.shape.scale);
    return capped(scaled, a_.shape.softcap);
  }

  const KernelCall& call_;
  const GroupedAttention& a_;
  const LayerCache& cache_;
};

/// CTA by CTA of the timed plan.
void attend_as_planned(const KernelCall& call) {
  PassState& pass = call.pass;
  const TrackedRows& qkv = pass.at(Buffer::Qkv);
  TrackedRows& attended = pass.at(Buffer::Attended);
  std::vector<std::span<float>> out;
  for (std::int64_t row = 0; row < pass.tokens; ++row) {
    out.push_back(attended.write(row, call.span.end));
  }
  AttentionRows rows;
  rows.query = [&](std::size_t at, std::int64_t i) {
    return qkv.read(pass.slices[at].first_row + i, call.span.start);
  };
  rows.key = [&](std::size_t at, std::int64_t token) {
    return call.cache(pass.slices[at]).keys.read(token, call.span.start);
  };
  rows.value = [&](std::size_t at, std::int64_t token) {
    return call.cache(pass.slices[at]).values.read(token, call.span.start);
  };
  rows.out = [&](std::size_t at, std::int64_t i) {
    return out[index_of(pass.slices[at].first_row + i)];
  };
  planned_attention(call.on().chip.params(), std::get<AttentionKernel>(call.kernel.shape), rows);
}

}  // namespace

/// Rotates q and k where the layer does, and appends k and v to the cache.
void execute_cache_write(const KernelCall& call) {
  const GroupedAttention& a = attention_of(call);
  TrackedRows& qkv = call.pass.at(Buffer::Qkv);
  call.pass.fresh(Buffer::Attended, call.pass.tokens, a.q_width());
  const auto kv_width = index_of(a.kv_width());
  TrackedRows* places = moves_sinks(call)
                            ? &call.pass.fresh(Buffer::SinkQuery, call.pass.tokens, a.q_width())
                            : nullptr;
  for (const SliceOnChip& slice : call.pass.slices) {
    LayerCache& cache = call.cache(slice);
    for (std::int64_t i = 0; i < slice.slice.new_tokens; ++i) {
      (void)qkv.read(slice.first_row + i, call.span.start);
      const std::span<float> row = qkv.write(slice.first_row + i, call.span.end);
      if (places != nullptr) {
        const auto q = places->write(slice.first_row + i, call.span.end);
        std::copy_n(row.begin(), q.size(), q.begin());
        rotate_queries(call, call.on().stage.eviction.kept(slice.slice.context) + i, q);
      }
      rotate_row(call, slice.position(i), row);
      const auto k = row.subspan(index_of(a.q_width()), kv_width);
      const auto v = row.last(kv_width);
      append_to_cache(call, k, v, cache, slice.slice.context + i);
    }
  }
}

/// With a format prompts and tokens that decode have kernels of their own.
bool attends_to(const KernelCall& call, const SliceOnChip& slice) {
  if (call.codec() == nullptr) return true;
  const bool decodes = std::get<AttentionKernel>(call.kernel.shape).slots.is_coded();
  return slice.slice.is_decode() == decodes;
}

/// One unit of work per query head and row, in the order of heads within rows.
void execute_attention(const KernelCall& call) {
  if (call.on().sums == SumOrder::Planned) return attend_as_planned(call);
  const GroupedAttention& a = attention_of(call);
  const TrackedRows& qkv = call.pass.at(Buffer::Qkv);
  TrackedRows& attended = call.pass.at(Buffer::Attended);
  for (const SliceOnChip& slice : call.pass.slices) {
    if (!attends_to(call, slice)) continue;
    const HeadAttention attention(call, slice);
    CacheEviction eviction(call, slice);
    for (const std::int64_t i : call.on().order_of(slice.slice.new_tokens)) {
      const std::span<const float> q = qkv.read(slice.first_row + i, call.span.start);
      const std::span<const float> to_sinks = eviction.queries_of_sinks(i, q);
      const std::span<float> out = attended.write(slice.first_row + i, call.span.end);
      for (const std::int64_t head : call.on().order_of(a.shape.heads)) {
        const HeadQuery query{part_of(q, head, a.shape.head_dim),
                              part_of(to_sinks, head, a.shape.head_dim)};
        eviction.take(i, head,
                      attention.run(eviction.keys_of(i, head), head, query,
                                    part_of(out, head, a.shape.head_dim)));
      }
    }
    eviction.finish();
  }
}

/// Times sigmoid of the gate, element by element; the gate stands behind q and k.
void execute_output_gate(const KernelCall& call) {
  const GroupedAttention& a = attention_of(call);
  const TrackedRows& qkv = call.pass.at(Buffer::Qkv);
  TrackedRows& attended = call.pass.at(Buffer::Attended);
  for (const std::int64_t row : call.on().order_of(attended.rows())) {
    const auto gate = qkv.read(row, call.span.start).subspan(index_of(a.q_width() + a.kv_width()));
    (void)attended.read(row, call.span.start);
    const std::span<float> out = attended.write(row, call.span.end);
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = round_to(call.on().type(), out[i] * sigmoid_of(gate[i]));
    }
  }
}

}  // namespace tandem::gpu
