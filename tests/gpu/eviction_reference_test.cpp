// Evicted caches against the reference model: one layer, whose keys and values hang on their own
// token alone, without rotation, so that a cache with rows taken out is that of a shorter text.
#include <gtest/gtest.h>

#include <cmath>

#include "sim/lower/reference_model.hpp"
#include "sim/numerics/ops/embedding.hpp"
#include "sim/numerics/ops/eviction.hpp"
#include "sim/numerics/ops/linear.hpp"
#include "sim/numerics/ops/rmsnorm.hpp"
#include "tests/gpu/eviction_harness.hpp"

namespace tandem::gpu::evicted {
namespace {

using Row = std::vector<float>;
using Places = std::vector<std::int64_t>;

constexpr std::int64_t tokens_of_text = 20;
/// Frequencies over so much are none.
const ops::LinearScaling frozen{1e30};

/// What heads that keep tokens together hold of each token, and what their queries meet.
struct KeyGroup {
  std::int64_t heads = 1;                 ///< query heads
  std::int64_t k_first = 0, k_width = 0;  ///< columns of LayerState::k
  std::int64_t v_first = 0, v_width = 0;  ///< and of LayerState::v
  std::vector<std::vector<Row>> queries;  ///< [token][head]
  std::vector<std::vector<Row>> keys;     ///< [token][head]
  float scale = 1;
};

Row part(std::span<const float> row, std::int64_t first, std::int64_t width) {
  const auto from = row.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(width));
  return {from.begin(), from.end()};
}

/// The layer's tensors applied to the normed rows of a text.
class Layer {
 public:
  Layer(const Weights& weights, const std::vector<std::int32_t>& text) : weights_(weights) {
    const NeuralNetwork& network = weights.network;
    for (const std::int32_t token : text) {
      Row x(static_cast<std::size_t>(network.hidden));
      ops::embedding(weights.at("embedding").floats(), token, x);
      ops::rmsnorm(x, weights.at("layers.0.attention_norm").floats(),
                   static_cast<float>(network.norm.epsilon), x);
      rows_.push_back(x);
    }
  }
  [[nodiscard]] std::span<const float> tensor(const std::string& name) const {
    return weights_.at("layers.0.attention." + name).floats();
  }
  [[nodiscard]] Row query(std::size_t token, const GroupedAttention& a) const {
    return times("query", rows_[token], a.q_width());
  }
  [[nodiscard]] Row query(std::size_t token, const LatentAttention& a) const {
    Row latent = times("query_down", rows_[token], a.shape.query_rank);
    ops::rmsnorm(latent, tensor("query_norm"), static_cast<float>(weights_.network.norm.epsilon),
                 latent);
    return times("query_up", latent, a.shape.heads * a.shape.query_dim());
  }
  [[nodiscard]] Row times(const std::string& name, std::span<const float> x,
                          std::int64_t width) const {
    Row out(static_cast<std::size_t>(width));
    ops::linear(tensor(name), x, out);
    return out;
  }

