#include "sim/lower/batch.hpp"

#include <algorithm>

#include "sim/core/diagnostics.hpp"
#include "sim/core/hash.hpp"
#include "sim/core/integers.hpp"
#include "sim/describe/kv_slots.hpp"
#include "sim/describe/tensors.hpp"

namespace tandem {

std::int64_t Batch::tokens() const {
  std::int64_t total = 0;
  for (const SequenceSlice& slice : slices) total += slice.new_tokens;
  return total;
}

std::int64_t Batch::sampled() const {
  std::int64_t total = 0;
  for (const SequenceSlice& slice : slices) total += slice.sampled();
  return total;
}

Batch slices_of_group(const Batch& batch, std::int64_t group) {
  Batch result;
  for (const SequenceSlice& slice : batch.slices) {
    if (slice.group == group) result.slices.push_back(slice);
  }
  return result;
}

namespace {

/// Sum of `value` over the layers of a stage; a kind of layer is asked once.
template <class Value>
std::int64_t sum_over_layers(const Stage& stage, const Value& value) {
  std::vector<std::int64_t> layers(stage.network.kinds.size());
  const auto first = stage.network.pattern.begin() + stage.first_layer;
  for (auto kind = first; kind != first + stage.layers; ++kind) {
    ++layers[static_cast<std::size_t>(*kind)];
  }
  std::int64_t total = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i] > 0) total += layers[i] * value(stage.network.kinds[i]);
  }
  return total;
}

/// Tables, final norm and head as the chip holds them.
std::vector<TensorSpec> tensors_around_layers(const Stage& stage) {
  const NeuralNetwork& network = stage.network;
  std::vector<TensorSpec> tensors;
  if (network.joins_hidden) {  // embedding and head are those of the model beside it
    return {{"norms", {3 * norm_parameters(network)}, TensorRole::Norm},
            {"combine", {network.hidden, 2 * network.hidden}, TensorRole::Mixing}};
  }
  if (stage.has_embedding) {
    tensors.push_back(
        {"embedding", {stage.embedding_rows(), network.hidden}, TensorRole::Embedding});
    if (network.learned_positions) {
      tensors.push_back(
          {"positions", {network.max_context, network.hidden}, TensorRole::Embedding});
    }
  }
  if (!stage.has_head()) return tensors;
  tensors.push_back({"final_norm", {norm_parameters(network)}, TensorRole::Norm});
  if (network.tied_embeddings && stage.has_embedding) return tensors;
  const bool is_tied = network.tied_embeddings;
  tensors.push_back({is_tied ? "embedding" : "head",
                     {stage.head_rows(), network.hidden},
                     is_tied ? TensorRole::Embedding : TensorRole::Head});
  return tensors;
}

}  // namespace

std::int64_t Stage::head_rows() const {
  return share_of(head_end - head_begin, shard.of.group_ranks(), shard.group_rank()).size();
}

std::int64_t Stage::embedding_rows() const {
  if (!has_embedding) return 0;
  return share_of(network.vocabulary, shard.of.group_ranks(), shard.group_rank()).size();
}

std::int64_t Stage::weight_parameters() const {
  std::int64_t total = sum_over_layers(
      *this, [&](const LayerKind& kind) { return parameters_of(network, shard_of(kind, shard)); });
  if (network.joins_hidden) {  // embedding and head are those of the model beside it
    return total + 3 * norm_parameters(network) + 2 * network.hidden * network.hidden;
  }
  const bool shares_table = has_embedding && has_head() && network.tied_embeddings;
  if (has_embedding) {
    const std::int64_t positions = network.learned_positions ? network.max_context : 0;
    total += (embedding_rows() + positions) * network.hidden;
  }
  if (has_head()) {
    total += norm_parameters(network);
    if (!shares_table) total += head_rows() * network.hidden;
  }
  return total;
}

Bytes Stage::weight_bytes() const {
  const bool has_scales = precision.formats_key() != 0 || precision.block_scaled;
  if (!has_scales || precision.is_expanded) {
    return Bytes(weight_parameters() * bytes_of(precision.weights));
  }
  std::int64_t total = 0;
  const auto add = [&](const TensorSpec& tensor, std::int64_t layer) {
    total += stored_bytes(tensor, precision.storage_of(part_of(tensor), layer));
  };
  for (std::int64_t layer = first_layer; layer < first_layer + layers; ++layer) {
    const LayerKind held = shard_of(network.layer(layer), shard);
    for (const TensorSpec& tensor : tensors_of(network, held)) add(tensor, layer);
  }
  for (const TensorSpec& tensor : tensors_around_layers(*this)) add(tensor, -1);
  return Bytes(total);
}

