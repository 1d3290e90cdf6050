#include "models/gpu/weight_cutter.hpp"

namespace tandem::gpu {
namespace {

/// Rows of `heads` heads, each of `width` rows.
ShareRange rows_of(const HeadRun& heads, std::int64_t width) {
  return {heads.begin * width, (heads.begin + heads.count) * width};
}

void append_projection(WeightCutter& cutter, const std::string& role, const std::string& tensor,
                       ShareRange rows, bool bias) {
  cutter.rows(role, tensor, rows);
  if (bias) cutter.elements(role + ".bias", tensor + "_bias", rows);
}

/// A projection whose sum over the chips of an attention group is wanted; the first adds the bias.
void append_output(WeightCutter& cutter, const std::string& tensor, ShareRange columns, bool bias) {
  cutter.columns("output_projection", tensor, columns);
  if (!bias) return;
  if (cutter.shard().group_rank() == 0) {
    cutter.whole("output_projection.bias", tensor + "_bias");
  } else {
    cutter.zeros("output_projection.bias", tensor + "_bias");
  }
}

/// Rows of q, k and the gate, in this order; checkpoints keep q and gate head by head.
void append_queries_and_keys(const GroupedAttention& a, const HeadRun& heads, const HeadRun& kv,
                             WeightCutter& cutter) {
  const std::int64_t width = a.shape.head_dim;
  const std::string role = "qkv_projection";
  const std::int64_t stride = a.output_gate ? 2 * width : width;
  const auto append_heads = [&](std::int64_t offset) {
    for (std::int64_t head = heads.begin; head < heads.begin + heads.count; ++head) {
      const std::int64_t first = head * stride + offset;
      append_projection(cutter, role, "attention.query", {first, first + width}, a.qkv_bias);
    }
  };
  append_heads(0);
  append_projection(cutter, role, "attention.key", rows_of(kv, width), a.qkv_bias);
  if (a.output_gate) append_heads(width);
}

void cut_indexer(WeightCutter& cutter) {
  cutter.whole("index_query_projection", "indexer.query");
  cutter.whole("index_key_projection", "indexer.key");
  cutter.norm("index_key_norm", "indexer.key_norm");
  cutter.whole("index_weight_projection", "indexer.head_weights");
}

/// The up-projection of keys and values whole for the naive form; for the absorbed one, rows of
/// keys transposed per head, and rows of values.
void cut_latent_up(const ops::LatentShape& s, const HeadRun& heads, WeightCutter& cutter) {
  const std::int64_t width = s.nope_dim + s.value_dim;
  cutter.rows("kv_up_projection", "attention.kv_up", rows_of(heads, width));
  for (std::int64_t head = heads.begin; head < heads.begin + heads.count; ++head) {
    cutter.transposed("query_absorption", "attention.kv_up",
                      {head * width, head * width + s.nope_dim});
    cutter.plain_rows("value_projection", "attention.kv_up",
                      {head * width + s.nope_dim, (head + 1) * width});
  }
}

}  // namespace

void cut_mixer(const GroupedAttention& a, WeightCutter& cutter) {
  const std::int64_t width = a.shape.head_dim;
  const HeadRun heads = query_heads_of(a.shape.heads, cutter.shard());
  const HeadRun kv = kv_heads_of(a.shape.kv_heads, cutter.shard());
  append_queries_and_keys(a, heads, kv, cutter);
  if (!a.keys_are_values) {
    append_projection(cutter, "qkv_projection", "attention.value", rows_of(kv, width), a.qkv_bias);
  }
  if (a.qk_norm == QkNorm::PerHead) {
    cutter.whole("query_norm", "attention.query_norm");
    cutter.whole("key_norm", "attention.key_norm");
  } else if (a.qk_norm == QkNorm::AllHeads) {
    cutter.elements("query_norm", "attention.query_norm", rows_of(heads, width));
    cutter.elements("key_norm", "attention.key_norm", rows_of(kv, width));
  }
  if (a.sinks) cutter.elements("attention.sinks", "attention.sinks", rows_of(heads, 1));
  append_output(cutter, "attention.output", rows_of(heads, width), a.output_bias);
}

void cut_mixer(const LatentAttention& a, WeightCutter& cutter) {
  const ops::LatentShape& s = a.shape;
  const HeadRun heads = query_heads_of(s.heads, cutter.shard());
  if (s.query_rank > 0) {
    cutter.whole("latent_down_projection", "attention.query_down");
    cutter.norm("query_norm", "attention.query_norm");
  }
  cutter.whole("latent_down_projection", "attention.kv_down");
  cutter.rows(s.query_rank > 0 ? "query_up_projection" : "query_projection", "attention.query_up",
              rows_of(heads, s.query_dim()));
  cutter.norm("latent_norm", "attention.kv_norm");
  cut_latent_up(s, heads, cutter);
  append_output(cutter, "attention.output", rows_of(heads, s.value_dim), false);
  if (a.indexer) cut_indexer(cutter);
}

void cut_mixer(const GatedDelta& d, WeightCutter& cutter) {
  const ops::GatedDeltaShape& s = d.shape;
  const HeadRun keys = query_heads_of(s.key_heads, cutter.shard());
  const HeadRun values = query_heads_of(s.value_heads, cutter.shard());
  const std::int64_t key_width = s.key_heads * s.key_dim;
  const ShareRange own_keys = rows_of(keys, s.key_dim);
  const ShareRange own_values = rows_of(values, s.value_dim);
  const ShareRange parts[] = {own_keys,
                              {key_width + own_keys.begin, key_width + own_keys.end},
                              {2 * key_width + own_values.begin, 2 * key_width + own_values.end}};
  for (const ShareRange& part : parts) {
    cutter.rows("delta_projection", "delta.qkv", part);
    cutter.rows("short_convolution", "delta.conv", part);
  }
  cutter.rows("delta_projection", "delta.z", own_values);
  const ShareRange heads = rows_of(values, 1);
  cutter.rows("delta_gate_projection", "delta.b", heads);
  cutter.rows("delta_gate_projection", "delta.a", heads);
  cutter.elements("delta_gates.decay", "delta.a_log", heads);
  cutter.elements("delta_gates.bias", "delta.dt_bias", heads);
  cutter.whole("delta_norm", "delta.norm");
  append_output(cutter, "delta.output", own_values, false);
}

}  // namespace tandem::gpu
