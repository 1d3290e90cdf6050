#include "sim/describe/tensors.hpp"

#include <utility>

namespace tandem {
namespace {

/// Collects the tensors of a layer.
class TensorList {
 public:
  explicit TensorList(const NeuralNetwork& network) : network_(network) {}

  void add(std::string name, std::vector<std::int64_t> shape, TensorRole role) {
    tensors_.push_back({std::move(name), std::move(shape), role});
  }
  void add_norm(const std::string& name, std::int64_t width) {
    add(name, {width}, TensorRole::Norm);
    if (network_.norm.kind == NormKind::Layer) add(name + "_bias", {width}, TensorRole::Norm);
  }
  void add_projection(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    add("attention." + name, {out, in}, TensorRole::Mixing);
    if (bias) add("attention." + name + "_bias", {out}, TensorRole::Mixing);
  }
  void add_mixer(const GroupedAttention& a);
  void add_mixer(const LatentAttention& a);
  void add_mixer(const GatedDelta& d);
  void add_mixer(const MixerElsewhere&) {}
  void add_dense(const std::string& prefix, const FeedForward& ffn, std::int64_t width, bool bias);
  void add_experts(const FeedForward& ffn, const Experts& experts);
  void add_layer(const LayerKind& kind);
  [[nodiscard]] std::vector<TensorSpec> take() { return std::move(tensors_); }