Bytes Stage::kv_bytes_per_token() const {
  const std::int64_t bytes = sum_over_layers(*this, [&](const LayerKind& kind) {
    const LayerKind held = shard_of(kind, shard);
    return cached_bytes_per_token(held, precision) + attention_sum_bytes(held, eviction);
  });
  return Bytes(ceil_div(bytes, shard.of.context));
}

Bytes Stage::cache_bytes(std::int64_t tokens) const {
  const std::int64_t bytes = sum_over_layers(*this, [&](const LayerKind& kind) {
    const std::int64_t window = cache_window(kind);
    const LayerKind held = shard_of(kind, shard);
    const std::int64_t kept = window > 0           ? std::min(tokens, window)
                              : evicts(held.mixer) ? eviction.kept(tokens)
                                                   : tokens;
    return ceil_div(kept, shard.of.context) *
           (cached_bytes_per_token(held, precision) + attention_sum_bytes(held, eviction));
  });
  return Bytes(bytes) + state_bytes();
}

Bytes Stage::state_bytes() const {
  return Bytes(sum_over_layers(*this, [&](const LayerKind& kind) {
    const LayerKind held = shard_of(kind, shard);
    const auto* delta = std::get_if<GatedDelta>(&held.mixer);
    if (delta == nullptr) return std::int64_t{0};
    const ops::GatedDeltaShape& s = delta->shape;
    return (1 + revocable) * s.state_elements() * bytes_of(ElementType::Float32) +
           (s.conv_state_elements() + revocable * s.conv_channels()) *
               bytes_of(precision.activations);
  }));
}

std::uint64_t Stage::key() const {
  Hasher hash;
  hash.add(key_of(network));
  hash.add(precision.weights).add(precision.kv_cache).add(precision.activations);
  hash.add(precision.block_scaled);
  if (precision.kv_format != nullptr) hash.add("kv_format").add(precision.kv_format->name);
  if (const std::uint64_t formats = precision.formats_key()) {
    hash.add("formats").add(formats).add(network.tied_embeddings);
    // Overrides name layers by number.
    if (!precision.overrides.empty()) hash.add(first_layer);
  }
  // Which layers they are matters only where layers differ.
  for (std::int64_t i = 0; i < layers; ++i) {
    hash.add(network.pattern[static_cast<std::size_t>(first_layer + i)]);
  }
  hash.add(layers).add(has_embedding).add(head_begin).add(head_end);
  if (tensor != 1) hash.add(tensor);
  if (!shard.is_whole()) {
    const Sharding& of = shard.of;
    hash.add("shard").add(of.tensor).add(of.context).add(of.attention_data).add(of.expert);
    hash.add(of.redundant_experts);
    hash.add(shard.rank);
  }
  if (hands_on_hidden) hash.add("hands_on_hidden");
  if (revocable != 0) hash.add("revocable").add(revocable);
  if (eviction.is_on()) {
    hash.add("eviction").add(eviction.policy).add(eviction.tokens).add(eviction.sinks);
    if (eviction.share != 0) hash.add(eviction.share);
  }
  if (longest_request != 0) hash.add("longest").add(longest_request);
  return hash.value();
}

Stage whole_model(const NeuralNetwork& network, const Precision& precision) {
  Stage stage;
  stage.network = network;
  stage.precision = precision;
  stage.layers = network.layers();
  stage.has_embedding = true;
  stage.head_end = network.vocabulary;
  return stage;
}

std::vector<Stage> partition_pipeline(const NeuralNetwork& network, const Precision& precision,
                                      std::int64_t pipeline, std::int64_t head_chips,
                                      std::int64_t tensor) {
  if (pipeline < 1 || pipeline > network.layers()) {
    throw ModelError("placement: a pipeline needs between 1 and " +
                     std::to_string(network.layers()) + " layer stages");
  }
  if (head_chips < 0 || head_chips > network.vocabulary) {
    throw ModelError("placement: the LM head can be split over 0 to " +
                     std::to_string(network.vocabulary) + " chips");
  }
  std::vector<Stage> stages;
  std::int64_t next_layer = 0;
  for (std::int64_t i = 0; i < pipeline; ++i) {
    Stage stage;
    stage.network = network;
    stage.precision = precision;
    stage.first_layer = next_layer;
    stage.layers = network.layers() / pipeline + (i < network.layers() % pipeline ? 1 : 0);
    stage.has_embedding = i == 0;
    next_layer += stage.layers;
    stages.push_back(stage);
  }
  if (head_chips == 0) stages.back().head_end = network.vocabulary;
  for (std::int64_t i = 0; i < head_chips; ++i) {
    Stage stage;
    stage.network = network;
    stage.precision = precision;
    stage.first_layer = network.layers();
    stage.head_begin = network.vocabulary * i / head_chips;
    stage.head_end = network.vocabulary * (i + 1) / head_chips;
    stages.push_back(stage);
  }
  for (Stage& stage : stages) stage.tensor = tensor;
  return stages;
}

}  // namespace tandem