 private:
  const Weights& weights_;
  std::vector<Row> rows_;
};

std::vector<KeyGroup> groups_of(const Layer& layer, const GroupedAttention& a,
                                const reference::LayerState& all) {
  const std::int64_t d = a.shape.head_dim, heads = a.shape.heads / a.shape.kv_heads;
  std::vector<KeyGroup> groups;
  for (std::int64_t kv = 0; kv < a.shape.kv_heads; ++kv) {
    KeyGroup group{heads, kv * d, d, kv * d, d, {}, {}, 1 / std::sqrt(static_cast<float>(d))};
    for (std::int64_t t = 0; t < all.tokens; ++t) {
      const Row q = layer.query(static_cast<std::size_t>(t), a);
      const Row key = part(all.k, t * a.kv_width() + kv * d, d);
      std::vector<Row> queries;
      for (std::int64_t h = 0; h < heads; ++h) queries.push_back(part(q, (kv * heads + h) * d, d));
      group.queries.push_back(queries);
      group.keys.emplace_back(static_cast<std::size_t>(heads), key);
    }
    groups.push_back(group);
  }
  return groups;
}

/// One group of all heads: what each meets of a token is made of the same latent.
std::vector<KeyGroup> groups_of(const Layer& layer, const LatentAttention& a,
                                const reference::LayerState& all) {
  const ops::LatentShape& s = a.shape;
  KeyGroup group{s.heads, 0, s.kv_rank, 0, s.rope_dim, {}, {}, 0};
  group.scale = static_cast<float>(s.scale_factor / std::sqrt(static_cast<double>(s.query_dim())));
  for (std::int64_t t = 0; t < all.tokens; ++t) {
    const Row q = layer.query(static_cast<std::size_t>(t), a);
    const Row up = layer.times("kv_up", part(all.k, t * s.kv_rank, s.kv_rank),
                               s.heads * (s.nope_dim + s.value_dim));
    std::vector<Row> queries, keys;
    for (std::int64_t h = 0; h < s.heads; ++h) {
      queries.push_back(part(q, h * s.query_dim(), s.query_dim()));
      Row key = part(up, h * (s.nope_dim + s.value_dim), s.nope_dim);
      const Row shared = part(all.v, t * s.rope_dim, s.rope_dim);
      key.insert(key.end(), shared.begin(), shared.end());
      keys.push_back(key);
    }
    group.queries.push_back(queries);
    group.keys.push_back(keys);
  }
  return {group};
}

/// Adds what the tokens that are there draw from the newest one, and drops what a policy does not
/// keep.
void evict_by_reference(const Eviction& eviction, const KeyGroup& group, std::int64_t newest,
                        Places& kept, std::vector<float>& sums) {
  kept.push_back(newest);
  sums.push_back(0);
  const auto query = static_cast<std::size_t>(newest);
  for (std::size_t head = 0; head < static_cast<std::size_t>(group.heads); ++head) {
    std::vector<float> scores;
    for (const std::int64_t token : kept) {
      const Row& q = group.queries[query][head];
      const Row& k = group.keys[static_cast<std::size_t>(token)][head];
      float score = 0;
      for (std::size_t i = 0; i < q.size(); ++i) score += q[i] * k[i];
      scores.push_back(score * group.scale);
    }
    ops::add_attention(scores, sums);
  }
  const Eviction now = eviction.behind(newest + 1);
  const auto count = static_cast<std::int64_t>(kept.size());
  const Places places = now.sums_attention()
                            ? ops::kept_by_heavy_hitters(sums, now.recent(), now.tokens)
                            : ops::kept_by_streaming(count, now.sinks, now.tokens);
  Places left;
  std::vector<float> left_sums;
  for (const std::int64_t place : places) {
    left.push_back(kept[static_cast<std::size_t>(place)]);
    left_sums.push_back(sums[static_cast<std::size_t>(place)]);
  }
  kept = left;
  sums = left_sums;
}

/// The state of a text of which each group has its own tokens, equally many.
reference::LayerState state_of(const reference::LayerState& all, std::vector<KeyGroup>& groups,
                               const std::vector<Places>& kept) {
  reference::LayerState state;
  state.tokens = static_cast<std::int64_t>(kept.front().size());
  const auto k_stride = static_cast<std::int64_t>(all.k.size()) / all.tokens;
  const auto v_stride = static_cast<std::int64_t>(all.v.size()) / all.tokens;
  for (std::size_t place = 0; place < kept.front().size(); ++place) {
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const std::int64_t token = kept[g][place];
      const KeyGroup& group = groups[g];
      const Row k = part(all.k, token * k_stride + group.k_first, group.k_width);
      const Row v = part(all.v, token * v_stride + group.v_first, group.v_width);
      state.k.insert(state.k.end(), k.begin(), k.end());
      state.v.insert(state.v.end(), v.begin(), v.end());
    }
  }
  return state;
}

template <class Attention>
void expect_the_reference(const Attention& attention, const Eviction& eviction) {
  const NeuralNetwork network = evicted_network(attention, 1);
  const Weights weights = random_weights(network, 5);
  const std::vector<std::int32_t> text = evicted_text(tokens_of_text);
  ReferenceModel model(weights);
  (void)model.prefill(text);
  const ReferenceModel::Snapshot whole = model.snapshot();
  const Layer layer(weights, text);
  std::vector<KeyGroup> groups = groups_of(layer, attention, whole.layers[0]);
  std::vector<Places> kept(groups.size());
  std::vector<std::vector<float>> sums(groups.size());
  const std::vector<Tensor> found = logits_of_passes(network, eviction, text);
  for (std::int64_t t = 0; t < tokens_of_text; ++t) {
    ReferenceModel::Snapshot now = whole;
    now.layers[0] = state_of(whole.layers[0], groups, kept);
    now.tokens = now.layers[0].tokens;
    model.restore(now);
    const Tensor expected = model.forward(text[static_cast<std::size_t>(t)], now.tokens);
    EXPECT_LT(share_of_largest(found[static_cast<std::size_t>(t)], expected), 1e-5) << t;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      evict_by_reference(eviction, groups[g], t, kept[g], sums[g]);
    }
  }
}

Eviction share(EvictionPolicy policy, double of_text, std::int64_t sinks) {
  return {policy, 0, sinks, of_text};
}

const std::vector<Eviction> policies = {streaming(6, 2), heavy(6),
                                        share(EvictionPolicy::StreamingLlm, 0.4, 1),
                                        share(EvictionPolicy::HeavyHitters, 0.4, 0)};

TEST(EvictionReference, KvHeadsKeepWhatTheirQueriesDrawFrom) {
  GroupedAttention attention = grouped_mixer();
  attention.rope->scaling = frozen;
  for (const Eviction& eviction : policies) expect_the_reference(attention, eviction);
}

TEST(EvictionReference, LatentsStayByWhatAllHeadsDraw) {
  LatentAttention attention = test::tiny_latent();
  attention.rope.scaling = frozen;
  for (const Eviction& eviction : policies) expect_the_reference(attention, eviction);
}

}  // namespace
}  // namespace tandem::gpu::evicted