 private:
  const NeuralNetwork& network_;
  std::vector<TensorSpec> tensors_;
};

void TensorList::add_mixer(const GroupedAttention& a) {
  const std::int64_t hidden = network_.hidden;
  add_projection("query", a.q_width() * (a.output_gate ? 2 : 1), hidden, a.qkv_bias);
  add_projection("key", a.kv_width(), hidden, a.qkv_bias);
  if (!a.keys_are_values) add_projection("value", a.kv_width(), hidden, a.qkv_bias);
  if (a.qk_norm != QkNorm::None) {
    const bool per_head = a.qk_norm == QkNorm::PerHead;
    add("attention.query_norm", {per_head ? a.shape.head_dim : a.q_width()}, TensorRole::Norm);
    add("attention.key_norm", {per_head ? a.shape.head_dim : a.kv_width()}, TensorRole::Norm);
  }
  if (a.sinks) add("attention.sinks", {a.shape.heads}, TensorRole::Mixing);
  add_projection("output", hidden, a.q_width(), a.output_bias);
}

void TensorList::add_mixer(const LatentAttention& a) {
  const ops::LatentShape& s = a.shape;
  const std::int64_t hidden = network_.hidden;
  const std::int64_t q_input = s.query_rank > 0 ? s.query_rank : hidden;
  if (s.query_rank > 0) {
    add_projection("query_down", s.query_rank, hidden, false);
    add("attention.query_norm", {s.query_rank}, TensorRole::Norm);
  }
  add_projection("query_up", s.heads * s.query_dim(), q_input, false);
  add_projection("kv_down", s.cached_elements(), hidden, false);
  add("attention.kv_norm", {s.kv_rank}, TensorRole::Norm);
  add_projection("kv_up", s.heads * (s.nope_dim + s.value_dim), s.kv_rank, false);
  add_projection("output", hidden, s.heads * s.value_dim, false);
  if (!a.indexer) return;
  const ops::IndexerShape& indexer = *a.indexer;
  add("indexer.query", {indexer.heads * indexer.head_dim, q_input}, TensorRole::Indexer);
  add("indexer.key", {indexer.head_dim, hidden}, TensorRole::Indexer);
  add("indexer.key_norm", {indexer.head_dim}, TensorRole::Indexer);
  add("indexer.key_norm_bias", {indexer.head_dim}, TensorRole::Indexer);
  add("indexer.head_weights", {indexer.heads, hidden}, TensorRole::Indexer);
}

void TensorList::add_mixer(const GatedDelta& d) {
  const ops::GatedDeltaShape& s = d.shape;
  const std::int64_t hidden = network_.hidden;
  add("delta.qkv", {s.conv_channels(), hidden}, TensorRole::Mixing);
  add("delta.z", {s.value_width(), hidden}, TensorRole::Mixing);
  add("delta.b", {s.value_heads, hidden}, TensorRole::Mixing);
  add("delta.a", {s.value_heads, hidden}, TensorRole::Mixing);
  add("delta.conv", {s.conv_channels(), s.conv_taps}, TensorRole::Mixing);
  add("delta.a_log", {s.value_heads}, TensorRole::Mixing);
  add("delta.dt_bias", {s.value_heads}, TensorRole::Mixing);
  add("delta.norm", {s.value_dim}, TensorRole::Norm);
  add("delta.output", {hidden, s.value_width()}, TensorRole::Mixing);
}

void TensorList::add_dense(const std::string& prefix, const FeedForward& ffn, std::int64_t width,
                           bool bias) {
  const auto matrix = [&](const char* name, std::int64_t out, std::int64_t in) {
    add(prefix + name, {out, in}, TensorRole::Ffn);
    if (bias) add(prefix + name + "_bias", {out}, TensorRole::Ffn);
  };
  if (ffn.gated) matrix("gate", width, network_.hidden);
  matrix("up", width, network_.hidden);
  matrix("down", network_.hidden, width);
}

void TensorList::add_experts(const FeedForward& ffn, const Experts& experts) {
  const std::int64_t count = experts.router.experts;
  const std::int64_t hidden = network_.hidden;
  if (experts.router_norm) add("experts.router_norm", {hidden}, TensorRole::Router);
  add("experts.router", {count, hidden}, TensorRole::Router);
  if (experts.router.bias) add("experts.router_bias", {count}, TensorRole::Router);
  if (experts.expert_scale) add("experts.scale", {count}, TensorRole::Router);
  const auto matrix = [&](const char* name, std::int64_t out, std::int64_t in) {
    add(std::string("experts.") + name, {experts.count(), out, in}, TensorRole::Expert);
    if (experts.bias) {
      add(std::string("experts.") + name + "_bias", {experts.count(), out}, TensorRole::Expert);
    }
  };
  if (ffn.gated) matrix("gate", experts.intermediate, hidden);
  matrix("up", experts.intermediate, hidden);
  matrix("down", hidden, experts.intermediate);
  if (experts.shared > 0) add_dense("shared.", ffn, experts.shared_intermediate, false);
  if (experts.shared_gate) add("shared.switch", {1, hidden}, TensorRole::Ffn);
}

void TensorList::add_layer(const LayerKind& kind) {
  if (kind.has_mixer()) {
    add_norm("attention_norm", network_.hidden);
    std::visit([&](const auto& mixer) { add_mixer(mixer); }, kind.mixer);
    if (kind.post_norms) add_norm("attention_post_norm", network_.hidden);
  }
  if (kind.ffn.is_elsewhere()) return;
  add_norm("ffn_norm", network_.hidden);
  const bool both = kind.ffn.intermediate > 0 && kind.ffn.experts;
  if (kind.ffn.intermediate > 0) add_dense("ffn.", kind.ffn, kind.ffn.intermediate, kind.ffn.bias);
  if (both) {  // each half has norms of its own before the two are added
    add_norm("ffn.post_norm", network_.hidden);
    add_norm("experts.norm", network_.hidden);
    add_norm("experts.post_norm", network_.hidden);
  }
  if (kind.ffn.experts) add_experts(kind.ffn, *kind.ffn.experts);
  if (kind.post_norms) add_norm("ffn_post_norm", network_.hidden);
}

/// What a module of multi-token prediction joins a token and a hidden state with.
std::vector<TensorSpec> tensors_that_join(const NeuralNetwork& network) {
  TensorList list(network);
  list.add_norm("embedding_norm", network.hidden);
  list.add_norm("hidden_norm", network.hidden);
  list.add("combine", {network.hidden, 2 * network.hidden}, TensorRole::Mixing);
  return list.take();
}

std::int64_t elements_of(const std::vector<TensorSpec>& tensors) {
  std::int64_t total = 0;
  for (const TensorSpec& tensor : tensors) total += tensor.elements();
  return total;
}

/// Sum of `value` of each layer's kind; a kind is asked once.
template <class Value>
std::int64_t sum_over_layers(const NeuralNetwork& network, const Value& value) {
  std::vector<std::int64_t> layers(network.kinds.size());
  for (const std::int32_t kind : network.pattern) ++layers[static_cast<std::size_t>(kind)];
  std::int64_t total = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] > 0) total += layers[i] * value(network.kinds[i]);
  }
  return total;
}

}  // namespace

std::int64_t TensorSpec::elements() const {
  std::int64_t total = 1;
  for (const std::int64_t size : shape) total *= size;
  return total;
}

std::vector<TensorSpec> tensors_of(const NeuralNetwork& network, const LayerKind& kind) {
  TensorList list(network);
  list.add_layer(kind);
  return list.take();
}

std::vector<TensorSpec> tensors_of_mtp_module(const NeuralNetwork& network) {
  std::vector<TensorSpec> all = tensors_that_join(network);
  TensorList list(network);
  list.add_layer(network.kinds[static_cast<std::size_t>(network.mtp.kind)]);
  list.add_norm("final_norm", network.hidden);
  for (TensorSpec& tensor : list.take()) all.push_back(std::move(tensor));
  return all;
}

