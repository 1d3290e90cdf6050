// Multi-head latent attention in its absorbed form (DeepSeek-V2, arXiv 2405.04434, section 2.1):
// projections, norms and rotation before the loops over KV blocks, and the way from the latents
// that they give to the hidden state. docs/decisions/lpu_latent.md has the layout and the counts.
#include <algorithm>

#include "models/lpu/compiler/stage_compiler.hpp"

namespace tandem::lpu {
namespace {

std::size_t index_of(int value) {
  return static_cast<std::size_t>(value);
}

}  // namespace

void StageCompiler::mix_by_latents(const LayerLayout& layer) {
  settle_plan(layer, layout_);
  norm(layer.attention_norm);
  scheduler_.begin_operator("latents down");
  project_down(layer);
  scheduler_.begin_operator("norms of latents");
  for (int t = 0; t < tokens_; ++t) norm_latents(layer, layout_.token(t));
  scheduler_.begin_operator("q up");
  project_queries(layer);
  scheduler_.begin_operator("q by keys");
  absorb_keys(layer);
  const int at_once = std::min(tokens_, latents_at_once());
  for (int first = 0; first < tokens_; first += at_once) {
    attend_latents(layer, first, std::min(tokens_, first + at_once));
  }
  scheduler_.begin_operator("values up");
  project_values(layer);
  scheduler_.begin_operator("output projection");
  add_to_hidden(layer.o, &TokenBuffers::attended, {}, residual(layer.attention_post_norm));
}

// Queries first: they have the longer way to the scores.
void StageCompiler::project_down(const LayerLayout& layer) {
  const MatrixLayout& query = layer.latent.query_down;
  const MatrixLayout& cache = layer.latent.kv_down;
  std::vector<TileRow> rows;
  const int query_scale = query.n_tiles > 0 ? load_scale(query, 0) : 0;
  const int cache_scale = load_scale(cache, 1);
  for (int n = 0; n < query.n_tiles; ++n) {
    rows.push_back({&query, n, [this, &query, n, query_scale](int t, int plane, int accumulator) {
                      keep_raw({&query, plane, accumulator, query_scale}, {},
                               layout_.token(t).query_raw[index_of(n)]);
                    }});
  }
  for (int n = 0; n < cache.n_tiles; ++n) {
    rows.push_back({&cache, n, [this, &cache, n, cache_scale](int t, int plane, int accumulator) {
                      keep_cached({&cache, plane, accumulator, cache_scale}, n, layout_.token(t));
                    }});
  }
  multiply(rows, &TokenBuffers::normed);
}

// Outputs as they are, or those lanes of them that a mask of ones and zeros keeps.
void StageCompiler::keep_raw(const Output& output, const Rows& mask, const Rows& to) {
  Work work(scheduler_);
  const Value sum = scaled(work, output, work.accumulator(output.plane, output.accumulator));
  work.store(mask.empty() ? work.op(AluOp::Pass, sum) : work.op(AluOp::Mul, sum, work.memory(mask)),
             to);
  work.place();
}

// The last vector of a key holds the part that rotates, behind channels of the latent or alone.
void StageCompiler::keep_cached(const Output& output, int vector, const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  const bool rotates = vector + 1 == plan.key_vectors;
  if (vector < plan.latent_vectors) {
    keep_raw(output, rotates ? layout_.latent_mask : Rows{}, token.cache_raw[index_of(vector)]);
  }
  if (!rotates) return;
  Work work(scheduler_);
  const Value own = work.accumulator(output.plane, output.accumulator);
  const Value partner = work.accumulator_permuted(output.plane, output.accumulator,
                                                  add_map(plan.key_partners(layout_.rope)));
  work.store(turned(work, output, {own, partner}, token), token.rope_key);
  work.place();
}

// x cos + partner sin, as in grouped attention. Both may come from one accumulator the same way, so
// not in the same cycle.
Value StageCompiler::turned(Work& work, const Output& output, const Pair& x,
                            const TokenBuffers& token) const {
  const Value kept = work.op(AluOp::Mul, x.own, work.memory(token.cosine));
  Work::Options later;
  later.earliest = work.time_of(kept) + 1;
  const Value swapped = work.op(AluOp::Mul, x.partner, work.memory(token.sine), later);
  const Value sum = work.op(AluOp::Add, kept, swapped);
  return output.matrix->scale.empty() ? sum : scaled(work, output, sum);
}

// 1 / rms of a vector of `width` channels; lanes behind them are zero.
void StageCompiler::find_rms(const std::vector<Rows>& raw, int width, Hemisphere side,
                             const Rows& to) {
  Work work(scheduler_);
  Value sum;
  for (std::size_t k = 0; k < raw.size(); ++k) {
    const Value x = work.memory(raw[k]);
    Work::Options at;
    at.earliest = static_cast<std::int64_t>(k) * scheduler_.latencies().vxm_simple;
    const Value square = work.op(AluOp::Mul, x, x, at);
    sum = k == 0 ? square : work.op(AluOp::Add, sum, square);
  }
  const Value total = reduce_lanes(work, sum, AluOp::Add, side);
  const auto part = static_cast<float>(1.0 / static_cast<double>(width));
  const auto epsilon = static_cast<float>(layout_.network().norm.epsilon);
  const Value mean = work.op(AluOp::Mul, total, Work::constant(part));
  const Value shifted = work.op(AluOp::Add, mean, Work::constant(epsilon));
  work.store(work.op(AluOp::Rsqrt, shifted), to);
  work.place();
}

// The two norms cross the switch units of different hemispheres side by side.
void StageCompiler::norm_latents(const LayerLayout& layer, const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  if (plan.query_rank > 0) {
    find_rms(token.query_raw, plan.query_rank, Hemisphere::East, token.query_rms);
  }
  find_rms(token.cache_raw, plan.rank, Hemisphere::West, token.cache_rms);
  for (int k = 0; k < plan.query_vectors; ++k) {
    Work work(scheduler_);
    const Value x = normed(work, token.query_raw[index_of(k)], token.query_rms,
                           layer.latent.query_norm[index_of(k)]);
    store_activation(work, x, layout_.shape.weights, token.query_latent, k);
    work.place();
  }
  for (int n = 0; n < plan.key_vectors; ++n) append_latent(layer, n, token);
}

Value StageCompiler::normed(Work& work, const Rows& raw, const Rows& rms, const Rows& weight) {
  const Value x = work.op(AluOp::Mul, work.memory(raw), work.memory(rms));
  return work.op(AluOp::Mul, x, work.memory(weight));
}

void StageCompiler::append_latent(const LayerLayout& layer, int vector, const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  const bool rotates = vector + 1 == plan.key_vectors;
  const auto v = index_of(vector);
  Work work(scheduler_);
  Value key;
  if (vector < plan.latent_vectors) {
    key = normed(work, token.cache_raw[v], token.cache_rms, layer.latent.kv_norm[v]);
    if (rotates) key = work.op(AluOp::Add, key, work.memory(token.rope_key));
  } else {
    key = work.op(AluOp::Pass, work.memory(token.rope_key));
  }
  const ColumnTile& keys = layer.packs[v].keys;
  store_column(work, key, keys, column_ports(keys, token.registers.key_ports));
  work.place();
}

void StageCompiler::project_queries(const LayerLayout& layer) {
  const LatentPlan& plan = *layout_.latent;
  const MatrixLayout& matrix = layer.latent.query_up;
  const int scale = load_scale(matrix, 2);
  std::vector<TileRow> rows;
  for (int n = 0; n < matrix.n_tiles; ++n) {
    rows.push_back({&matrix, n, [this, &matrix, n, scale](int t, int plane, int accumulator) {
                      split_queries({&matrix, plane, accumulator, scale}, n, layout_.token(t));
                    }});
  }
  if (plan.query_rank > 0) return multiply(rows, &TokenBuffers::query_latent);
  multiply(rows, &TokenBuffers::normed);
}

// Parts without rotation: each head alone in its lanes of a vector. The others go to where keys
// have theirs.
void StageCompiler::split_queries(const Output& output, int vector, const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  if (vector < plan.nope_vectors) {
    for (int p = 0; p < plan.heads_of_nope(vector); ++p) {
      Work work(scheduler_);
      const Value all = scaled(work, output, work.accumulator(output.plane, output.accumulator));
      const Value own = work.op(AluOp::Mul, all, work.memory(layout_.nope_mask[index_of(p)]));
      store_activation(work, own, layout_.shape.weights, token.nope_queries,
                       vector * plan.nope_heads + p);
      work.place();
    }
    return;
  }
  const int first = (vector - plan.nope_vectors) * plan.rope_heads;
  for (int p = 0; p < plan.rope_heads && first + p < plan.heads; ++p) {
    turn_query(output, p, first + p, token);
  }
}

void StageCompiler::turn_query(const Output& output, int place, int head,
                               const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  Work work(scheduler_);
  Pair x;
  x.own = work.accumulator_permuted(output.plane, output.accumulator,
                                    add_map(plan.rope_map(place, layout_.rope, false)));
  x.partner = work.accumulator_permuted(output.plane, output.accumulator,
                                        add_map(plan.rope_map(place, layout_.rope, true)));
  const Value value = turned(work, output, x, token);
  if (plan.shares_vector()) {
    work.store(value, token.rope_queries[index_of(head)]);
  } else {
    store_query(work, value, head, plan.key_vectors - 1, token);
  }
  work.place();
}

// What multiplies keys. With a two-byte cache what rounding takes away is kept as a second
// activation: an error in a score grows exponentially in the softmax.
void StageCompiler::store_query(Work& work, Value value, int head, int vector,
                                const TokenBuffers& token) {
  const Type type = layout_.shape.kv;
  const auto slot = index_of(head * layout_.latent->key_vectors + vector);
  const Value rounded = work.convert(value, Type::Float32, type);
  work.store(rounded, token.q_heads[slot]);
  if (token.q_rests.empty()) return;
  const Value kept = work.convert(rounded, type, Type::Float32);
  const Value rest = work.op(AluOp::Sub, value, kept);
  work.store(work.convert(rest, Type::Float32, type), token.q_rests[slot]);
}

// Every head's queries through its up-projection of keys, turned: what they ask of the latents.
// Heads of different vectors work side by side.
void StageCompiler::absorb_keys(const LayerLayout& layer) {
  const LatentPlan& plan = *layout_.latent;
  const int scale = load_scale(layer.latent.key_up.front(), 0);
  std::vector<TileRow> rows;
  for (int p = 0; p < plan.nope_heads; ++p) {
    for (int h = p; h < plan.heads; h += plan.nope_heads) {
      const MatrixLayout& matrix = layer.latent.key_up[index_of(h)];
      for (int n = 0; n < plan.latent_vectors; ++n) {
        rows.push_back(
            {&matrix, n, [this, &matrix, h, n, scale](int t, int plane, int accumulator) {
               keep_query({&matrix, plane, accumulator, scale}, h, n, layout_.token(t));
             }});
      }
    }
  }
  multiply(rows, &TokenBuffers::nope_queries);
}

void StageCompiler::keep_query(const Output& output, int head, int vector,
                               const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  Work work(scheduler_);
  Value value = work.op(AluOp::Pass, work.accumulator(output.plane, output.accumulator));
  value = scaled(work, output, value);
  if (plan.shares_vector() && vector + 1 == plan.key_vectors) {
    value = work.op(AluOp::Add, value, work.memory(token.rope_queries[index_of(head)]));
  }
  store_query(work, value, head, vector, token);
  work.place();
}

// The latents' mean under the softmax: its sum stands in the lane of the column of ones. Vectors on
// one plane leave it one behind the other.
void StageCompiler::average_latent(const LayerLayout& layer, int head, int turn,
                                   const TokenBuffers& token) {
  const LatentPlan& plan = *layout_.latent;
  const std::vector<std::uint16_t> spread(index_of(plan.lanes),
                                          static_cast<std::uint16_t>(plan.ones_lane()));
  const int ones = plan.ones_vector();
  Work work(scheduler_);
  const Value sum = work.accumulator_permuted(
      layer.packs[index_of(ones)].plane, latent_accumulator(head, ones, turn), add_map(spread));
  const Value part = work.op(AluOp::Recip, sum);
  for (int v = 0; v < plan.latent_vectors; ++v) {
    Work::Options at;
    at.earliest = work.time_of(part) + scheduler_.latencies().vxm_special + v / 2;
    const Value total =
        work.accumulator(layer.packs[index_of(v)].plane, latent_accumulator(head, v, turn));
    const Value mean = work.op(AluOp::Mul, total, part, at);
    store_activation(work, mean, layout_.shape.weights, token.latent_outputs,
                     head * plan.latent_vectors + v);
  }
  work.place();
}

void StageCompiler::project_values(const LayerLayout& layer) {
  const int scale = load_scale(layer.latent.value_up.front(), 1);
  std::vector<TileRow> rows;
  int vector = 0;
  for (const MatrixLayout& matrix : layer.latent.value_up) {
    rows.push_back(
        {&matrix, 0, [this, &matrix, vector, scale](int t, int plane, int accumulator) {
           Work work(scheduler_);
           const Output output{&matrix, plane, accumulator, scale};
           const Value value = scaled(work, output, work.accumulator(plane, accumulator));
           store_activation(work, value, layout_.shape.weights, layout_.token(t).attended, vector);
           work.place();
         }});
    ++vector;
  }
  multiply(rows, &TokenBuffers::latent_outputs);
}

}  // namespace tandem::lpu
