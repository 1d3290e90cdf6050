#include "sim/describe/neural_network.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/overloaded.hpp"

namespace tandem {
namespace {

void add(Hasher& hash, const ops::Rope& rope) {
  hash.add(rope.theta).add(rope.rotated).add(rope.layout).add(rope.partial);
  hash.add(rope.scaling.index());
  std::visit(Overloaded{[](const std::monostate&) {},
                        [&](const ops::Llama3Scaling& s) {
                          hash.add(s.factor).add(s.low_frequency_factor);
                          hash.add(s.high_frequency_factor).add(s.original_context);
                        },
                        [&](const ops::YarnScaling& s) {
                          hash.add(s.factor).add(s.original_context).add(s.beta_fast);
                          hash.add(s.beta_slow).add(s.truncate).add(s.mscale).add(s.mscale_all);
                        },
                        [&](const ops::LinearScaling& s) { hash.add(s.factor); }},
             rope.scaling);
}

void add(Hasher& hash, const GroupedAttention& a) {
  hash.add(a.shape.heads).add(a.shape.kv_heads).add(a.shape.head_dim).add(a.shape.window);
  hash.add(a.shape.scale).add(a.shape.softcap).add(a.qk_norm).add(a.output_gate).add(a.sinks);
  hash.add(a.qkv_bias).add(a.output_bias).add(a.keys_are_values).add(a.value_norm);
  hash.add(a.rope.has_value());
  if (a.rope) add(hash, *a.rope);
}

void add(Hasher& hash, const LatentAttention& a) {
  hash.add(a.shape.heads).add(a.shape.query_rank).add(a.shape.kv_rank).add(a.shape.nope_dim);
  hash.add(a.shape.rope_dim).add(a.shape.value_dim).add(a.shape.scale_factor);
  add(hash, a.rope);
  hash.add(a.indexer.has_value());
  if (a.indexer) hash.add(a.indexer->heads).add(a.indexer->head_dim).add(a.indexer->top_k);
}

void add(Hasher& hash, const GatedDelta& d) {
  hash.add(d.shape.key_heads).add(d.shape.value_heads).add(d.shape.key_dim);
  hash.add(d.shape.value_dim).add(d.shape.conv_taps).add(d.shape.chunk);
}

void add(Hasher&, const MixerElsewhere&) {}

void add(Hasher& hash, const FeedForward& ffn) {
  hash.add(ffn.intermediate).add(ffn.gated).add(ffn.bias).add(ffn.activation);
  hash.add(ffn.experts.has_value());
  if (!ffn.experts) return;
  const Experts& e = *ffn.experts;
  const ops::Router& r = e.router;
  hash.add(r.rule).add(r.experts).add(r.top_k).add(r.renormalise).add(r.scale).add(r.bias);
  hash.add(r.groups).add(r.top_groups).add(r.group_score).add(r.group_mask);
  hash.add(e.intermediate).add(e.shared).add(e.shared_intermediate).add(e.shared_gate);
  hash.add(e.bias).add(e.router_norm).add(e.expert_scale);
  if (e.held > 0) hash.add("held").add(e.held);
}

}  // namespace

NeuralNetwork half_of(const NeuralNetwork& network, LayerHalf half) {
  NeuralNetwork result = network;
  result.mtp = {};
  for (LayerKind& kind : result.kinds) {
    if (half == LayerHalf::Second) {
      kind.mixer = MixerElsewhere{};
    } else {
      kind.ffn = FeedForward{};
    }
  }
  return result;
}

NeuralNetwork module_of(const NeuralNetwork& network) {
  if (network.mtp.modules < 1) {
    throw ModelError("'" + network.name + "' has no modules of multi-token prediction");
  }
  NeuralNetwork module = network;
  module.name = network.name + " module";
  module.kinds = {network.kinds[static_cast<std::size_t>(network.mtp.kind)]};
  module.pattern = {0};
  module.mtp = {};
  module.learned_positions = false;
  module.joins_hidden = true;
  return module;
}

bool has_recurrent_state(const NeuralNetwork& network) {
  return std::any_of(network.kinds.begin(), network.kinds.end(), [](const LayerKind& kind) {
    return std::holds_alternative<GatedDelta>(kind.mixer);
  });
}

std::int64_t kv_elements_per_token(const LayerKind& kind) {
  return std::visit(Overloaded{[](const GroupedAttention& a) { return 2 * a.kv_width(); },
                               [](const LatentAttention& a) { return a.shape.cached_elements(); },
                               [](const GatedDelta&) { return std::int64_t{0}; },
                               [](const MixerElsewhere&) { return std::int64_t{0}; }},
                    kind.mixer);
}

std::int64_t index_elements_per_token(const LayerKind& kind) {
  const auto* latent = std::get_if<LatentAttention>(&kind.mixer);
  return latent != nullptr && latent->indexer ? latent->indexer->head_dim : 0;
}

std::int64_t cache_window(const LayerKind& kind) {
  const auto* attention = std::get_if<GroupedAttention>(&kind.mixer);
  return attention == nullptr ? 0 : attention->shape.window;
}

char letter_of(const LayerKind& kind) {
  if (std::holds_alternative<GatedDelta>(kind.mixer)) return 'L';
  return cache_window(kind) > 0 ? 'S' : 'F';
}

std::uint64_t key_of(const NeuralNetwork& network) {
  Hasher hash;
  hash.add(network.name).add(network.hidden).add(network.vocabulary).add(network.max_context);
  hash.add(network.tied_embeddings).add(network.learned_positions);
  hash.add(network.embedding_scale).add(network.final_softcap);
  hash.add(network.norm.kind).add(network.norm.one_plus_weight).add(network.norm.epsilon);
  for (const LayerKind& kind : network.kinds) {
    hash.add(kind.mixer.index());
    std::visit([&](const auto& mixer) { add(hash, mixer); }, kind.mixer);
    add(hash, kind.ffn);
    hash.add(kind.post_norms);
  }
  for (const std::int32_t kind : network.pattern) hash.add(kind);
  hash.add(network.mtp.modules).add(network.mtp.kind);
  if (network.joins_hidden) hash.add("joins_hidden");
  return hash.value();
}

}  // namespace tandem