std::vector<TensorSpec> tensors_of(const NeuralNetwork& network) {
  TensorList outer(network);
  outer.add("embedding", {network.vocabulary, network.hidden}, TensorRole::Embedding);
  if (network.learned_positions) {
    outer.add("positions", {network.max_context, network.hidden}, TensorRole::Embedding);
  }
  std::vector<TensorSpec> all = outer.take();
  const auto append = [&](const std::string& prefix, std::vector<TensorSpec> tensors) {
    for (TensorSpec& tensor : tensors) {
      tensor.name = prefix + tensor.name;
      all.push_back(std::move(tensor));
    }
  };
  if (network.joins_hidden) append("", tensors_that_join(network));
  for (std::int64_t i = 0; i < network.layers(); ++i) {
    append("layers." + std::to_string(i) + ".", tensors_of(network, network.layer(i)));
  }
  TensorList last(network);
  last.add_norm("final_norm", network.hidden);
  if (!network.tied_embeddings) {
    last.add("head", {network.vocabulary, network.hidden}, TensorRole::Head);
  }
  append("", last.take());
  for (std::int64_t i = 0; i < network.mtp.modules; ++i) {
    append("mtp." + std::to_string(i) + ".", tensors_of_mtp_module(network));
  }
  return all;
}

std::int64_t parameters_of(const NeuralNetwork& network, const LayerKind& kind) {
  return elements_of(tensors_of(network, kind));
}

std::int64_t active_parameters_of(const NeuralNetwork& network, const LayerKind& kind) {
  std::int64_t total = 0;
  for (const TensorSpec& tensor : tensors_of(network, kind)) {
    const std::int64_t elements = tensor.elements();
    if (tensor.role == TensorRole::Expert) {
      const ops::Router& router = kind.ffn.experts->router;
      total += elements / router.experts * router.top_k;
    } else {
      total += elements;
    }
  }
  return total;
}

std::int64_t embedding_parameters(const NeuralNetwork& network) {
  const std::int64_t positions = network.learned_positions ? network.max_context : 0;
  return (network.vocabulary + positions) * network.hidden;
}

std::int64_t norm_parameters(const NeuralNetwork& network) {
  return network.hidden * (network.norm.kind == NormKind::Layer ? 2 : 1);
}

ParameterCount count_parameters(const NeuralNetwork& network) {
  const std::int64_t head = network.tied_embeddings ? 0 : network.vocabulary * network.hidden;
  ParameterCount count;
  count.embedding = embedding_parameters(network);
  const std::int64_t outside = count.embedding + head + norm_parameters(network);
  count.total = outside + sum_over_layers(network, [&](const LayerKind& kind) {
                  return parameters_of(network, kind);
                });
  count.active = outside + sum_over_layers(network, [&](const LayerKind& kind) {
                   return active_parameters_of(network, kind);
                 });
  // A tied table is the head too, which every token touches whole.
  count.active_without_embedding =
      count.active - count.embedding +
      (network.tied_embeddings ? network.vocabulary * network.hidden : 0);
  if (network.joins_hidden) {
    // The tables are the model's, whose head every draft touches whole.
    const std::int64_t joined = elements_of(tensors_that_join(network));
    count.total += joined - count.embedding - head;
    count.active += joined - count.embedding;
    count.embedding = 0;
    count.active_without_embedding = count.active;
  }
  if (network.mtp.modules > 0) {
    count.mtp = network.mtp.modules * elements_of(tensors_of_mtp_module(network));
  }
  return count;
}

std::int64_t kv_elements_per_token(const NeuralNetwork& network) {
  return sum_over_layers(network, [](const LayerKind& kind) {
    return cache_window(kind) > 0 ? 0 : kv_elements_per_token(kind);
  });
}

std::int64_t index_elements_per_token(const NeuralNetwork& network) {
  return sum_over_layers(network,
                         [](const LayerKind& kind) { return index_elements_per_token(kind); });
}

std::int64_t recurrent_state_elements(const NeuralNetwork& network) {
  return sum_over_layers(network, [](const LayerKind& kind) {
    const auto* delta = std::get_if<GatedDelta>(&kind.mixer);
    return delta == nullptr ? 0 : delta->shape.state_elements();
  });
}

std::int64_t conv_state_elements(const NeuralNetwork& network) {
  return sum_over_layers(network, [](const LayerKind& kind) {
    const auto* delta = std::get_if<GatedDelta>(&kind.mixer);
    return delta == nullptr ? 0 : delta->shape.conv_state_elements();
  });
}

}  // namespace tandem
